"""Tells those who listen what became of the attempts that ended: event handlers, and a task's ``on_dead``.

It works beside the exchanges with the store: a slow listener delays no claim and no finish, and one that
waits for another job of this worker does not wait for itself. While it is far behind, its worker claims nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from turnspit._runtime.calling import call_listener
from turnspit._runtime.worker.failures import describe, in_one_line
from turnspit.blueprints import TaskRegistry
from turnspit.context import JobContext, in_job
from turnspit.events import Event, EventBus, EventName
from turnspit.logs import guarded_logger
from turnspit.records import Claim, Confirmation, Ending, EndingMove, ErrorRecord, Finish, FinishReport
from turnspit.states import JobState

__all__ = ["Ended", "Teller", "log_retry"]

logger = logging.getLogger("turnspit")
dead_letters = guarded_logger("turnspit.dead")
"""A logger of its own, so that an error tracker, which is told of the exception itself, can leave its lines out."""

_FAR_BEHIND = 100
_EVENT_BY_STATE: dict[JobState, EventName] = {
    JobState.COMPLETED: "completed",
    JobState.CANCELLED: "cancelled",
    JobState.DEAD: "dead",
    JobState.SCHEDULED: "failed",
    JobState.READY: "failed",
    JobState.HELD: "failed",
}


class Ended(NamedTuple):
    """An attempt that ended, and what its listeners want to know."""

    finish: Finish
    claim: Claim
    context: JobContext
    seconds: float
    error: BaseException | None = None

    @property
    def ending(self) -> Ending | None:
        """How it ended if it did not complete."""
        finish = self.finish.otherwise if isinstance(self.finish, Confirmation) else self.finish
        return finish if isinstance(finish, Ending) else None


class Teller:
    """Tells in the order in which the attempts were stored."""

    def __init__(self, tasks: TaskRegistry, bus: EventBus, on_caught_up: Callable[[], None]) -> None:
        self._tasks = tasks
        self._bus = bus
        self._on_caught_up = on_caught_up
        self._waiting: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()

    def add(self, ended: list[Ended], report: FinishReport) -> None:
        """These attempts are stored: tell soon."""
        if self._concerns_anybody(report):
            self.call_soon(partial(self.tell, ended, report))

    def call_soon(self, tell: Callable[[], Awaitable[None]]) -> None:
        """Something else is to be told, behind what waits."""
        self._waiting.put_nowait(tell)

    @property
    def is_far_behind(self) -> bool:
        """Whether the listeners cannot keep up with the jobs."""
        return self._waiting.qsize() >= _FAR_BEHIND

    async def run(self) -> None:
        """Tell what waits, until cancelled."""
        while True:
            tell = await self._waiting.get()
            try:
                await tell()
            except (
                Exception
            ):  # whatever it is: a worker whose teller has ended would tell nobody, and soon claim nothing
                logger.exception("listeners could not be told of what became of their jobs")
            finally:
                self._waiting.task_done()
            if self._waiting.qsize() == _FAR_BEHIND - 1:
                self._on_caught_up()

    async def finish(self, seconds: float) -> None:
        """Wait until everything is told, but no longer than this."""
        try:
            async with asyncio.timeout(seconds):
                await self._waiting.join()
        except TimeoutError:
            logger.warning("event handlers did not end within %g s: not every event was told", seconds)

    async def tell(self, ended: list[Ended], report: FinishReport) -> None:
        """Tell of these attempts now."""
        if not self._concerns_anybody(report):
            return
        lost = set(report.lost)
        for each in ended:
            if (each.claim.id, each.claim.fence) in report.undecided:
                continue
            await self._tell_one(each, report, is_lost=(each.claim.id, each.claim.fence) in lost)

    def _concerns_anybody(self, report: FinishReport) -> bool:
        return bool(report.states or report.lost or self._bus.wants("completed"))

    async def _tell_one(self, ended: Ended, report: FinishReport, *, is_lost: bool) -> None:
        claim, ending = ended.claim, ended.ending
        state = report.states.get(claim.id, JobState.COMPLETED)
        name = "lost" if is_lost else _EVENT_BY_STATE[state]
        if name == "failed" and ending is not None and ending.move is EndingMove.SNOOZE:
            name = "snoozed"
        if name == "failed" and ending is not None and isinstance(ended.finish, Confirmation):
            with in_job(ended.context):
                log_retry(claim, ending)
        if name == "dead" and ended.error is not None:
            await self.call_on_dead(ended.context, ended.error, None if ending is None else ending.error)
        if self._bus.wants(name):
            error = None if ending is None or name == "completed" else ending.error
            event = Event(
                name,
                claim.id,
                claim.task,
                claim.queue,
                claim.attempt,
                None if error is None else error.type,
                None if error is None else error.message,
                ended.seconds,
                error=ended.error if name in ("failed", "dead") else None,
            )
            await self._bus.send(event)

    async def call_on_dead(self, context: JobContext, error: BaseException, record: ErrorRecord | None = None) -> None:
        """Tell the task that its job is a dead letter now; a plain function in a thread, as its job ran.

        :param record: the error as it is stored, if that was made already: it takes longer than the rest of the end.
        """
        with in_job(context):
            await self._call_on_dead(context, error, record or describe(error, context.task))

    async def _call_on_dead(self, context: JobContext, error: BaseException, record: ErrorRecord) -> None:
        task = self._tasks.get(context.task)
        why = in_one_line(record)
        dead_letters.error("job %s (%s) is dead: %s", context.id, context.task, why)
        if task is None or task.on_dead is None:
            return
        failure = f"on_dead of {task.name} failed for job {context.id}"
        await call_listener(task.on_dead, context, error, failure=failure)


def log_retry(claim: Claim, ending: Ending) -> None:
    """Say that an attempt has failed and is followed by another; nothing of any other end."""
    if ending.move is not EndingMove.RETRY:
        return
    seconds = ending.delay / 1_000_000
    why = in_one_line(ending.error)
    logger.info(
        "job %s (%s) failed, attempt %s, the next in %.3g s: %s", claim.id, claim.task, claim.attempt, seconds, why
    )
