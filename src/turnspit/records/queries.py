"""What is seen of queues, tasks and dead letters."""

from dataclasses import dataclass
from typing import NamedTuple

__all__ = [
    "DeadGroupRecord",
    "Duties",
    "QueueRecord",
    "StoreLock",
    "TaskStats",
]


class QueueRecord(NamedTuple):
    """One queue at one moment."""

    queue: str
    ready: int
    scheduled: int
    """Those that wait for their first attempt."""
    retrying: int
    """Those that are scheduled after at least one attempt."""
    held: int
    running: int
    dead: int
    completed_last_hour: int
    failed_last_hour: int
    """Attempts that failed, whether they are tried again or not, or whose worker died."""
    oldest_ready_at: int | None
    """Since when the oldest job waits, among the first ready jobs of each priority: microseconds since 1970 UTC."""


class TaskStats(NamedTuple):
    """The live jobs and dead letters of one task at one moment."""

    task: str
    ready: int
    scheduled: int
    held: int
    running: int
    dead: int
    oldest_ready_at: int | None


class Duties(NamedTuple):
    """What there is to do in a store, for one worker."""

    ready: bool
    """Jobs wait in its queues."""
    until_due: int | None
    """Microseconds until the next scheduled job is due or the next waiting one expires; not above 0 if one is."""
    held: bool
    """Jobs of its tasks are held because no live worker knew the task, or jobs are held by a pause that has ended."""
    owned: int
    """How many running jobs are this worker's."""
    cancelled: bool
    """The cancellation of one of them was requested."""
    dead: bool
    """The lease of another worker has run out, or a worker that ended has left jobs or rows in the outbox."""
    until_tick: int | None
    """Microseconds until the next tick of a schedule of its tasks; not above 0 if one is due."""
    paused_at: int | None = None
    """When the newest pause began."""
    until_workflow: int | None = None
    """Microseconds until there is something to do for a workflow; not above 0 if there is."""
    limited: bool = False
    """Jobs wait for a limit, or for a worker to begin them."""
    asked_to: str | None = None
    """What a person asks of this worker: ``quiet`` or ``stop``."""


@dataclass(frozen=True, slots=True)
class DeadGroupRecord:
    """Dead letters that share a task, an error type and a normalised message."""

    fingerprint: str
    """What they share, for ``app.jobs.replay(fingerprint=...)``."""
    task: str
    error_type: str
    message: str
    """Of one of them: they differ in numbers and quoted parts at most."""
    count: int
    newest_id: int
    first_at: int
    """When the first of them ended: microseconds since 1970 UTC."""
    last_at: int
    """When the newest one ended."""
    args: str | None = None
    """Of the newest one, as JSON; like ``metadata`` for the dashboard only, and else ``None``."""
    metadata: str | None = None


class StoreLock(NamedTuple):
    """A lock that keeps others from their work on the store."""

    holder: str
    """Who holds what, for people."""
    cure: str
    """What ends it."""
