"""The states of a job and the moves between them.

``MOVES`` is the source: the engines enforce it in SQL, and ``docs/states.md`` is generated from it.

>>> JobState.COMPLETED.is_final
True
>>> is_allowed(JobState.READY, JobState.RUNNING)
True
>>> is_allowed(JobState.COMPLETED, JobState.RUNNING)
False
>>> set(FILTER_STATES) - set(JobState)
{'retrying'}
>>> set(JobState) - set(FILTER_STATES)
set()
"""

from enum import StrEnum
from typing import Literal, get_args

__all__ = [
    "FILTER_STATES",
    "FINAL_STATES",
    "LIVE_STATES",
    "MEANINGS",
    "MOVES",
    "RETRYING",
    "WAITING_STATES",
    "FilterState",
    "JobState",
    "is_allowed",
]


class JobState(StrEnum):
    """Where a job stands; see ``MEANINGS``."""

    BLOCKED = "blocked"
    SCHEDULED = "scheduled"
    HELD = "held"
    READY = "ready"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DEAD = "dead"

    @property
    def is_final(self) -> bool:
        """Whether only a replay can move the job from here."""
        return self in FINAL_STATES


MEANINGS: dict[JobState, str] = {
    JobState.BLOCKED: "Waits for other jobs of its workflow.",
    JobState.SCHEDULED: "Waits for its time: delayed, retrying or snoozed.",
    JobState.HELD: "Due, but may not start: a limit, a pause, or a task that no live worker knows.",
    JobState.READY: "Waits for a free worker.",
    JobState.RUNNING: "Claimed by a worker.",
    JobState.COMPLETED: "Done.",
    JobState.CANCELLED: "Stopped on request.",
    JobState.DEAD: "A dead letter: out of attempts or impossible to run. Waits for a person.",
}

RETRYING = "retrying"
"""What people call a scheduled job with an attempt behind it; no state of its own, but a filter takes it as one."""
FilterState = Literal["blocked", "scheduled", "retrying", "held", "ready", "running", "completed", "cancelled", "dead"]
FILTER_STATES: tuple[str, ...] = get_args(FilterState)
"""What a filter takes as a state."""

WAITING_STATES = frozenset({JobState.BLOCKED, JobState.SCHEDULED, JobState.HELD, JobState.READY})
LIVE_STATES = WAITING_STATES | {JobState.RUNNING}
FINAL_STATES = frozenset({JobState.COMPLETED, JobState.CANCELLED, JobState.DEAD})

_REPLAYED = {
    JobState.READY: "replayed",
    JobState.HELD: "replayed, a limit holds it",
    JobState.BLOCKED: "replayed, its dependencies are not done",
}

MOVES: dict[JobState, dict[JobState, str]] = {
    JobState.BLOCKED: {
        JobState.READY: "its dependencies are done",
        JobState.HELD: "its dependencies are done, a limit holds it",
        JobState.SCHEDULED: "its dependencies are done, its time is still to come",
        JobState.DEAD: "its dependencies are done, but its arguments cannot be made of their results",
        JobState.CANCELLED: "cancelled, or a dependency failed",
    },
    JobState.SCHEDULED: {
        JobState.READY: "due",
        JobState.HELD: "due, a limit holds it",
        JobState.CANCELLED: "cancelled",
    },
    JobState.HELD: {
        JobState.READY: "admitted",
        JobState.RUNNING: "let through by its limits, and claimed",
        JobState.SCHEDULED: "given a later time",
        JobState.CANCELLED: "cancelled",
    },
    JobState.READY: {
        JobState.RUNNING: "claimed",
        JobState.HELD: "no live worker knows its task",
        JobState.SCHEDULED: "given a later time",
        JobState.CANCELLED: "cancelled",
    },
    JobState.RUNNING: {
        JobState.COMPLETED: "its function returned",
        JobState.SCHEDULED: "failed with attempts left, or snoozed",
        JobState.READY: "returned by its worker, or rescued from a dead one",
        JobState.HELD: "returned or rescued, a limit holds it",
        JobState.CANCELLED: "cancelled while running",
        JobState.DEAD: "out of attempts, given up, or crashing its workers",
    },
    JobState.COMPLETED: _REPLAYED,
    JobState.CANCELLED: _REPLAYED,
    JobState.DEAD: _REPLAYED,
}


def is_allowed(current: JobState, new: JobState) -> bool:
    """Whether a job may move from ``current`` to ``new``."""
    return new in MOVES[current]
