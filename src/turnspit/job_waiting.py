"""How somebody waits for a job to end, and what is said when that takes longer than they would."""

import asyncio
import contextlib
from collections.abc import Callable

from turnspit.clock import from_moment, monotonic
from turnspit.contract.verbs import Wake, WakeKind
from turnspit.errors import ResultTimeout
from turnspit.records import JobRecord
from turnspit.states import JobState

__all__ = ["is_in_loop", "time_to_wait", "wait_at_most", "when_finished"]

_LOOK_AGAIN = 0.5


def is_in_loop() -> bool:
    """Whether an event loop runs in this thread: a sync call holds up everything in it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def wait_at_most(event: asyncio.Event, seconds: float) -> None:
    """Wait until an event is set, or this time is over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def when_finished(job_id: int, then: Callable[[], object]) -> Callable[[Wake], None]:
    """A listener that calls ``then`` when the job has ended, or may have."""

    def listener(wake: Wake) -> None:
        if wake.kind is WakeKind.FINISHED and (not wake.jobs or job_id in wake.jobs):
            then()

    return listener


def time_to_wait(record: JobRecord, until: float | None, timeout: float | None, *, blocks_loop: bool = False) -> float:
    """Seconds until the next look at a job, which no wake may tell of.

    :param until: when to give up, by ``monotonic``; ``None``: never.
    :param blocks_loop: who waits holds up an event loop.
    :raises ResultTimeout: if the time is over, saying why that may be.
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
