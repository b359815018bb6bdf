"""Which jobs a call is about, as it is said and as an engine takes it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from turnspit.codec import check_text, encode, is_unicode
from turnspit.errors import ConfigurationError, InvalidPayload
from turnspit.jobs import JobFilter
from turnspit.states import FILTER_STATES, RETRYING, JobState
from turnspit.uniqueness import idempotency_rule

__all__ = ["FilterFields", "check_id", "make_filter"]

_TEXT_FIELDS = ("queue", "task", "tag", "error", "fingerprint", "idempotency_key")


class FilterFields(TypedDict, total=False):
    """Which jobs a call is about: every field that is given must match.

    ``state`` is also ``"retrying"``: scheduled, after at least one attempt. ``args`` compares top-level arguments for
    equality; ``error`` is the type of the last error; times are aware datetimes. ``task`` and ``idempotency_key``
    together mean the job that holds the key which ``using()`` gave it, as long as it does: until it has ended, and for
    a day after it was enqueued.
    """

    state: JobState | str
    queue: str
    task: str
    tag: str
    args: Mapping[str, Any]
    error: str
    fingerprint: str
    workflow: int
    idempotency_key: str
    created_after: datetime
    created_before: datetime


def make_filter(fields: Mapping[str, Any], job_id: int | None = None) -> JobFilter:
    """The filter of keyword arguments.

    :raises ConfigurationError: for a field or a state that does not exist.
    """
    unknown = set(fields) - set(FilterFields.__annotations__)
    if unknown:
        raise ConfigurationError(
            f"jobs cannot be filtered by {', '.join(sorted(unknown))}; "
            f"there are {', '.join(sorted(FilterFields.__annotations__))}"
        )
    state = fields.get("state")
    if state is not None and state not in FILTER_STATES:
        raise ConfigurationError(f"no state is named {state!r}; there are {', '.join(FILTER_STATES)}")
    if state == RETRYING:
        fields = {**fields, "state": JobState.SCHEDULED}
    for name in _TEXT_FIELDS:
        value = fields.get(name)
        if value is not None and not (isinstance(value, str) and is_unicode(value)):
            raise ConfigurationError(f"{name}= takes a text, not {value!r}")
    if fields.get("args") is not None:
        _check_args(fields["args"])
    is_retrying = state == RETRYING
    return JobFilter(id=None if job_id is None else check_id(job_id), is_retrying=is_retrying, **_with_key(fields))


def _with_key(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a filter, with the unique key that an idempotency key is in the store."""
    rest = dict(fields)
    key, task = rest.pop("idempotency_key", None), rest.get("task")
    if key is None:
        return rest
    if task is None:
        raise ConfigurationError(f"idempotency_key={key!r} is the key of a task's job: name the task too, with task=")
    key = check_text(key, "an idempotency key")
    return rest | {"unique_key": idempotency_rule(str.__str__(task), key)[0]}


def _check_args(args: object) -> None:
    if not isinstance(args, Mapping):
        raise ConfigurationError(f"args= takes a dict of arguments, not {args!r}")
    try:
        encode(dict(args), what="args=")
    except InvalidPayload:
        raise ConfigurationError(f"args= takes JSON values, not {args!r}") from None


def check_id(job_id: int) -> int:
    """The id.

    :raises ConfigurationError: if it cannot be one.
    """
    if not isinstance(job_id, int):
        raise ConfigurationError(f"a job is named by its id, a whole number (job.id), not {job_id!r}")
    return job_id
