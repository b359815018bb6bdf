"""What a worker does for its store beside running jobs."""

from typing import Protocol

from turnspit._runtime.maintenance.promoter import Promoter
from turnspit._runtime.maintenance.pruner import Pruner
from turnspit._runtime.maintenance.rescuer import Rescuer
from turnspit._runtime.maintenance.scheduler import Scheduler
from turnspit._runtime.maintenance.tender import Tender
from turnspit._runtime.service import Duty
from turnspit._runtime.worker.lookout import OnCall
from turnspit._runtime.worker.settings import WorkerParts
from turnspit.records import PruneRequest

__all__ = ["OnCallDuty", "on_call_duties", "pruner"]


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


def pruner(parts: WorkerParts) -> Pruner:
    """The duty that has a time of its own."""
    return Pruner(parts.engine, PruneRequest(parts.history_retention, parts.dead_retention))
