"""How a claim goes through the queues, on any engine."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from turnspit.contract.verbs import Statement, Verb
from turnspit.engines.verbs.base import VerbBase
from turnspit.engines.verbs.bounds import ClaimBounds
from turnspit.engines.verbs.rows import to_json
from turnspit.engines.verbs.turns import Turn, share_out
from turnspit.records import Claim, ClaimRequest

__all__ = ["MOST_HELD", "ClaimVerbs"]

MOST_HELD = 2000
"""How many jobs of unknown tasks one claim holds at most: 300,000 at once kept the write lock for 3.5 s."""


class ClaimVerbs(VerbBase):
    """Claims of jobs without limits."""

    bounds: ClaimBounds

    @abstractmethod
    def claim_turns(self, params: Mapping[str, Any], turns: Sequence[Turn]) -> Verb[list[Claim]]:
        """Claim from these queues in this order, its share from each. Either all turns have a bound, or none has."""

    @abstractmethod
    def find_busy_queues(self, request: ClaimRequest, after: str) -> Verb[list[str]]:
        """The served queues that have work, in turn, beginning after queue ``after``; at most ``MOST_QUEUES``."""

    @abstractmethod
    def hold_unknown(self, params: Mapping[str, Any], queues: Sequence[str]) -> Verb[int]:
        """Hold jobs whose task no live worker knows, so that they cannot slow later claims; how many. If there are more
        than ``MOST_HELD``, workers are woken to hold the rest.
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
        """Before another scan, hold the unknown jobs that this one passed over; whether there may be more of them."""
        incomplete = _incomplete(hints, claims)
        return (yield from self.hold_unknown(params, incomplete)) == MOST_HELD

    def claim_params(self, request: ClaimRequest) -> dict[str, Any]:
        """The parameters of every claim."""
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
