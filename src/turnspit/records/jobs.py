"""Jobs: new, claimed, stored, changed."""

from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from turnspit.states import JobState

__all__ = [
    "LARGEST_ID",
    "OPEN_KEY",
    "AttemptRecord",
    "BrokenAttempt",
    "Claim",
    "ClaimAtOnce",
    "ClaimRequest",
    "Inserted",
    "JobChanges",
    "JobRecord",
    "LogLine",
    "NewJob",
    "OpenClaim",
    "ProgressUpdate",
    "PruneRequest",
    "UniqueRule",
]

R = TypeVar("R")

LARGEST_ID = 2**63 - 1
"""No store gives a larger id to a job, a workflow or a worker."""

OPEN_KEY = ""
"""The unique key of a job whose producer does not know its task, as plain SQL: a worker computes the key."""


class UniqueRule(NamedTuple):
    """How a job holds its unique key, and what becomes of a later job with the same one."""

    states: str
    """The holder keeps its key while it is in one of these states, separated by commas."""
    within: int = 0
    """It also keeps it for so many microseconds after it was enqueued, whatever its state."""
    on_conflict: str = "keep"
    """``keep`` the holder and store nothing; ``replace`` the holder's arguments, or if it has begun, store the new job
    beside it; or ``raise``.
    """
    longest: int | None = None
    """Microseconds after it was enqueued to which replacements can put the holder off at most."""


class NewJob(NamedTuple, Generic[R]):
    """A job that is not stored yet; ``R`` is what its task returns.

    Made by ``task.new(...)``, for ``app.enqueue_many`` and workflows; its fields are for the store.
    """

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
    unique_key: str | None = None
    """``OPEN_KEY`` if whoever stores the job does not know its task."""
    unique_rule: UniqueRule | None = None
    """Given if ``unique_key`` is known."""
    lane: str | None = None
    """Where it waits for its limits (see ``Lane``); ``None`` if it has none."""
    results: Any = None
    """Arguments to be made of other jobs' results, until the job is added to a workflow; see ``NewWorkflowJob``."""
    expires_at: int | None = None
    """The job is cancelled if it has not begun by then."""
    expires_in: int | None = None
    """The same, in microseconds after it was stored."""


class Inserted(NamedTuple):
    """What the store decided about a new job."""

    id: int
    state: JobState
    run_at: int
    created_at: int
    created: bool = True
    """``False`` if the other fields are those of an earlier job, which holds the unique key."""


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
    lane: str | None = None
    unique_key: str | None = None
    """``OPEN_KEY`` until a worker that knows the task has computed it."""
    workflow: int | None = None
    cursor: str | None = None
    """How far its iterations had come, as JSON."""


class BrokenAttempt(NamedTuple):
    """An attempt that no middleware saw, because the payload does not fit the task, or its worker died."""

    claim: Claim
    error_type: str
    error_message: str
    finished_at: int | None = None
    """When its worker was declared dead; ``None`` if the attempt failed in this process just now."""


class OpenClaim(NamedTuple):
    """A claimed job with ``OPEN_KEY``, for which it is still to be settled who holds its key."""

    id: int
    fence: int
    new: NewJob[Any]
    """The job as its task would enqueue it, with its key."""


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Who claims, how many, from which queues, for which tasks."""

    worker: int
    limit: int
    tasks: frozenset[str]
    queues: tuple[str, ...] | None = None
    """``None``: every queue that has work."""
    after: str = ""
    """The queue that was served last: the round begins after it."""
    job: int | None = None
    """Only this job, whatever its queue and its limits; for the test kit."""


class ClaimAtOnce(NamedTuple):
    """The answer of ``claim_jobs_at_once``."""

    claims: list[Claim]
    is_partial: bool
    """Whether only a part of the waiting jobs was looked at, so that there may be more."""


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
    unique_key: str | None = None
    workflow: int | None = None
    expires_at: int | None = None
    """It is cancelled if no worker has taken it by then; ``None`` if it does not expire, or has begun."""
    progress_data: str | None = None
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
    data: str | None = None
    cursor: str | None = None


class LogLine(NamedTuple):
    """One line that a job logged."""

    attempt: int
    at: int | None
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """How long final jobs are kept, in microseconds; ``None`` keeps them for good."""

    history: int | None
    dead: int | None
    limit: int = 1000
