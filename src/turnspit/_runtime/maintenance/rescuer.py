"""Returns the jobs of dead workers."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from turnspit._runtime.maintenance.around import Around
from turnspit.context import JobContext, claim_of, in_job
from turnspit.contract import Engine
from turnspit.events import Event, EventBus, EventName
from turnspit.records import AttemptRecord, BrokenAttempt, Duties, JobRecord, RescueReport
from turnspit.reporting import Silent

__all__ = ["Rescuer"]

logger = logging.getLogger("turnspit")

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

    def is_called_for(self, duties: Duties) -> bool:
        """Whether it should run now."""
        return duties.dead

    async def run_once(self) -> float:
        """Declare silent workers dead and return what they were running; seconds until the next look."""
        if not self._may_rescue():
            return self._interval
        report = await self._around.write(self._engine.rescue_jobs, self._worker(), self._max_crashes)
        for worker in report.workers:
            logger.warning("worker %s is dead: it stopped renewing its lease", worker)
        if self._call_soon is None:
            await self.tell(report)
        elif any(report):
            self._call_soon(partial(self.tell, report))
        return self._interval

    def declare_dead(self, worker: int) -> RescueReport:
        """Return the jobs of a worker whose process was seen to end; from any thread, also where the loop is blocked.

        ``tell`` has to hear the report, on the event loop.
        """
        return self._around.write_at_once(self._engine.declare_dead, worker, self._max_crashes)

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
