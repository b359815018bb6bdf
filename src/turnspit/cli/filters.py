"""The options that say which jobs a command is about, and the filter that they mean."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import wraps
from inspect import Parameter, signature
from typing import Any

from turnspit.cli.errors import WrongUsage
from turnspit.cli.options import (
    Args,
    CreatedAfter,
    CreatedBefore,
    Error,
    Fingerprint,
    OfWorkflow,
    Queue,
    State,
    Tag,
    TaskName,
    WithKey,
)
from turnspit.cli.values import parse_duration, parse_moment, parse_pairs
from turnspit.clock import utc_now
from turnspit.operations import FilterFields
from turnspit.states import FILTER_STATES

__all__ = ["filter_fields", "takes_filter"]

_OPTIONS: dict[str, Any] = {
    "state": State,
    "queue": Queue,
    "task": TaskName,
    "tag": Tag,
    "error": Error,
    "fingerprint": Fingerprint,
    "workflow": OfWorkflow,
    "idempotency_key": WithKey,
    "args": Args,
    "created_after": CreatedAfter,
    "created_before": CreatedBefore,
}


def takes_filter(*, without: Iterable[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the filter options in place of its parameter ``fields``; it gets what was typed as one value.

    :param without: names of filter options that the command does not have.
    """
    left_out = set(without)
    options = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in _OPTIONS.items()
        if name not in left_out
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def call(**typed: Any) -> None:
            fields = filter_fields(**{option.name: typed.pop(option.name) for option in options})
            command(fields=fields, **typed)

        declared = signature(command)
        shown: list[Parameter] = []
        for parameter in declared.parameters.values():
            shown += options if parameter.name == "fields" else [parameter]
        vars(call)["__signature__"] = declared.replace(parameters=shown)  # typer makes the options from it
        return call

    return decorate


def filter_fields(
    *,
    state: str | None = None,
    queue: str | None = None,
    task: str | None = None,
    tag: str | None = None,
    error: str | None = None,
    fingerprint: str | None = None,
    workflow: int | None = None,
    idempotency_key: str | None = None,
    args: Iterable[str] | None = None,
    created_after: str | None = None,
    created_before: str | None = None,
) -> FilterFields:
    """The filter options that were given, as ``app.jobs`` takes them.

    :raises WrongUsage: if a state does not exist, a value cannot be read, or a key comes without its task.
    """
    if state is not None and state not in FILTER_STATES:
        raise WrongUsage(f"no state is named {state!r}; there are {', '.join(FILTER_STATES)}")
    if idempotency_key is not None and task is None:
        raise WrongUsage("--idempotency-key is the key of a task's job: name the task too, with --task")
    given: dict[str, Any] = {
        "state": state,
        "queue": queue,
        "task": task,
        "tag": tag,
        "error": error,
        "fingerprint": fingerprint,
        "workflow": workflow,
        "idempotency_key": idempotency_key,
        "args": parse_pairs(args, "--args") if args else None,
        "created_after": _moment(created_after, "--created-after"),
        "created_before": _moment(created_before, "--created-before"),
    }
    fields: FilterFields = {name: value for name, value in given.items() if value is not None}  # type: ignore[assignment]
    return fields


def _moment(text: str | None, option: str) -> datetime | None:
    """A moment, or how long ago it was."""
    if text is None:
        return None
    try:
        return utc_now() - parse_duration(text)
    except WrongUsage:
        return parse_moment(text, f"{option} is how long ago, as in 2h, or")
