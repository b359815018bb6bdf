"""The one question that a worker asks its store again and again: what is there to do?

Wakes tell a worker at once what changed; they are hints, and may be lost. Behind them stands this question, a single
statement, instead of a poll of each duty: an idle worker makes less than one query a second.
"""

import random
from collections.abc import Callable
from typing import Protocol

from turnspit.clock import monotonic
from turnspit.contract import Engine
from turnspit.records import Duties

__all__ = ["Lookout", "OnCall"]

_RARELY = 2.0
_WITHOUT_WAKES = 1.0
_BUSY_WITHOUT_WAKES = 0.5
"""A running job whose cancellation was requested is to stop within a second."""
_LOOKS_PER_LEASE = 7.5
_SHARE_OF_TIME = 20


class OnCall(Protocol):
    """A duty that sleeps until it is called for."""

    name: str

    def is_called_for(self, duties: Duties) -> bool:
        """Whether it should run now."""
        ...


class Lookout:
    """Asks, and hands the answer to ``act``.

    :param is_busy: whether a job runs or waits here.
    :param lease: seconds; the jobs of a dead worker should not wait much longer than that.
    """

    name = "lookout"

    def __init__(
        self,
        engine: Engine,
        *,
        worker: Callable[[], int],
        queues: tuple[str, ...] | None,
        tasks: Callable[[], frozenset[str]],
        is_busy: Callable[[], bool],
        lease: float,
        act: Callable[[Duties], None],
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._queues = queues
        self._tasks = tasks
        self._is_busy = is_busy
        self._lease = lease
        self._act = act

    async def run_once(self) -> float:
        """Ask once; seconds until the next time, so long that asking takes at most a twentieth of the time."""
        began = monotonic()
        self._act(await self._engine.aread(self._engine.find_duties, self._worker(), self._queues, self._tasks()))
        jitter = random.uniform(0.75, 1.25)  # noqa: S311  (so that a fleet does not ask all at once)
        return max(self._interval() * jitter, (monotonic() - began) * _SHARE_OF_TIME)

    def _interval(self) -> float:
        without_wakes = _BUSY_WITHOUT_WAKES if self._is_busy() else _WITHOUT_WAKES
        return min(_RARELY if self._engine.wakeups.arrive else without_wakes, self._lease / _LOOKS_PER_LEASE)
