"""What the API answers beside the documents that screens show too."""

from datetime import datetime
from typing import Any

from turnspit.web.models.base import Count, Document
from turnspit.web.models.jobs import JobDetails

__all__ = ["BulkDocument", "Done", "Enqueued", "QueueScale", "ScheduledJob", "TaskDocument"]


class Done(Document):
    """It was done."""

    done: bool = True


class Enqueued(Document):
    """The job, and whether this request created it; ``False``: an earlier request with the same key did."""

    created: bool
    job: JobDetails


class ScheduledJob(Document):
    """The job that running a schedule enqueued."""

    job: int


class TaskDocument(Document):
    """A task that the app declares."""

    name: str
    queue: str
    is_async: bool
    description: str | None
    args_schema: dict[str, Any]
    """JSON Schema of its arguments."""


class QueueScale(Document):
    """What an autoscaler goes by."""

    queue: str
    ready: Count
    running: Count
    oldest_seconds: float
    """The longest wait of the jobs that are next: the first ready one of each priority; 0 if none waits."""
    latency_seconds: float
    """How long a job that is enqueued now would wait, estimated: what waits, divided by what completes; where nothing
    completes, how long the oldest has waited.
    """
    workers: int
    completed_per_minute: float


class BulkDocument(Document):
    """A change to many jobs."""

    id: int
    verb: str
    search: str
    state: str
    """`running`, `done`, `stopped` or `failed`."""
    changed: int
    expected: Count
    rate: float | None
    who: str
    started_at: datetime
    error: str | None
