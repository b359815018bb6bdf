"""What is shown of a store: figures that cost the same however much it holds."""

from dataclasses import dataclass
from typing import NamedTuple

from turnspit.records.jobs import JobRecord
from turnspit.records.queries import DeadGroup

__all__ = [
    "CounterRecord",
    "FoundJobs",
    "MatchCount",
    "QueueCounts",
    "QueueLoad",
    "RecentDead",
    "RunSample",
    "StoreCounts",
]


@dataclass(slots=True)
class QueueCounts:
    """How many jobs of one queue are in each state, as far as they were counted."""

    queue: str
    ready: int = 0
    scheduled: int = 0
    retrying: int = 0
    limited: int = 0
    """Held by a limit."""
    unknown: int = 0
    """Held because no live worker knows their task."""
    paused: int = 0
    """Held because their task or a tag of theirs is paused."""
    running: int = 0
    dead: int = 0
    oldest_ready_at: int | None = None
    """Since when the job waits that has waited longest in its line: the first of a priority."""


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """The queues that have jobs which are live or dead."""

    queues: tuple[QueueCounts, ...]
    uncounted: frozenset[str]
    """Of ``scheduled``, ``held``, ``running`` and ``dead`` those of which there are more: a queue has at least so many.

    Of ready jobs a queue may have more where its figure is the most that was asked for.
    """
    now: int
    """When they were counted, by the store's clock."""


class QueueLoad(NamedTuple):
    """What an autoscaler goes by, for one queue."""

    queue: str
    ready: int
    """Jobs that wait, as far as they were counted (10,000)."""
    running: int
    slots: int
    """How many jobs the live workers that serve it can run at once, of all their queues."""
    oldest: float
    """Seconds since the job was due that has waited longest; 0 where none waits."""
    throughput: float
    """Attempts that ended a second, over the last five minutes."""
    latency: float
    """Seconds until a job that is enqueued now begins, estimated: what waits, divided by the throughput; where nothing
    ended, how long the oldest has waited.
    """


@dataclass(frozen=True, slots=True)
class CounterRecord:
    """Attempts that ended within one slot of time."""

    minute: int
    """The first minute of the slot, since 1970."""
    queue: str
    task: str
    outcome: str
    """``completed``, or as ``AttemptRecord.outcome``."""
    count: int
    run_time: int
    """Microseconds, summed."""


class RunSample(NamedTuple):
    """A completed job of a sample."""

    at: int
    """The beginning of the slot in which it completed."""
    queue: str
    task: str
    wait: int
    """Microseconds from when it was due until its attempt began."""
    run: int
    """Microseconds that its attempt took."""


@dataclass(frozen=True, slots=True)
class FoundJobs:
    """Jobs that match, newest first, as far as was looked."""

    records: tuple[JobRecord, ...]
    before: int | None
    """Where to go on; ``None``: everything was looked through."""
    is_partial: bool
    """Whether it was not looked far enough to fill the page: older jobs may match."""


@dataclass(frozen=True, slots=True)
class MatchCount:
    """How many jobs match."""

    count: int
    is_complete: bool
    """Whether that is all of them; else there are, or may be, more."""


@dataclass(frozen=True, slots=True)
class RecentDead:
    """The newest dead letters by what went wrong."""

    groups: tuple[DeadGroup, ...]
    is_complete: bool
    """Whether these are all dead letters; else older ones were not looked at."""
