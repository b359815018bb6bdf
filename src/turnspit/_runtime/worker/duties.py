"""What a worker does for its store beside running jobs."""

from typing import Protocol

from turnspit._runtime.maintenance.promoter import Promoter
from turnspit._runtime.maintenance.pruner import pruners
from turnspit._runtime.maintenance.rescuer import Rescuer
from turnspit._runtime.maintenance.scheduler import Scheduler
from turnspit._runtime.maintenance.tender import Tender
from turnspit._runtime.maintenance.watcher import Watcher
from turnspit._runtime.service import Duty
from turnspit._runtime.worker.lookout import OnCall
from turnspit._runtime.worker.settings import WorkerParts
from turnspit.records import PruneRequest

__all__ = ["OnCallDuty", "on_call_duties", "timed_duties"]


class OnCallDuty(Duty, OnCall, Protocol):
    """A duty that sleeps until it is called for."""


def on_call_duties(parts: WorkerParts, rescuer: Rescuer) -> list[OnCallDuty]:
    """The duties that the lookout calls."""
    engine = parts.engine
    return [
        Promoter(engine, lambda: parts.tasks.names),
        Scheduler(engine, parts.name, parts.tasks),
        rescuer,
        Tender(engine),
    ]


def timed_duties(parts: WorkerParts) -> list[Duty]:
    """The duties that have a time of their own."""
    duties: list[Duty] = [*pruners(parts.engine, PruneRequest(parts.history_retention, parts.dead_retention))]
    if parts.alerts:
        duties.append(Watcher(parts.engine, parts.name, parts.alerts))
    return duties
