"""Returns the jobs of dead workers."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from turnspit._runtime.maintenance.around import Around
from turnspit.context import JobContext, claim_of, in_job
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb
from turnspit.events import Event, EventBus, EventName
from turnspit.records import AttemptRecord, BrokenAttempt, Duties, JobRecord, RescueReport
from turnspit.reporting import Silent

__all__ = ["Rescuer"]

logger = logging.getLogger("turnspit")

_Notes: TypeAlias = list[RescueReport]
"""The reports of one call, one for each attempt at its transaction."""

_NAMED = 100
"""How many crashed jobs of one rescue get a line of their own in the log."""
_BECAME = {"dead": "is dead", "rescued": "runs again", "cancelled": "is cancelled, as was requested"}


class Rescuer:
    """Rescues only while this worker's own lease has been renewed without a gap for one lease time, so that
    an outage of the store is not followed by workers robbing each other.

    :param call_soon: calls what tells the listeners, beside the next rescue: one that hangs holds up none.
    """

    name = "rescuer"

    def __init__(
        self,
        engine: Engine,
        *,
        worker: Callable[[], int],
        may_rescue: Callable[[], bool],
        interval: float,
        max_crashes: int,
        bus: EventBus,
        on_dead: Callable[[JobRecord], Awaitable[None]],
        call_soon: Callable[[Callable[[], Awaitable[None]]], None] | None = None,
    ) -> None:
        self._engine = engine
        self._around = Around(engine, "rescue")
        self._worker = worker
        self._may_rescue = may_rescue
        self._interval = interval
        self._max_crashes = max_crashes
        self._bus = bus
        self._on_dead = on_dead
        self._call_soon = call_soon
        self._unheard: dict[int, _Notes] = {}
        """What the calls may have done whose answers did not come. Also used by the thread of ``declare_dead``."""

    def is_called_for(self, duties: Duties) -> bool:
        """Whether it should run now."""
        return duties.dead

    async def run_once(self) -> float:
        """Declare silent workers dead and return what they were running; seconds until the next look."""
        if not self._may_rescue():
            return self._interval
        notes: _Notes = []
        try:
            rescue = _noting(self._engine.rescue_jobs, notes)
            report = await self._around.write(rescue, self._worker(), self._max_crashes)
        except Exception:
            self._unheard[id(notes)] = notes
            raise
        self._hear(report)
        for worker in report.workers:
            logger.warning("worker %s is dead: it stopped renewing its lease", worker)
        await self._tell_soon(report)
        if self._unheard:
            await self._tell_soon(await self._find_unheard())
        return self._interval

    async def _tell_soon(self, report: RescueReport) -> None:
        if self._call_soon is None:
            await self.tell(report)
        elif any(report):
            self._call_soon(partial(self.tell, report))

    def _hear(self, report: RescueReport) -> None:
        """The answer to a call has come: what is in it was rolled back before, and is told now."""
        for notes in list(self._unheard.values()):
            notes[:] = [each._replace(crashed=tuple(set(each.crashed) - set(report.crashed))) for each in notes]

    async def _find_unheard(self) -> RescueReport:
        """What calls without an answer have done. What was rolled back of them another call finds again."""
        unheard = dict(self._unheard)
        reports = [report for notes in unheard.values() for report in notes]
        found: set[tuple[int, int]] = set()
        for job, fence in {crash for report in reports for crash in report.crashed}:
            record = await self._engine.aread(self._engine.get_job, job)
            attempts = () if record is None else record.attempts
            found |= {(job, fence) for each in attempts if each.fence == fence and each.outcome == "crashed"}
        for call in unheard:
            self._unheard.pop(call, None)
        jobs = {job for job, _ in found}
        return RescueReport(
            (),
            tuple(sorted(jobs.intersection(job for report in reports for job in report.returned))),
            tuple(sorted(jobs.intersection(job for report in reports for job in report.dead))),
            tuple(sorted(jobs.intersection(job for report in reports for job in report.cancelled))),
            tuple(sorted(found)),
        )

    def declare_dead(self, worker: int) -> RescueReport:
        """Return the jobs of a worker whose process was seen to end; from any thread, also where the loop is blocked.

        ``tell`` has to hear the report, on the event loop.
        """
        notes: _Notes = []
        try:
            declare = _noting(self._engine.declare_dead, notes)
            report = self._around.write_at_once(declare, worker, self._max_crashes)
        except Exception:
            self._unheard[id(notes)] = notes
            raise
        self._hear(report)
        return report

    async def tell(self, report: RescueReport) -> None:
        """Say what was done with the jobs of dead workers."""
        if report.returned:
            count = len(report.returned)
            logger.warning("rescued %s %s of dead workers", count, "job" if count == 1 else "jobs")
        crashed = dict(report.crashed)
        named = set(list(crashed)[:_NAMED])
        ends: tuple[tuple[EventName, tuple[int, ...]], ...] = (
            ("dead", report.dead),
            ("rescued", report.returned),
            ("cancelled", report.cancelled),
        )
        for name, jobs in ends:
            for job in jobs:
                if name != "dead" and job not in named and not self._bus.on_broken and not self._bus.wants(name):
                    continue
                record = await self._engine.aread(self._engine.get_job, job)
                if record is not None:
                    await self._tell(name, record, crashed.get(job), is_named=job in named)

    async def _tell(self, name: EventName, record: JobRecord, fence: int | None, *, is_named: bool) -> None:
        crash = next((attempt for attempt in record.attempts if attempt.fence == fence), None)
        if crash is not None:
            context = JobContext.of_record(_as_begun(record, crash), Silent(), {})
            broken = BrokenAttempt(claim_of(context), "WorkerDied", crash.error_message or "", crash.finished_at)
            self._bus.tell_broken(broken)
            if is_named:
                with in_job(context):
                    logger.warning(
                        "job %s (%s) was running on worker %s, which died, attempt %s: it %s",
                        *(record.id, record.task, crash.worker, crash.number, _BECAME[name]),
                    )
        if name == "dead":
            await self._on_dead(record)
        if self._bus.wants(name):
            event = Event(name, record.id, record.task, record.queue, record.attempt, "WorkerDied", record.reason)
            await self._bus.send(event)


def _as_begun(record: JobRecord, crash: AttemptRecord) -> JobRecord:
    return replace(record, attempt=crash.number, started_at=crash.started_at)


def _noting(verb: Callable[..., Verb[RescueReport]], notes: _Notes) -> Callable[..., Verb[RescueReport]]:
    """The verb, which also notes its reports: where the answer to its COMMIT is lost, nobody else knows of them."""

    def noted(*arguments: Any, **options: Any) -> Verb[RescueReport]:
        report = yield from verb(*arguments, **options)
        notes.append(report)
        return report

    return noted
