"""Returns the jobs of dead workers."""

import logging
from collections.abc import Awaitable, Callable

from turnspit.contract import Engine
from turnspit.events import Event, EventBus, EventName
from turnspit.records import Duties, JobRecord, RescueReport

__all__ = ["Rescuer"]

logger = logging.getLogger("turnspit")


class Rescuer:
    """Rescues only while this worker's own lease has been renewed without a gap for one lease time, so that
    an outage of the store is not followed by workers robbing each other.
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
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._may_rescue = may_rescue
        self._interval = interval
        self._max_crashes = max_crashes
        self._bus = bus
        self._on_dead = on_dead

    def is_called_for(self, duties: Duties) -> bool:
        """Whether it should run now."""
        return duties.dead

    async def run_once(self) -> float:
        """Declare silent workers dead and return what they were running; seconds until the next look."""
        if not self._may_rescue():
            return self._interval
        report = await self._engine.awrite(self._engine.rescue_jobs, self._worker(), self._max_crashes)
        for worker in report.workers:
            logger.warning("worker %s is dead: it stopped renewing its lease", worker)
        await self.tell(report)
        return self._interval

    def declare_dead(self, worker: int) -> RescueReport:
        """Return the jobs of a worker whose process was seen to end; from any thread, also where the loop is blocked.

        ``tell`` has to hear the report, on the event loop.
        """
        return self._engine.write(self._engine.declare_dead, worker, self._max_crashes)

    async def tell(self, report: RescueReport) -> None:
        """Say what was done with the jobs of dead workers."""
        if report.returned:
            logger.warning("rescued %s jobs of dead workers", len(report.returned))
        for job in report.dead:
            record = await self._engine.aread(self._engine.get_job, job)
            if record is not None:
                await self._on_dead(record)
        await self._tell("rescued", report.returned)
        await self._tell("dead", report.dead)
        await self._tell("cancelled", report.cancelled)

    async def _tell(self, name: EventName, jobs: tuple[int, ...]) -> None:
        if not self._bus.wants(name):
            return
        for job in jobs:
            record = await self._engine.aread(self._engine.get_job, job)
            if record is not None:
                event = Event(name, job, record.task, record.queue, record.attempt, "WorkerDied", record.reason)
                await self._bus.send(event)
