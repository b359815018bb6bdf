"""The documents that the JSON API gives, and that the screens are drawn from: both show the same."""

from turnspit.web.models.base import Count, Document
from turnspit.web.models.jobs import (
    AttemptDocument,
    DeadGroupDocument,
    DeadGroups,
    JobDetails,
    JobDocument,
    JobsPage,
    LogDocument,
    WrittenJobsPage,
)
from turnspit.web.models.store import (
    Attention,
    Bar,
    FullKeyDocument,
    Latency,
    LimitDocument,
    Metrics,
    Overview,
    PauseDocument,
    QueueDocument,
    ScheduleDocument,
    Series,
    TaskFigures,
    WorkerDocument,
)

__all__ = [
    "AttemptDocument",
    "Attention",
    "Bar",
    "Count",
    "DeadGroupDocument",
    "DeadGroups",
    "Document",
    "FullKeyDocument",
    "JobDetails",
    "JobDocument",
    "JobsPage",
    "Latency",
    "LimitDocument",
    "LogDocument",
    "Metrics",
    "Overview",
    "PauseDocument",
    "QueueDocument",
    "ScheduleDocument",
    "Series",
    "TaskFigures",
    "WorkerDocument",
    "WrittenJobsPage",
]
