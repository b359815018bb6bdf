"""What crosses the contract between Turnspit and an engine, a module a noun. Tuples and dataclasses, no behaviour.

Moments and durations are microseconds (see ``turnspit.clock``); JSON travels as text.
"""

from turnspit.records.alerts import AlertChange, AlertKind, AlertState, UnknownTask
from turnspit.records.figures import (
    CounterRecord,
    FoundJobs,
    MatchCount,
    QueueCounts,
    QueueLoad,
    RecentDead,
    RunSample,
    StoreCounts,
)
from turnspit.records.finishes import (
    Completion,
    Confirmation,
    Ending,
    EndingMove,
    ErrorRecord,
    Finish,
    FinishReport,
    ProgressReport,
)
from turnspit.records.jobs import (
    OPEN_KEY,
    AttemptRecord,
    BrokenAttempt,
    Claim,
    ClaimAtOnce,
    ClaimRequest,
    Inserted,
    JobChanges,
    JobRecord,
    LogLine,
    NewJob,
    OpenClaim,
    ProgressUpdate,
    PruneRequest,
    UniqueRule,
)
from turnspit.records.leases import NewWorker, RescueReport, WorkerRecord
from turnspit.records.limits import Lane, LimitChange, LimitedClaims, LimitedRequest, LimitRule
from turnspit.records.moves import LEFT_TABLES, MOVED_TABLES, Column, MovedTable, MoveRecord, Position
from turnspit.records.pauses import Pause, PauseKind
from turnspit.records.queries import DeadGroup, Duties, QueueStats, TaskStats
from turnspit.records.schedules import NewSchedule, ScheduleRecord
from turnspit.records.workflows import NewWorkflow, NewWorkflowJob, WorkflowJobRecord, WorkflowRecord

__all__ = [
    "LEFT_TABLES",
    "MOVED_TABLES",
    "OPEN_KEY",
    "AlertChange",
    "AlertKind",
    "AlertState",
    "AttemptRecord",
    "BrokenAttempt",
    "Claim",
    "ClaimAtOnce",
    "ClaimRequest",
    "Column",
    "Completion",
    "Confirmation",
    "CounterRecord",
    "DeadGroup",
    "Duties",
    "Ending",
    "EndingMove",
    "ErrorRecord",
    "Finish",
    "FinishReport",
    "FoundJobs",
    "Inserted",
    "JobChanges",
    "JobRecord",
    "Lane",
    "LimitChange",
    "LimitRule",
    "LimitedClaims",
    "LimitedRequest",
    "LogLine",
    "MatchCount",
    "MoveRecord",
    "MovedTable",
    "NewJob",
    "NewSchedule",
    "NewWorker",
    "NewWorkflow",
    "NewWorkflowJob",
    "OpenClaim",
    "Pause",
    "PauseKind",
    "Position",
    "ProgressReport",
    "ProgressUpdate",
    "PruneRequest",
    "QueueCounts",
    "QueueLoad",
    "QueueStats",
    "RecentDead",
    "RescueReport",
    "RunSample",
    "ScheduleRecord",
    "StoreCounts",
    "TaskStats",
    "UniqueRule",
    "UnknownTask",
    "WorkerRecord",
    "WorkflowJobRecord",
    "WorkflowRecord",
]
