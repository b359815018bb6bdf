"""Where the next claim begins: behind what this process claimed last.

A claim that begins at the front of its queue walks over what is no use to it: jobs of tasks that its worker does not
know (77 ms for 300,000), and on PostgreSQL the index entries of claimed jobs, which a transaction that stays open keeps
alive (190-330 ms at half a million to a million). So a claim looks behind the last job of its queue first. That is a
hint and may miss jobs: a late commit, a retry, a more urgent one. Hence a claim begins at the front regularly, as often
as costs no more than a twentieth of the time, and whenever the hint does not fill it and nothing is left to be set
aside before the jobs.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from turnspit.clock import monotonic
from turnspit.contract.jobs import MOST_QUEUES
from turnspit.records import Claim, ClaimRequest

__all__ = ["ClaimBounds"]

_SHARE_OF_TIME = 20
_SLOW = 0.010
"""Seconds: a claim that is faster needs no hint, and keeps to the order of priorities without one."""
_SMALLEST = 10
"""Jobs: a worker that asks for fewer is not in a hurry."""


class ClaimBounds:
    """The last claimed job of each queue."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int]] = {}
        self._front_at = 0.0
        self._lock = threading.Lock()

    def turns(self, request: ClaimRequest) -> list[dict[str, Any]]:
        """The turns of a claim behind the bounds; none if it is to begin at the front."""
        with self._lock:
            if request.limit < _SMALLEST or monotonic() >= self._front_at:
                return []
            wanted = self._last.keys() if request.queues is None else self._last.keys() & request.queues
            if not wanted:
                return []
            served = sorted(wanted, key=lambda queue: (queue <= request.after, queue))[:MOST_QUEUES]
            share = -(-request.limit // len(served))
            return [
                {"queue": queue, "share": size, "priority": self._last[queue][0], "after": self._last[queue][1]}
                for place, queue in enumerate(served)
                if (size := min(share, request.limit - share * place)) > 0
            ]

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Measure a claim that begins at the front, and decide when the next one may."""
        started = monotonic()
        yield
        with self._lock:
            now = monotonic()
            took = now - started
            self._front_at = now + took * _SHARE_OF_TIME if took > _SLOW else 0.0

    def remember(self, request: ClaimRequest, claims: list[Claim], *, is_all: bool = True) -> None:
        """Keep where a batch ended; an incomplete one drops every bound.

        :param is_all: whether the front was looked at, if the bounds gave too little.
        """
        with self._lock:
            if len(claims) < request.limit and is_all:
                self._last.clear()
            else:
                self._last.update((claim.queue, (claim.priority, claim.id)) for claim in claims)
