"""How a claim goes from queue to queue, on any engine."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from turnspit.contract.jobs import MOST_QUEUES
from turnspit.contract.verbs import Statement, Verb
from turnspit.engines.verbs.bounds import ClaimBounds
from turnspit.engines.verbs.brought import Brought
from turnspit.engines.verbs.rows import to_json
from turnspit.records import Claim, ClaimRequest

__all__ = ["MOST_HELD", "ClaimVerbs", "Turn", "in_turn"]

MOST_HELD = 2000
"""Jobs of unknown tasks that one claim sets aside: 300,000 at once held the write lock for 3.5 s."""

Turn = Mapping[str, Any]
"""A ``queue`` and its ``share``; behind a bound also the ``priority`` and id (``after``) of the job before."""


class ClaimVerbs(Brought):
    """Claims of jobs without limits."""

    bounds: ClaimBounds

    @abstractmethod
    def claim_turns(self, params: Mapping[str, Any], turns: Sequence[Turn]) -> Verb[list[Claim]]:
        """Claim from these queues, in their order, from each its share; all turns have a bound, or none has."""

    @abstractmethod
    def find_busy_queues(self, request: ClaimRequest, after: str) -> Verb[list[str]]:
        """Served queues that have work, beginning behind the one that was served last; ``MOST_QUEUES`` at the most."""

    @abstractmethod
    def hold_unknown(self, params: Mapping[str, Any], queues: Sequence[str]) -> Verb[int]:
        """Set aside jobs that no live worker can run, so that they cannot slow later claims; how many. ``MOST_HELD``
        at once: then workers are woken for the rest.
        """

    def claim_jobs(self, request: ClaimRequest) -> Verb[list[Claim]]:
        params = self.claim_params(request)
        if request.job is not None:
            rows = yield Statement(self.sql["claim_jobs_chosen"], {**params, "job": request.job})
            return [Claim._make(row) for row in rows]
        claims: list[Claim] = []
        hints = self.bounds.turns(request)
        if hints:
            claims = yield from self.claim_turns(params, hints)
        if hints and len(claims) < request.limit and (yield from self._hold_before(params, hints, claims)):
            self.bounds.remember(request, claims, is_all=False)
            return claims
        if len(claims) < request.limit:
            with self.bounds.looking():
                claims += yield from self._claim_from_the_front(request, params, request.limit - len(claims))
        self.bounds.remember(request, claims)
        return claims

    def _hold_before(self, params: Mapping[str, Any], hints: Sequence[Turn], claims: list[Claim]) -> Verb[bool]:
        """Where a claim walks long, what it walked over is set aside before it walks again; whether there is more."""
        incomplete = _incomplete(hints, claims)
        return (yield from self.hold_unknown(params, incomplete)) == MOST_HELD

    def claim_params(self, request: ClaimRequest) -> dict[str, Any]:
        """What every claim asks with."""
        return {"now": self.clock.now(), "worker": request.worker, "tasks": to_json(sorted(request.tasks))}

    def _claim_from_the_front(self, request: ClaimRequest, params: Mapping[str, Any], limit: int) -> Verb[list[Claim]]:
        claims: list[Claim] = []
        after, emptied = request.after, set[str]()
        while len(claims) < limit:
            busy = yield from self.find_busy_queues(request, after)
            queues = [queue for queue in busy if queue not in emptied]
            if not queues:
                break
            turns = share_out(queues, limit - len(claims))
            claimed = yield from self.claim_turns(params, turns)
            claims += claimed
            incomplete = _incomplete(turns, claimed)
            if incomplete:
                yield from self.hold_unknown(params, incomplete)
            emptied.update(incomplete)
            after = turns[-1]["queue"]
        return claims


def _incomplete(turns: Sequence[Turn], claims: Sequence[Claim]) -> list[str]:
    """The queues that gave less than their share."""
    got = Counter(claim.queue for claim in claims)
    return [turn["queue"] for turn in turns if got[turn["queue"]] < turn["share"]]


def share_out(queues: Sequence[str], limit: int) -> list[Turn]:
    """The turns of queues that share a limit.

    >>> share_out(["a", "b", "c"], 4)
    [{'queue': 'a', 'share': 2}, {'queue': 'b', 'share': 2}]
    """
    share = -(-limit // min(len(queues), MOST_QUEUES))
    serving = queues[: -(-limit // share)]
    return [{"queue": queue, "share": min(share, limit - share * place)} for place, queue in enumerate(serving)]


def in_turn(queues: Collection[str], after: str) -> list[str]:
    """Queues in the order in which they are served.

    >>> in_turn(["a", "b", "c"], "a")
    ['b', 'c', 'a']
    """
    return sorted(queues, key=lambda queue: (queue <= after, queue))
