"""What a person does with a store's things, a module a noun: ``app.jobs``, ``app.queues``, ``app.limits``."""

from turnspit.operations.changes import CANCEL, DELETE, REPLAY, RUN_NOW, JobChange
from turnspit.operations.dead_groups import DeadGroup
from turnspit.operations.filters import FilterFields, make_filter
from turnspit.operations.jobs import Jobs
from turnspit.operations.limits import LimitInfo, Limits
from turnspit.operations.moving import Moved, MovedRows, move_store, thaw_store
from turnspit.operations.pages import is_id
from turnspit.operations.portions import Portions, check_rate
from turnspit.operations.queues import Pause, Queues, QueueStats
from turnspit.operations.schedules import Schedule, Schedules
from turnspit.operations.workers import WorkerInfo, Workers
from turnspit.operations.workflows import Workflow, WorkflowJob, Workflows

__all__ = [
    "CANCEL",
    "DELETE",
    "REPLAY",
    "RUN_NOW",
    "DeadGroup",
    "FilterFields",
    "JobChange",
    "Jobs",
    "LimitInfo",
    "Limits",
    "Moved",
    "MovedRows",
    "Pause",
    "Portions",
    "QueueStats",
    "Queues",
    "Schedule",
    "Schedules",
    "WorkerInfo",
    "Workers",
    "Workflow",
    "WorkflowJob",
    "Workflows",
    "check_rate",
    "is_id",
    "make_filter",
    "move_store",
    "thaw_store",
]
