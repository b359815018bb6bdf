"""Jobs with a crash behind them. At most one of them runs in a process, and it begins alone.

So a crash has one suspect, and the store knows which: of those that a dead worker had, only the one that was claimed
first can have begun (``rescue_jobs``). What crashes its process mostly does so soon: after ten seconds others may begin
beside it, for a long job, or a thread that hangs, must not stop a worker.
"""

import asyncio
from collections.abc import Callable, Iterable

from turnspit.clock import monotonic
from turnspit.records import Claim

__all__ = ["Suspects"]

_ALONE = 10.0
"""Seconds for which a suspect keeps its worker to itself, and for which it waits for that."""


class Suspects:
    """Those of one worker.

    :param on_change: called when others may begin again, or one of them has waited long enough.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self.waiting: list[Claim] = []
        self._running: Claim | None = None
        self._alone: asyncio.TimerHandle | None = None
        self._waiting_since: float | None = None
        self._idle_since = 0.0

    @property
    def is_alone(self) -> bool:
        """Whether one of them has its worker to itself."""
        return self._alone is not None

    @property
    def are_next(self) -> bool:
        """Whether one of them is to begin before anybody else."""
        return bool(self.waiting) and self._running is None

    def add(self, claims: Iterable[Claim]) -> None:
        """Take these; the one that was claimed first comes first."""
        self.waiting = sorted([*self.waiting, *claims], key=lambda claim: (claim.started_at, claim.id))
        self._idle_since = monotonic()

    def begin(self, *, has_neighbours: bool) -> Claim | None:
        """The next one, which begins now; ``None`` while it waits for its neighbours to end."""
        if has_neighbours and not self._waited_long():
            return None
        self._waiting_since = None
        self._running = self.waiting.pop(0)
        self._alone = self._loop.call_later(_ALONE, self._let_others_begin)
        return self._running

    def _waited_long(self) -> bool:
        if self._waiting_since is None:
            self._waiting_since = monotonic()
            self._loop.call_later(_ALONE, self._on_change)
        return monotonic() - self._waiting_since >= _ALONE

    def _let_others_begin(self) -> None:
        self._alone = None
        self._idle_since = monotonic()
        self._on_change()

    def ended(self, claim: Claim) -> None:
        """A job has ended here, one of them or another."""
        if self._running is claim:
            self._running = None
            self.close()

    def take_idle(self) -> list[Claim]:
        """Those that have waited long behind a long one: others may have time for them."""
        if self._running is None or self.is_alone or monotonic() - self._idle_since < _ALONE:
            return []
        idle, self.waiting = self.waiting, []
        return idle

    def close(self) -> None:
        """Forget the timer."""
        if self._alone is not None:
            self._alone.cancel()
            self._alone = None
