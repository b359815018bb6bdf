"""Collects what ended, and what running jobs report, until it is stored.

An acknowledgement waits at most 20 ms: it rides with the next claim, or goes alone when its time is up or nothing
else is running. One that could not be stored stays here and is tried again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from turnspit._runtime.worker.alarm import Alarm
from turnspit._runtime.worker.completions import completion_of
from turnspit._runtime.worker.failures import storable
from turnspit._runtime.worker.settings import WorkerParts
from turnspit._runtime.worker.teller import Ended, Teller
from turnspit.errors import LostClaim
from turnspit.records import Claim, Completion, Finish, FinishReport, LogLine, ProgressUpdate
from turnspit.workflows import WorkflowBuilder

__all__ = ["Batch", "Ended", "Finisher"]

logger = logging.getLogger("turnspit")

_ACK_DELAY = 0.01
_PROGRESS_DELAY = 0.25
_FULL = 500
_FAR_BEHIND = 10_000
"""Attempts that ended and are not stored."""
_ASK_AGAIN = 1.0
_LONGEST_LINE = 10_000
_MOST_LINES = 1_000
"""The store keeps no more of a job."""


@dataclass(slots=True)
class Batch:
    """What is stored in one transaction."""

    ended: list[Ended] = field(default_factory=list)
    reports: dict[int, "Report"] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.ended or self.reports)

    @property
    def is_plain(self) -> bool:
        """Whether it is completions alone, from which nothing follows."""
        return not self.reports and all(
            type(each.finish) is Completion and each.claim.lane is None and each.claim.workflow is None
            for each in self.ended
        )

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

    __slots__ = ("claim", "cursor", "data", "lines", "message", "progress")

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.progress: float | None = None
        self.message: str | None = None
        self.data: str | None = None
        self.cursor: str | None = None
        self.lines: list[LogLine] = []

    def as_update(self) -> ProgressUpdate:
        """The report as it is stored."""
        claim, lines = self.claim, tuple(self.lines)
        return ProgressUpdate(claim.id, claim.fence, self.progress, self.message, lines, self.data, self.cursor)


class Finisher:
    """Used on the worker's event loop; jobs in threads report through it too."""

    def __init__(self, parts: WorkerParts, *, is_idle: Callable[[], bool], signal: Callable[[], None]) -> None:
        self.teller = Teller(parts.tasks, parts.bus, signal)
        self._parts = parts
        self._is_idle = is_idle
        self._signal = signal
        self._loop = asyncio.get_running_loop()
        self._ended: list[Ended] = []
        self._reports: dict[int, Report] = {}
        self._alarm = Alarm(self._set_due)
        self._due = False
        self.in_flight: list[Ended] = []
        self.finished = 0
        self.may_release = False
        """Whether what is to be stored may make others of a workflow ready: then whoever stores it claims too."""

    def add(self, ended: Ended) -> None:
        """An attempt ended."""
        self._ended.append(ended)
        self.finished += 1
        self.may_release = self.may_release or ended.claim.workflow is not None
        if self._due:
            return
        if len(self._ended) >= _FULL or self._is_idle():
            self._set_due()
        else:
            self._alarm.set(_ACK_DELAY)

    def report_progress(self, claim: Claim, progress: float, message: str | None, data: str | None) -> None:
        """Keep the newest progress of a running job. From any thread."""

        text = None if message is None else storable(str(message))[:_LONGEST_LINE]

        def keep() -> None:
            report = self._report_of(claim)
            report.progress, report.message, report.data = progress, text, data

        self._on_loop(keep)

    def report_cursor(self, claim: Claim, cursor: str) -> None:
        """Keep how far the iterations of a running job are. From any thread."""

        def keep() -> None:
            self._report_of(claim).cursor = cursor

        self._on_loop(keep)

    def report_log(self, claim: Claim, level: str, message: str) -> None:
        """Keep a log line of a running job. From any thread."""
        line = LogLine(claim.attempt, None, level, storable(str(message))[:_LONGEST_LINE])

        def keep() -> None:
            report = self._report_of(claim)
            if len(report.lines) <= _MOST_LINES:
                report.lines.append(line)

        self._on_loop(keep)

    def finish_in(self, tx: object, claim: Claim, result: Any) -> None:
        """Complete a running job inside its task's own transaction. From any thread.

        :raises LostClaim: if its claim is no longer current.
        """
        engine = self._parts.engine
        if not engine.write_in(tx, engine.finish_job, self._completion(claim, result)):
            raise _lost(claim)

    async def afinish_in(self, tx: object, claim: Claim, result: Any) -> None:
        """``finish_in`` for async code."""
        engine = self._parts.engine
        if not await engine.awrite_in(tx, engine.finish_job, self._completion(claim, result)):
            raise _lost(claim)

    def extend_workflow(self, claim: Claim) -> WorkflowBuilder:
        """What adds jobs to a running job's own workflow. From any thread."""
        return WorkflowBuilder(self._parts.workflow_writer, None, by=(claim.id, claim.fence))

    def _completion(self, claim: Claim, result: Any) -> Completion:
        return completion_of(self._parts.tasks[claim.task], claim, result, self._parts.max_result)

    def _on_loop(self, keep: Callable[[], None]) -> None:
        """At once on the worker's own loop, so that a job's last words are there before its end is stored."""
        try:
            is_here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_here = False
        if is_here:
            keep()
            return
        with contextlib.suppress(RuntimeError):  # a thread that was left behind: its worker has ended
            self._loop.call_soon_threadsafe(keep)

    def _report_of(self, claim: Claim) -> Report:
        self._alarm.set(_PROGRESS_DELAY)
        return self._reports.setdefault(claim.id, Report(claim))

    def _set_due(self) -> None:
        self._due = True
        self._signal()

    @property
    def is_due(self) -> bool:
        """Whether something has waited long enough."""
        return self._due

    @property
    def waiting(self) -> int:
        """How many attempts ended and are not on their way to the store."""
        return len(self._ended)

    @property
    def is_far_behind(self) -> bool:
        """Whether the store or the listeners cannot keep up with the jobs: then nothing more should begin."""
        return self.teller.is_far_behind or len(self._ended) >= _FAR_BEHIND

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
        self._due = self.may_release = False
        self._alarm.clear()
        reports, self._reports = self._reports, {}
        batch = Batch(self._ended, reports)
        self._ended = []
        self.in_flight = batch.ended
        return batch

    def put_back(self, batch: Batch) -> None:
        """Keep what could not be stored, before what came since."""
        self._ended[:0] = batch.ended
        self.in_flight = []
        for report in batch.reports.values():
            self._keep(report)

    def _keep(self, report: Report) -> None:
        """Of one that could not be stored: its lines come before what was reported since."""
        newer = self._reports.setdefault(report.claim.id, report)
        if newer is not report:
            newer.lines[:0] = report.lines
            if newer.progress is None:
                newer.progress, newer.message, newer.data = report.progress, report.message, report.data
            newer.cursor = newer.cursor or report.cursor

    def retry(self) -> None:
        """What could not be stored is due again."""
        if not self.is_empty:
            self._set_due()

    def settle(self, batch: Batch, report: FinishReport) -> None:
        """The batch is stored."""
        self.in_flight = []
        for job, fence in report.lost:
            logger.warning("job %s: claim %s was no longer current, its end was not stored", job, fence)
        undecided = [each for each in batch.ended if (each.claim.id, each.claim.fence) in report.undecided]
        if undecided:
            self._ask_again(undecided)
        ended = {each.claim.id for each in batch.ended} - {each.claim.id for each in undecided}
        for job, fence in report.locked:
            if job in batch.reports and job not in ended and batch.reports[job].claim.fence == fence:
                self._keep(batch.reports[job])
                self._alarm.set(_ASK_AGAIN)

    def _ask_again(self, undecided: list[Ended]) -> None:
        for each in undecided:
            logger.warning(
                "job %s (%s) has returned, but the transaction of its job.finish() is still open: looking again",
                each.claim.id,
                each.claim.task,
            )
        self._ended += undecided
        self._alarm.set(_ASK_AGAIN)

    async def stored(self, batch: Batch, report: FinishReport) -> None:
        """The batch is stored: tell whoever listens, before this returns."""
        self.settle(batch, report)
        await self.teller.tell(batch.ended, report)


def _lost(claim: Claim) -> LostClaim:
    return LostClaim(
        f"job {claim.id} ({claim.task}) is not this worker's any more: it was taken over or has ended; "
        "let the transaction roll back, nothing of it may stay"
    )
