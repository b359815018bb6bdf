"""Collects what ended, and what running jobs report, until it is stored.

An end is stored after 10 ms at the latest, after 2 ms where nothing else runs, and before that where a claim takes it
along. What could not be stored stays here and is tried again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from turnspit._runtime.worker.alarm import Alarm
from turnspit._runtime.worker.failures import storable
from turnspit._runtime.worker.job_writes import JobWrites
from turnspit._runtime.worker.settings import WorkerParts
from turnspit._runtime.worker.teller import Ended, Teller
from turnspit.clock import monotonic
from turnspit.records import Claim, Completion, Finish, FinishReport, LogLine, ProgressUpdate

__all__ = ["Ended", "Finisher", "Portion"]

logger = logging.getLogger("turnspit")

_FINISH_DELAY = 0.01
_IDLE_PAUSE = 0.002
"""Seconds from one portion to the next while nothing runs: a job that comes meanwhile is claimed before it."""
_PROGRESS_DELAY = 0.25
_FULL = 500
_FAR_BEHIND = 10_000
"""Attempts that ended and are not stored."""
_MOST_FAILED = 100
"""Failed attempts that are stored at once: each takes statements of its own, all of which share one deadline."""
_MOST = _FAR_BEHIND
_ASK_AGAIN = 1.0
_REFUSED_AGAIN = 5.0
_LONGEST_LINE = 10_000
_MOST_LINES = 1_000
"""The store keeps no more of a job."""


@dataclass(slots=True)
class Portion:
    """What is stored in one transaction."""

    ended: list[Ended] = field(default_factory=list)
    reports: dict[tuple[int, int], "Report"] = field(default_factory=dict)
    """By job and fence: while one waits for the store, its job may come back to this worker with another claim."""

    def __bool__(self) -> bool:
        return bool(self.ended or self.reports)

    @property
    def is_plain(self) -> bool:
        """Whether it holds only completions of jobs without limit or workflow, so that nothing follows from them."""
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


class Finisher(JobWrites):
    """Used on the worker's event loop; jobs in threads report through it too."""

    def __init__(self, parts: WorkerParts, *, is_idle: Callable[[], bool], signal: Callable[[], None]) -> None:
        super().__init__(parts)
        self.teller = Teller(parts.tasks, parts.bus, signal)
        self._is_idle = is_idle
        self._signal = signal
        self._loop = asyncio.get_running_loop()
        self._ended: list[Ended] = []
        self._reports: dict[tuple[int, int], Report] = {}
        self._alarm = Alarm(self._set_due)
        self._due = False
        self._taken_at = float("-inf")
        self.in_flight: list[Ended] = []
        self._most = _MOST
        """How many ends go into a portion: fewer while it is looked for the one that the store refuses."""
        self._refused: list[Ended] = []
        self._refused_alarm = Alarm(self._ask_for_refused)
        self._undecided: list[Ended] = []
        """Those whose job.finish() is in a transaction that is still open."""
        self._undecided_alarm = Alarm(self.ask_for_undecided)
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
        is_full, is_idle = len(self._ended) >= _FULL, self._is_idle()
        delay = self._taken_at + _IDLE_PAUSE - monotonic() if is_idle else _FINISH_DELAY
        if is_full or delay <= 0:
            self._set_due()
            return
        self._alarm.set(delay)
        if is_idle:
            self._signal()  # nothing is due, and a claim can be made ready for the next job

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

    def _on_loop(self, keep: Callable[[], None]) -> None:
        """Keep a report: at once on the worker's own loop, so that a job's last one is there before its end."""
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
        return self._reports.setdefault((claim.id, claim.fence), Report(claim))

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
        unstored = len(self._ended) + len(self.in_flight) + len(self._undecided)
        return self.teller.is_far_behind or unstored >= _FAR_BEHIND

    @property
    def is_empty(self) -> bool:
        """Whether everything is stored."""
        return not (self._ended or self._reports or self.in_flight or self._undecided or self._refused)

    @property
    def is_storing(self) -> bool:
        """Whether an end is not stored yet. One that the store refuses does not count: it may do so for good."""
        return bool(self._ended or self.in_flight or self._undecided)

    @property
    def unstored(self) -> set[int]:
        """The jobs whose end is not stored yet."""
        return {each.claim.id for each in (*self._ended, *self.in_flight, *self._undecided, *self._refused)}

    def take(self) -> Portion:
        """Take what has waited longest, as much as one transaction should carry; what is left is due at once.

        Give it back with ``put_back`` if it could not be stored.
        """
        self._alarm.clear()
        failed = (place for place, each in enumerate(self._ended) if type(each.finish) is not Completion)
        most = min(self._most, next(islice(failed, _MOST_FAILED, None), len(self._ended)))
        ended = self._ended[:most]
        if ended:
            self._taken_at = monotonic()
        portion = Portion(ended, self._take_reports(ended))
        self._ended = self._ended[most:]
        self._due = bool(self._ended)
        if self._reports:
            self._alarm.set(_PROGRESS_DELAY)
        self.may_release = any(each.claim.workflow is not None for each in self._ended)
        self.in_flight = portion.ended
        return portion

    def _take_reports(self, ended: list[Ended]) -> dict[tuple[int, int], Report]:
        """All reports; while a refused end is looked for, those of these jobs."""
        if self._most == _MOST or not ended:
            reports, self._reports = self._reports, {}
            return reports
        own = {(each.claim.id, each.claim.fence) for each in ended} & self._reports.keys()
        return {claim: self._reports.pop(claim) for claim in own}

    @property
    def is_searching(self) -> bool:
        """Whether the store refused a portion, and it is looked for what of it: nothing else goes along then."""
        return self._most < _MOST

    def refuse(self, portion: Portion, error: Exception, *, is_alone: bool) -> bool:
        """The store refuses something of this portion, and would again: one end must not keep back the others.

        :param is_alone: whether nothing else was in the transaction.
        :returns: whether a smaller portion is to be tried at once.
        """
        if len(portion.ended) > 1 or not is_alone:
            self._most = max(1, len(portion.ended) // 2)
            self.put_back(portion)
            self._set_due()
            return is_alone
        self.in_flight = []
        if portion.reports:
            jobs = ", ".join(str(job) for job, _ in portion.reports)
            logger.error("the store refuses what was reported of the progress of job %s: %s", jobs, error)
            self._ended[:0] = portion.ended
            self._set_due()
            return bool(portion.ended)
        for each in portion.ended:
            logger.error("job %s (%s) has ended, but the store refuses that: %s", each.claim.id, each.claim.task, error)
        self._refused += portion.ended
        self._refused_alarm.set(_REFUSED_AGAIN)
        return False

    def _ask_for_refused(self) -> None:
        self._ended += self._refused
        self._refused = []
        self._set_due()

    def take_rest(self) -> list[Ended]:
        """Take all that ended and is not on its way to the store, for whoever stores it instead of the claimer."""
        rest = [*self._undecided, *self._ended]
        self._undecided, self._ended = [], []
        return rest

    def take_finish(self, claim: Claim) -> Finish | None:
        """How this attempt ended, for whoever stores that alone; ``None`` if it was interrupted."""
        for unstored in (self._ended, self._undecided):
            for place, ended in enumerate(unstored):
                if ended.claim is claim:
                    return unstored.pop(place).finish
        return None

    def put_back(self, portion: Portion) -> None:
        """Keep what could not be stored, before what came since."""
        self._ended[:0] = portion.ended
        self.in_flight = []
        for report in portion.reports.values():
            self._keep(report)

    def _keep(self, report: Report) -> None:
        """Keep a report that could not be stored, with its lines before those that came since."""
        newer = self._reports.setdefault((report.claim.id, report.claim.fence), report)
        if newer is not report:
            newer.lines[:0] = report.lines
            if newer.progress is None:
                newer.progress, newer.message, newer.data = report.progress, report.message, report.data
            newer.cursor = newer.cursor or report.cursor

    def retry(self) -> None:
        """What could not be stored is due again."""
        if not self.is_empty:
            self._set_due()

    def settle(self, portion: Portion, report: FinishReport) -> None:
        """The portion is stored."""
        self.in_flight = []
        if self.is_searching:
            self._most = min(_MOST, 2 * self._most)
        for job, fence in report.lost:
            logger.warning("job %s: claim %s was no longer current, its end was not stored", job, fence)
        undecided = [each for each in portion.ended if (each.claim.id, each.claim.fence) in report.undecided]
        if undecided:
            self._set_aside(undecided)
        ended = {(each.claim.id, each.claim.fence) for each in portion.ended} - report.undecided
        for claim in report.locked - ended:
            if claim in portion.reports:
                self._keep(portion.reports[claim])
                self._alarm.set(_ASK_AGAIN)

    def _set_aside(self, undecided: list[Ended]) -> None:
        for each in undecided:
            logger.warning(
                "job %s (%s) has returned, but the transaction of its job.finish() is still open: looking again",
                each.claim.id,
                each.claim.task,
            )
        self._undecided += undecided
        self._undecided_alarm.set(_ASK_AGAIN)

    def ask_for_undecided(self) -> None:
        """Ask the store again about attempts that it could not decide."""
        self._undecided_alarm.clear()
        self._ended += self._undecided
        self._undecided = []
        self._set_due()

    async def stored(self, portion: Portion, report: FinishReport) -> None:
        """The portion is stored: tell whoever listens, before this returns."""
        self.settle(portion, report)
        await self.teller.tell(portion.ended, report)
