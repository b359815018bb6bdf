"""Where the next claim begins to scan: after what this process claimed last.

A claim that scans its queue from the front passes entries of no use to it: jobs of tasks that its worker does not know
(77 ms for 300,000), and on PostgreSQL index entries of claimed jobs, which a long transaction keeps from being removed
(190-330 ms for half a million to a million). So a claim first looks after the last job that was claimed from its queue.
That is a hint, and may miss jobs: a late commit, a retry, a more urgent job. Hence claims also scan from the front:
regularly, as often as takes no more than a twentieth of the time; and whenever the hint gives too few jobs, once there
are no more jobs of unknown tasks to be held first.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from turnspit.clock import monotonic
from turnspit.engines.verbs.turns import Turn, in_turn, share_out
from turnspit.records import Claim, ClaimRequest

__all__ = ["ClaimBounds"]

_SHARE_OF_TIME = 20
_SLOW = 0.010
"""Seconds. A faster scan needs no hint, and without one it keeps strictly to the priorities."""
_SMALLEST = 10
"""Jobs. A worker that asks for fewer is not in a hurry, and scans from the front."""


class ClaimBounds:
    """The last claimed job of each queue."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int]] = {}
        self._front_at = 0.0
        self._lock = threading.Lock()

    def turns(self, request: ClaimRequest) -> list[Turn]:
        """The turns of a claim after the bounds; none if it is to scan from the front."""
        with self._lock:
            if request.limit < _SMALLEST or monotonic() >= self._front_at:
                return []
            wanted = self._last.keys() if request.queues is None else self._last.keys() & request.queues
            if not wanted:
                return []
            return [self._behind(turn) for turn in share_out(in_turn(wanted, request.after), request.limit)]

    def _behind(self, turn: Turn) -> Turn:
        priority, job = self._last[turn["queue"]]
        return {**turn, "priority": priority, "after": job}

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Measure a scan from the front, and decide when the next one is due."""
        started = monotonic()
        yield
        with self._lock:
            now = monotonic()
            took = now - started
            self._front_at = now + took * _SHARE_OF_TIME if took > _SLOW else 0.0

    def remember(self, request: ClaimRequest, claims: list[Claim], *, is_all: bool = True) -> None:
        """Keep the last claimed job of each queue. An incomplete batch drops every bound.

        :param is_all: whether the front was scanned too, where the bounds gave too few jobs.
        """
        with self._lock:
            if len(claims) < request.limit and is_all:
                self._last.clear()
            else:
                self._last.update((claim.queue, (claim.priority, claim.id)) for claim in claims)
