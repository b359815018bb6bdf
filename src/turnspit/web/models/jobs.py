"""Jobs as the dashboard and the API show them."""

from datetime import datetime
from typing import Any

from turnspit.states import JobState
from turnspit.web.models.base import Count, Document

__all__ = [
    "AttemptDocument",
    "DeadGroupDocument",
    "DeadGroups",
    "JobDetails",
    "JobDocument",
    "JobsPage",
    "LogDocument",
    "WrittenJobsPage",
]


class JobDocument(Document):
    """A job in a list."""

    id: int
    task: str
    queue: str
    state: JobState
    is_retrying: bool
    """Scheduled for another attempt."""
    priority: int
    args: Any
    """Redacted values are ``[hidden]``."""
    is_cut: bool = False
    """Whether these are only the beginning of long arguments or metadata, as of a worker's running jobs."""
    attempt: int
    crashes: int
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    worker: str | None
    timeout: float | None
    tags: list[Any]
    metadata: Any
    progress: float | None
    progress_message: str | None
    cancel_requested: bool
    reason: str | None
    error_type: str | None
    fingerprint: str | None
    unique_key: str | None
    workflow: int | None

    @property
    def shown_state(self) -> str:
        """The state in words: a scheduled job with an attempt behind it is retrying."""
        return "retrying" if self.is_retrying else str(self.state)

    @property
    def changed_at(self) -> datetime:
        """The moment that tells most of its state."""
        if self.state is JobState.SCHEDULED:
            return self.run_at
        return self.finished_at or self.started_at or self.created_at


class AttemptDocument(Document):
    """One run of a job."""

    number: int
    outcome: str
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    worker: str | None
    error_type: str | None
    error_message: str | None
    traceback: str | None


class LogDocument(Document):
    """One line that a job logged."""

    attempt: int
    at: datetime | None
    level: str
    message: str


class JobDetails(JobDocument):
    """A job in full."""

    has_result: bool
    result: Any
    retry: str | None
    attempts: list[AttemptDocument]
    logs: list[LogDocument]
    is_known: bool
    """Whether this app declares its task."""


class JobsPage(Document):
    """The newest jobs that match."""

    jobs: list[JobDocument]
    next: str | None
    """Ask for the next page with ``before=``."""
    is_partial: bool
    """Whether only the newest jobs were looked through: older ones may match, behind ``next``."""


class WrittenJobsPage(Document):
    """A ``JobsPage`` whose jobs are JSON already. As objects they would be millions, and Python's collector of circular
    garbage stops everything each time that it looks through them.
    """

    jobs: list[bytes]
    next: str | None
    is_partial: bool


class DeadGroupDocument(Document):
    """Dead letters that share a task, an error and a message."""

    fingerprint: str
    task: str
    error_type: str
    message: str
    count: Count
    newest_id: int
    first_at: datetime
    last_at: datetime


class DeadGroups(Document):
    """Dead letters by what went wrong, the group with the newest one first."""

    groups: list[DeadGroupDocument]
    count: Count
    """Of all groups."""
    all_groups: int
    """How many groups there are; a screen has the newest."""
