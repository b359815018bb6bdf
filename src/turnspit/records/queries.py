"""What is seen of queues, tasks and dead letters."""

from dataclasses import dataclass
from typing import NamedTuple

__all__ = [
    "DeadGroup",
    "QueueStats",
    "TaskStats",
]


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
