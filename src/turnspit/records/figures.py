"""Figures for screens and metrics, at a cost that does not grow with the store."""

from dataclasses import dataclass
from typing import NamedTuple

from turnspit.records.jobs import JobRecord
from turnspit.records.queries import DeadGroupRecord

__all__ = [
    "FAILED_OUTCOMES",
    "CounterRecord",
    "FoundJobs",
    "MatchCount",
    "QueueCounts",
    "QueueLoad",
    "RecentDead",
    "RunSample",
    "StoreCounts",
]


FAILED_OUTCOMES = frozenset({"failed", "dead", "crashed", "invalid"})
"""The outcomes of attempts that failed. Snoozed and cancelled attempts neither failed nor completed."""


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
    """Since when the oldest job waits, among the first ready jobs of each priority."""


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """The queues that have live jobs or dead letters."""

    queues: tuple[QueueCounts, ...]
    uncounted: frozenset[str]
    """Those of ``scheduled``, ``held``, ``running`` and ``dead`` that were not counted to the end: each queue has at
    least as many as its figure. A queue's ready jobs may be more if their figure is the limit that was asked for.
    """
    now: int
    """When they were counted, by the store's clock."""


class QueueLoad(NamedTuple):
    """The figures of one queue for an autoscaler."""

    queue: str
    ready: int
    """Jobs that wait, counted up to 10,000."""
    running: int
    """Jobs that run, counted up to 10,000."""
    slots: int
    """How many jobs the live workers that serve it can run at once, whichever queue they are from."""
    oldest: float
    """Seconds for which the oldest waiting job has been due; 0 if none waits."""
    throughput: float
    """Attempts that ended a second, over the last five minutes."""
    latency: float
    """Estimated seconds until a job that is enqueued now begins: waiting jobs divided by throughput, or ``oldest`` if
    nothing ended.
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
    """Microseconds in total."""


class RunSample(NamedTuple):
    """A completed job of a sample."""

    at: int
    """The beginning of the slot in which it completed."""
    queue: str
    task: str
    wait: int
    """Microseconds between its due time and the start of its attempt."""
    run: int
    """Microseconds that its attempt took."""


@dataclass(frozen=True, slots=True)
class FoundJobs:
    """Matching jobs, newest first, as far as the search went."""

    records: tuple[JobRecord, ...]
    before: int | None
    """Where to go on; ``None`` if everything was searched."""
    is_partial: bool
    """Whether the search stopped before the page was full: older jobs may match."""


@dataclass(frozen=True, slots=True)
class MatchCount:
    """How many jobs match."""

    count: int
    is_complete: bool
    """Whether that is all of them; otherwise there may be more."""


@dataclass(frozen=True, slots=True)
class RecentDead:
    """The newest dead letters, grouped by what went wrong."""

    groups: tuple[DeadGroupRecord, ...]
    is_complete: bool
    """Whether these are all dead letters; otherwise older ones were not looked at."""
