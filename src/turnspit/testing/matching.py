"""Comparing enqueued jobs with what a test expects, and the message when none matches."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from turnspit.clock import Duration, from_moment, to_duration
from turnspit.codec import encode
from turnspit.errors import ConfigurationError, InvalidArguments
from turnspit.jobs import Job
from turnspit.states import FILTER_STATES, RETRYING, JobState
from turnspit.tasks import Task

__all__ = ["Wanted", "check_times", "find_task", "names_of"]

_MOST_LISTED = 20
_LONGEST_CALL = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an enqueued job must be like; ``None`` leaves a property open.

    :raises InvalidArguments: if the task has no such argument: a typing mistake must not pass as "not enqueued".
    """

    task: Task[Any, Any]
    args: Mapping[str, Any]
    queue: str | None = None
    state: JobState | str | None = None
    priority: int | None = None
    tag: str | None = None
    at: datetime | None = None
    delay: Duration | None = None

    def __post_init__(self) -> None:
        names = self.task.signature.arguments.__annotations__
        unknown = [name for name in self.args if name not in names]
        if unknown:
            raise InvalidArguments(
                f"task {self.task.name} has no argument {', '.join(unknown)}; it takes {', '.join(names) or 'none'}"
            )
        if self.state is not None and self.state not in FILTER_STATES:
            raise ConfigurationError(f"no state is named {self.state!r}; there are {', '.join(FILTER_STATES)}")

    def differences(self, job: Job[Any]) -> list[str]:
        """How the job differs from the expected one; empty if it matches."""
        if job.task not in names_of(self.task):
            return [f"its task is {job.task}"]
        found = [*self._other_arguments(job)]
        state = RETRYING if self.state == RETRYING and job.is_retrying else job.state
        for name, actual in (("queue", job.queue), ("state", state), ("priority", job.priority)):
            expected = getattr(self, name)
            if expected is not None and actual != expected:
                found.append(f"{name} is {_show(actual)}, not {_show(expected)}")
        if self.tag is not None and self.tag not in job.tags:
            found.append(f"tags are {list(job.tags)}, without {self.tag!r}")
        if self.at is not None and job.run_at != self.at:
            found.append(f"its time is {job.run_at}, not {self.at}")
        if self.delay is not None:
            expected_at = from_moment(0) + (job.run_at - job.created_at)
            if expected_at != from_moment(to_duration(self.delay, "delay")):
                found.append(f"its delay is {job.run_at - job.created_at}, not {self.delay}")
        return found

    def _other_arguments(self, job: Job[Any]) -> list[str]:
        stored = job.args
        typed = _typed_arguments(self.task, stored)
        found = []
        for name, expected in self.args.items():
            # A test may name a value as the function sees it (a UUID) or as it is stored (its text).
            if not (expected == typed.get(name, _MISSING) or expected == stored.get(name, _MISSING)):
                found.append(f"{name} is {_show(typed.get(name, stored.get(name)))}, not {_show(expected)}")
        return found

    def __str__(self) -> str:
        parts = [f"{name}={value!r}" for name, value in self.args.items()]
        for name in ("queue", "state", "priority", "tag", "at", "delay"):
            value = getattr(self, name)
            if value is not None:
                parts.append(f"{name} {_show(value)}")
        return self.task.name + (f" with {', '.join(parts)}" if parts else "")


class _Missing:
    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


_MISSING = _Missing()


def find_task(tasks: Mapping[str, Task[Any, Any]], task: Task[Any, Any] | str) -> Task[Any, Any]:
    """The app's task of this name, or the task itself.

    :raises ConfigurationError: if the app has no such task.
    """
    if not isinstance(task, (Task, str)):
        raise ConfigurationError(f"name a task or give its name, not {task!r}: is it decorated with @app.task?")
    name = task if isinstance(task, str) else task.name
    if name not in tasks:
        raise ConfigurationError(f"this app has no task {name!r}; it has {', '.join(sorted(tasks)) or 'none'}")
    return tasks[name]


def names_of(task: Task[Any, Any]) -> tuple[str, ...]:
    """The names under which the task's jobs are stored."""
    return (task.name, *task.aliases)


def check_times(wanted: Wanted, jobs: Sequence[Job[Any]], times: int | None) -> list[Job[Any]]:
    """The jobs that match.

    :raises AssertionError: if there are not ``times`` of them (``None``: at least one), listing what there is.
    """
    __tracebackhide__ = True
    matching = [job for job in jobs if not wanted.differences(job)]
    if len(matching) == times or (times is None and matching):
        return matching
    raise AssertionError("\n".join([_headline(wanted, len(matching), times), *_describe(jobs, wanted)]))


def _headline(wanted: Wanted, count: int, times: int | None) -> str:
    if times is None:
        return f"expected a job of {wanted}, but none was enqueued."
    expected = {0: "no job", 1: "one job"}.get(times, f"{times} jobs")
    actual = {0: "none was", 1: "one was"}.get(count, f"{count} were")
    return f"expected {expected} of {wanted}, but {actual} enqueued."


def _describe(jobs: Sequence[Job[Any]], wanted: Wanted) -> list[str]:
    """A line for each job, the most similar ones first, with what is different in those of the wanted task."""
    if not jobs:
        return ["Nothing was enqueued."]
    names = names_of(wanted.task)
    found = [(job.task not in names, wanted.differences(job), job) for job in jobs]
    found.sort(key=lambda each: (each[0], len(each[1]), each[2].id))
    lines = ["Enqueued were:"]
    for is_other, differences, job in found[:_MOST_LISTED]:
        lines.append(f"  {_line(job)}" + (f"  <- {'; '.join(differences)}" if differences and not is_other else ""))
    if len(found) > _MOST_LISTED:
        lines.append(f"  and {len(found) - _MOST_LISTED} more")
    return lines


def _line(job: Job[Any]) -> str:
    call = f"{job.task}({', '.join(f'{name}={value!r}' for name, value in job.args.items())})"
    if len(call) > _LONGEST_CALL:
        call = call[: _LONGEST_CALL - 4] + "...)"
    state = f"{job.state} for {job.run_at}" if job.state is JobState.SCHEDULED else str(job.state)
    return f"job {job.id}: {call} in queue {job.queue}, {state}"


def _typed_arguments(task: Task[Any, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """The arguments as the function would get them, its defaults included."""
    parameters = inspect.signature(task.function).parameters
    names = task.signature.arguments.__annotations__
    defaults = {
        name: parameters[name].default for name in names if parameters[name].default is not inspect.Parameter.empty
    }
    try:
        return defaults | task.signature.load(encode(stored, what="arguments"))
    except ValidationError:
        return defaults


def _show(value: object) -> str:
    return str(value) if isinstance(value, (JobState, datetime)) else repr(value)
