"""The part of a ``JobFilter`` that is the same on any engine: which tables it can match in, and plain conditions."""

from typing import Any

from turnspit.clock import to_moment
from turnspit.jobs import JobFilter
from turnspit.states import JobState

__all__ = ["LARGEST", "column_terms", "in_history", "in_jobs"]

LARGEST = 2**63 - 1
_EQUAL_COLUMNS = {
    "id": "id",
    "queue": "queue",
    "task": "task",
    "error": "error_type",
    "fingerprint": "fingerprint",
    "workflow": "workflow",
}
"""The column with which each of these fields of a filter is compared as it is."""

_HISTORY = (JobState.COMPLETED, JobState.CANCELLED)


def in_jobs(filter_: JobFilter) -> bool:
    """Whether live jobs and dead letters can match."""
    return filter_.state is None or filter_.state not in _HISTORY


def column_terms(filter_: JobFilter, keys: str) -> tuple[list[str], dict[str, Any]] | None:
    """The conditions on columns, and their parameters; ``None`` if no job can match.

    :param keys: the table of unique keys.
    """
    terms: list[str] = []
    params: dict[str, Any] = {}
    for field, column in _EQUAL_COLUMNS.items():
        value = getattr(filter_, field)
        if isinstance(value, int) and abs(value) > LARGEST:
            return None
        if value is not None:
            terms.append(f"{column} = :f_{field}")
            params[f"f_{field}"] = value
    terms += _state_terms(filter_)
    if filter_.unique_key is not None:
        terms.append(f"id = (SELECT job FROM {keys} WHERE key = :f_unique_key)")  # noqa: S608 (our own words)
        params["f_unique_key"] = filter_.unique_key
    if filter_.created_after is not None:
        terms.append("created_at >= :f_after")
        params["f_after"] = to_moment(filter_.created_after, "created_after")
    if filter_.created_before is not None:
        terms.append("created_at < :f_before")
        params["f_before"] = to_moment(filter_.created_before, "created_before")
    return terms, params


def _state_terms(filter_: JobFilter) -> list[str]:
    """Conditions on the state, written as a literal, so that the planner can use the partial index of that state."""
    terms = [] if filter_.state is None else [f"state = '{JobState(filter_.state)}'"]
    return [*terms, "attempt > 0"] if filter_.is_retrying else terms


def in_history(filter_: JobFilter) -> bool:
    """Whether completed and cancelled jobs can match."""
    return filter_.state is None or filter_.state in _HISTORY
