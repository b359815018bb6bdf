"""What crosses the contract between Turnspit and an engine. Plain tuples and dataclasses, no behaviour.

Moments and durations are microseconds (see ``turnspit.clock``); JSON travels as text.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from turnspit.states import JobState

__all__ = [
    "AttemptRecord",
    "Claim",
    "ClaimRequest",
    "Completion",
    "DeadGroup",
    "Ending",
    "EndingMove",
    "ErrorRecord",
    "Finish",
    "FinishReport",
    "Inserted",
    "JobChanges",
    "JobRecord",
    "LogLine",
    "NewJob",
    "NewWorker",
    "ProgressUpdate",
    "PruneRequest",
    "QueueStats",
    "RescueReport",
    "TaskStats",
    "WorkerRecord",
]

R = TypeVar("R")


class NewJob(NamedTuple, Generic[R]):
    """A job that is not stored yet; ``R`` is what its task returns. Made by ``task.new(...)``."""

    task: str
    queue: str
    args: str
    priority: int = 0
    at: int | None = None
    delay: int = 0
    retry: str | None = None
    timeout: int | None = None
    tags: str | None = None
    metadata: str | None = None


class Inserted(NamedTuple):
    """What the store decided about a new job."""

    id: int
    state: JobState
    run_at: int
    created_at: int


class Claim(NamedTuple):
    """A job that a worker now owns. ``(id, fence)`` names the claim in every later write."""

    id: int
    fence: int
    task: str
    queue: str
    args: str
    attempt: int
    crashes: int
    priority: int
    created_at: int
    run_at: int
    started_at: int
    retry: str | None
    timeout: int | None
    tags: str | None
    metadata: str | None


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Who claims, how many, from which queues, for which tasks."""

    worker: int
    limit: int
    tasks: frozenset[str]
    queues: tuple[str, ...] | None = None
    """``None``: every queue that has work."""
    after: str = ""
    """The queue that was served last: the round begins behind it."""
    job: int | None = None
    """Only this job, whatever its queue; for the test kit."""


class ErrorRecord(NamedTuple):
    """Why an attempt did not complete."""

    type: str
    message: str
    traceback: str | None = None
    fingerprint: str | None = None


class Completion(NamedTuple):
    """An attempt that returned. ``result`` is JSON or ``None``; it is kept ``keep`` microseconds, or as the job."""

    id: int
    fence: int
    result: str | None = None
    keep: int | None = None
    note: str | None = None
    """Why the result is not kept."""


class EndingMove(StrEnum):
    """How an attempt that did not complete ends."""

    RETRY = "failed"
    SNOOZE = "snoozed"
    CANCEL = "cancelled"
    DEAD = "dead"
    INVALID = "invalid"
    """The payload does not validate: tried again without cost until ``patience`` ends, then dead."""


class Ending(NamedTuple):
    """An attempt that did not complete, and what its job does next."""

    id: int
    fence: int
    move: EndingMove
    error: ErrorRecord
    delay: int = 0
    patience: int = 0


Finish = Completion | Ending


@dataclass(slots=True)
class FinishReport:
    """What became of a batch of finishes."""

    lost: list[tuple[int, int]] = field(default_factory=list)
    """``(id, fence)`` of claims that were no longer current: nothing was written for them."""
    states: dict[int, JobState] = field(default_factory=dict)
    """The new state of every job that did not complete."""


class AttemptRecord(NamedTuple):
    """One run of a job."""

    number: int
    fence: int
    outcome: str
    started_at: int | None
    finished_at: int | None
    worker: str | None
    error_type: str | None
    error_message: str | None
    traceback: str | None


@dataclass(slots=True)
class JobRecord:
    """A stored job, live or final."""

    id: int
    task: str
    queue: str
    state: JobState
    args: str
    priority: int = 0
    attempt: int = 0
    crashes: int = 0
    fence: int = 0
    created_at: int = 0
    run_at: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    worker: str | None = None
    retry: str | None = None
    timeout: int | None = None
    tags: str | None = None
    metadata: str | None = None
    progress: float | None = None
    progress_message: str | None = None
    cancel_requested_at: int | None = None
    reason: str | None = None
    """Why the job is held, cancelled or dead; or its last error's message."""
    error_type: str | None = None
    fingerprint: str | None = None
    result: str | None = None
    attempts: tuple[AttemptRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class JobChanges:
    """What ``update_job`` changes; ``None`` leaves a field as it is."""

    priority: int | None = None
    queue: str | None = None
    at: int | None = None
    delay: int | None = None


class ProgressUpdate(NamedTuple):
    """How far a running job is, and its new log lines."""

    id: int
    fence: int
    progress: float | None
    message: str | None
    lines: tuple["LogLine", ...] = ()


class LogLine(NamedTuple):
    """One line that a job logged."""

    attempt: int
    at: int | None
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class NewWorker:
    """A worker process that begins."""

    host: str
    pid: int
    version: str
    queues: tuple[str, ...] | None
    tasks: frozenset[str]
    concurrency: int
    lease: int


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker process as the store knows it."""

    id: int
    host: str
    pid: int
    version: str
    queues: tuple[str, ...] | None
    tasks: tuple[str, ...]
    concurrency: int
    started_at: int
    renewed_at: int
    expires_at: int
    stopped_at: int | None
    live: bool
    """Whether its lease is running."""
    running: int
    """How many jobs it has claimed."""


class RescueReport(NamedTuple):
    """What a rescue did with the jobs of dead workers."""

    workers: tuple[int, ...]
    returned: tuple[int, ...]
    dead: tuple[int, ...]
    cancelled: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """How long final jobs are kept, in microseconds; ``None`` keeps them for good."""

    history: int | None
    dead: int | None
    limit: int = 1000


class QueueStats(NamedTuple):
    """One queue at one moment."""

    queue: str
    ready: int
    scheduled: int
    retrying: int
    held: int
    running: int
    dead: int
    completed_last_hour: int
    failed_last_hour: int
    oldest_ready_at: int | None
    """Since when the job waits that has waited longest in its line: the first of a priority."""


class TaskStats(NamedTuple):
    """The live jobs and dead letters of one task at one moment."""

    task: str
    ready: int
    scheduled: int
    held: int
    running: int
    dead: int
    oldest_ready_at: int | None


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead letters that share a task, an error type and a normalised message."""

    fingerprint: str
    task: str
    error_type: str
    message: str
    count: int
    newest_id: int
    first_at: int
    last_at: int
