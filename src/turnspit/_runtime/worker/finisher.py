"""Collects what ended, and what running jobs report, until it is stored.

An acknowledgement waits at most 20 ms: it rides with the next claim, or goes alone when its time is up or nothing
else is running. One that could not be stored stays here and is tried again.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from turnspit.blueprints import TaskRegistry
from turnspit.context import JobContext
from turnspit.events import Event, EventBus, EventName
from turnspit.records import Claim, Completion, Finish, FinishReport, LogLine, ProgressUpdate
from turnspit.states import JobState

__all__ = ["Batch", "Ended", "Finisher"]

logger = logging.getLogger("turnspit")

_ACK_DELAY = 0.01
_PROGRESS_DELAY = 0.25
_FULL = 500
_EVENT_BY_STATE: dict[JobState, EventName] = {
    JobState.COMPLETED: "completed",
    JobState.CANCELLED: "cancelled",
    JobState.DEAD: "dead",
    JobState.SCHEDULED: "failed",
    JobState.READY: "failed",
}


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that ended, and what its listeners want to know."""

    finish: Finish
    claim: Claim
    context: JobContext
    seconds: float
    error: BaseException | None = None


@dataclass(slots=True)
class Batch:
    """What is stored in one transaction."""

    ended: list[Ended] = field(default_factory=list)
    reports: dict[int, "Report"] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.ended or self.reports)

    @property
    def updates(self) -> list[ProgressUpdate]:
        """What running jobs reported."""
        return [report.as_update() for report in self.reports.values()]

    @property
    def finishes(self) -> list[Finish]:
        """The finishes, in the order in which they happened."""
        return [each.finish for each in self.ended]


class Report:
    """What one running job reported and is not stored yet."""

    __slots__ = ("claim", "lines", "message", "progress")

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.progress: float | None = None
        self.message: str | None = None
        self.lines: list[LogLine] = []

    def as_update(self) -> ProgressUpdate:
        """The report as it is stored."""
        return ProgressUpdate(self.claim.id, self.claim.fence, self.progress, self.message, tuple(self.lines))


class Finisher:
    """Used on the worker's event loop; jobs in threads report through it too."""

    def __init__(
        self, *, tasks: TaskRegistry, bus: EventBus, is_idle: Callable[[], bool], signal: Callable[[], None]
    ) -> None:
        self._tasks = tasks
        self._bus = bus
        self._is_idle = is_idle
        self._signal = signal
        self._loop = asyncio.get_running_loop()
        self._ended: list[Ended] = []
        self._reports: dict[int, Report] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = False
        self.in_flight: list[Ended] = []
        self.finished = 0

    def add(self, ended: Ended) -> None:
        """An attempt ended."""
        self._ended.append(ended)
        self.finished += 1
        if len(self._ended) >= _FULL or self._is_idle():
            self._set_due()
        else:
            self._start_timer(_ACK_DELAY)

    def report_progress(self, claim: Claim, progress: float, message: str | None) -> None:
        """Keep the newest progress of a running job. From any thread."""

        def keep() -> None:
            report = self._report_of(claim)
            report.progress, report.message = progress, message

        self._loop.call_soon_threadsafe(keep)

    def report_log(self, claim: Claim, level: str, message: str) -> None:
        """Keep a log line of a running job. From any thread."""
        line = LogLine(claim.attempt, None, level, message[:10_000])
        self._loop.call_soon_threadsafe(lambda: self._report_of(claim).lines.append(line))

    def _report_of(self, claim: Claim) -> Report:
        self._start_timer(_PROGRESS_DELAY)
        return self._reports.setdefault(claim.id, Report(claim))

    def _start_timer(self, delay: float) -> None:
        when = self._loop.time() + delay
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._set_due)

    def _set_due(self) -> None:
        self._due = True
        self._signal()

    @property
    def is_due(self) -> bool:
        """Whether something has waited long enough."""
        return self._due

    @property
    def is_empty(self) -> bool:
        """Whether everything is stored."""
        return not (self._ended or self._reports or self.in_flight)

    @property
    def held(self) -> set[int]:
        """The jobs whose end is not stored yet."""
        return {each.claim.id for each in (*self._ended, *self.in_flight)}

    def take(self) -> Batch:
        """Everything that waits; give it back with ``put_back`` if it could not be stored."""
        self._due = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        reports, self._reports = self._reports, {}
        batch = Batch(self._ended, reports)
        self._ended = []
        self.in_flight = batch.ended
        return batch

    def put_back(self, batch: Batch) -> None:
        """Keep what could not be stored, before what came since."""
        self._ended[:0] = batch.ended
        self.in_flight = []
        for job, report in batch.reports.items():
            newer = self._reports.setdefault(job, report)
            if newer is not report:
                newer.lines[:0] = report.lines
                newer.progress = report.progress if newer.progress is None else newer.progress

    def retry(self) -> None:
        """What could not be stored is due again."""
        if not self.is_empty:
            self._set_due()

    async def stored(self, batch: Batch, report: FinishReport) -> None:
        """The batch is stored: tell whoever listens."""
        self.in_flight = []
        for job, fence in report.lost:
            logger.warning("job %s: claim %s was no longer current, its end was not stored", job, fence)
        if not (report.states or report.lost or self._bus.wants("completed")):
            return
        lost = set(report.lost)
        for ended in batch.ended:
            await self._tell(ended, report, is_lost=(ended.claim.id, ended.claim.fence) in lost)

    async def _tell(self, ended: Ended, report: FinishReport, *, is_lost: bool) -> None:
        claim, error = ended.claim, ended.error
        state = report.states.get(claim.id, JobState.COMPLETED)
        name = "lost" if is_lost else _EVENT_BY_STATE[state]
        if name == "failed" and not isinstance(ended.finish, Completion) and ended.finish.move == "snoozed":
            name = "snoozed"
        if name == "dead" and error is not None:
            await self.call_on_dead(ended.context, error)
        if self._bus.wants(name):
            kind = None if error is None else type(error).__name__
            message = None if error is None else str(error)
            event = Event(name, claim.id, claim.task, claim.queue, claim.attempt, kind, message, ended.seconds)
            await self._bus.send(event)

    async def call_on_dead(self, context: JobContext, error: BaseException) -> None:
        """Tell the task that its job is a dead letter now."""
        task = self._tasks.get(context.task)
        logger.error("job %s (%s) is dead: %s: %s", context.id, context.task, type(error).__name__, error)
        if task is None or task.on_dead is None:
            return
        try:
            answer: Any = task.on_dead(context, error)
            if asyncio.iscoroutine(answer):
                await answer
        except Exception:
            logger.exception("on_dead of %s failed for job %s", task.name, context.id)
