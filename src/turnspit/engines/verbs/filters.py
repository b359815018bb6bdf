"""Which table a ``JobFilter`` can match in."""

from turnspit.jobs import JobFilter
from turnspit.states import JobState

__all__ = ["EQUAL_COLUMNS", "LARGEST", "in_history", "in_jobs", "state_terms"]

LARGEST = 2**63 - 1
EQUAL_COLUMNS = {
    "id": "id",
    "queue": "queue",
    "task": "task",
    "error": "error_type",
    "fingerprint": "fingerprint",
    "workflow": "workflow",
}
"""Fields of a filter that are compared with a column as they are."""

_HISTORY = (JobState.COMPLETED, JobState.CANCELLED)


def in_jobs(filter_: JobFilter) -> bool:
    """Whether live jobs and dead letters can match."""
    return filter_.state is None or filter_.state not in _HISTORY


def state_terms(filter_: JobFilter) -> list[str]:
    """Conditions on the state; a literal, so that the planner may use the partial index of that state."""
    terms = [] if filter_.state is None else [f"state = '{JobState(filter_.state)}'"]
    return [*terms, "attempt > 0"] if filter_.is_retrying else terms


def in_history(filter_: JobFilter) -> bool:
    """Whether completed and cancelled jobs can match."""
    return filter_.state is None or filter_.state in _HISTORY
