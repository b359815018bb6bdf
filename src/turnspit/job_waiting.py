"""Waiting for the end of a job, and the error if that takes longer than the caller would wait."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from turnspit.clock import end_of, from_moment, monotonic
from turnspit.contract import Engine
from turnspit.contract.verbs import Wake, WakeKind
from turnspit.errors import ResultTimeout
from turnspit.records import JobRecord
from turnspit.states import JobState

__all__ = ["Patience", "about", "is_in_loop", "set_at_wakes", "set_at_wakes_in_loop", "wait_at_most"]

logger = logging.getLogger("turnspit")

_LOOK_AGAIN = 0.5
_SILENT = 10.0
"""Seconds after which a caller who waits for good is told what for."""
_telling = threading.Lock()
_told: set[tuple[str, str]] = set()
"""For which tasks, in which queues, this process has said so."""


def is_in_loop() -> bool:
    """Whether an event loop runs in this thread. A sync call blocks everything in it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def wait_at_most(event: asyncio.Event, seconds: float) -> None:
    """Wait until an event is set, for at most so many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def about(kind: WakeKind, number: int) -> Callable[[Wake], bool]:
    """Tells which wakes are of this kind, and may be about this job or workflow.

    :param number: the id of the job or workflow.
    """
    return lambda wake: wake.kind is kind and (not wake.jobs or number in wake.jobs)


@contextlib.contextmanager
def set_at_wakes(engine: Engine, is_relevant: Callable[[Wake], bool]) -> Iterator[threading.Event]:
    """An event that is set at each relevant wake of the store, as long as the block lasts."""
    woken = threading.Event()

    def listener(wake: Wake) -> None:
        if is_relevant(wake):
            woken.set()

    stop = engine.wakeups.listen(listener)
    try:
        yield woken
    finally:
        stop()


@contextlib.contextmanager
def set_at_wakes_in_loop(engine: Engine, is_relevant: Callable[[Wake], bool]) -> Iterator[asyncio.Event]:
    """``set_at_wakes`` for async code."""
    woken, loop = asyncio.Event(), asyncio.get_running_loop()

    def listener(wake: Wake) -> None:
        if not is_relevant(wake):
            return
        try:
            loop.call_soon_threadsafe(woken.set)
        except RuntimeError:  # the loop was closed, and the block has not ended: nobody else would end this
            stop()

    stop = engine.wakeups.listen(listener)
    try:
        yield woken
    finally:
        stop()


class Patience:
    """How long a caller waits for a job. Whoever waits for good is told once what for.

    :param timeout: seconds, or ``None``: for good.
    :param blocks_loop: whether the caller blocks an event loop while it waits.
    """

    def __init__(self, timeout: float | None, *, blocks_loop: bool = False) -> None:
        self._timeout = timeout
        self._until = end_of(_SILENT if timeout is None else timeout)
        self._blocks_loop = blocks_loop

    def until_next_look(self, record: JobRecord) -> float:
        """Seconds to wait for a wake, before the job is looked at again: a wake can get lost.

        :raises ResultTimeout: if the time is over; the message says what the job may be waiting for.
        """
        left = _LOOK_AGAIN if self._until is None else self._until - monotonic()
        if left > 0:
            return min(left, _LOOK_AGAIN)
        if self._timeout is not None:
            raise ResultTimeout(self._still_waits(record, self._timeout))
        self._until = None
        if record.state is not JobState.RUNNING and _is_news(record):
            logger.warning("%s", self._still_waits(record, _SILENT))
        return _LOOK_AGAIN

    def _still_waits(self, record: JobRecord, seconds: float) -> str:
        why = "; a worker in this event loop cannot run it meanwhile: await job.aget_result()"
        return (
            f"job {record.id} ({record.task}) is still {record.state} after {seconds:g} s"
            f"{why if self._blocks_loop else _why_waiting(record)}"
        )


def _is_news(record: JobRecord) -> bool:
    with _telling:
        is_news = (record.task, record.queue) not in _told
        _told.add((record.task, record.queue))
    return is_news


def _why_waiting(record: JobRecord) -> str:
    if record.state is JobState.READY:
        return f"; is a worker running that serves the queue {record.queue!r}?"
    if record.state is JobState.SCHEDULED:
        return f"; it is due at {from_moment(record.run_at):%Y-%m-%d %H:%M:%S} UTC"
    return f": {record.reason}" if record.state is JobState.HELD else ""
