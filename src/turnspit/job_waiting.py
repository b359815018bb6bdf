"""Waiting for the end of a job, and the error if that takes longer than the caller would wait."""

import asyncio
import contextlib
from collections.abc import Callable

from turnspit.clock import from_moment, monotonic
from turnspit.contract.verbs import Wake, WakeKind
from turnspit.errors import ResultTimeout
from turnspit.records import JobRecord
from turnspit.states import JobState

__all__ = ["is_in_loop", "time_to_wait", "wait_at_most", "when_woken"]

_LOOK_AGAIN = 0.5


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


def when_woken(kind: WakeKind, number: int, then: Callable[[], object]) -> Callable[[Wake], None]:
    """A listener that calls ``then`` at each wake of this kind that may be about this job or workflow.

    :param number: the id of the job or workflow.
    """

    def listener(wake: Wake) -> None:
        if wake.kind is kind and (not wake.jobs or number in wake.jobs):
            then()

    return listener


def time_to_wait(record: JobRecord, until: float | None, timeout: float | None, *, blocks_loop: bool = False) -> float:
    """Seconds to wait for a wake, before the job is looked at again: a wake can get lost.

    :param until: when to give up, by ``monotonic``; ``None``: never.
    :param timeout: the seconds that the caller gave, for the error.
    :param blocks_loop: whether the caller blocks an event loop while it waits.
    :raises ResultTimeout: if the time is over; the message says what the job may be waiting for.
    """
    if until is None:
        return _LOOK_AGAIN
    left = until - monotonic()
    if left <= 0:
        why = "; a worker in this event loop cannot run it meanwhile: await job.aget_result()"
        raise ResultTimeout(
            f"job {record.id} ({record.task}) is still {record.state} after {timeout:g} s"
            f"{why if blocks_loop else _why_waiting(record)}"
        )
    return min(left, _LOOK_AGAIN)


def _why_waiting(record: JobRecord) -> str:
    if record.state is JobState.READY:
        return f"; is a worker running that serves the queue {record.queue!r}?"
    if record.state is JobState.SCHEDULED:
        return f"; it is due at {from_moment(record.run_at):%Y-%m-%d %H:%M:%S} UTC"
    return f": {record.reason}" if record.state is JobState.HELD else ""
