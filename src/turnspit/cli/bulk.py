"""Changing jobs from the command line: by ids, by a filter, or all. Before a change by filter, a person is asked."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import typer

from turnspit import operations
from turnspit.app import Turnspit
from turnspit.cli.errors import Failed, WrongUsage
from turnspit.cli.loading import find_store
from turnspit.cli.options import split_ids
from turnspit.cli.output import complain, count_of, describe_duration, line, note, print_json
from turnspit.cli.portions import work_through
from turnspit.errors import JobNotFound, MoveNotAllowed, TurnspitError
from turnspit.operations import FilterFields, JobChange, Portions, check_rate, make_filter
from turnspit.states import JobState

__all__ = ["DELETE", "REPLAY", "RUN_NOW", "Change", "cancel_because", "carry_out"]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of jobs, and the function that makes it."""

    kind: JobChange
    call: Callable[[Turnspit, int], int]
    """Changes the job with this id."""
    reason: str = ""

    @property
    def name(self) -> str:
        """The participle's name in JSON."""
        return self.kind.done.replace(" ", "_")


REPLAY = Change(operations.REPLAY, lambda app, job_id: app.jobs.replay(job_id))
RUN_NOW = Change(operations.RUN_NOW, lambda app, job_id: app.jobs.run_now(job_id))
DELETE = Change(operations.DELETE, lambda app, job_id: app.jobs.delete(job_id))


def cancel_because(reason: str) -> Change:
    """Cancelling, with a reason to keep."""
    return Change(operations.CANCEL, lambda app, job_id: app.jobs.cancel(job_id, reason=reason), reason)


def carry_out(
    change: Change,
    words: Iterable[str] | None,
    fields: FilterFields,
    *,
    all_: bool,
    yes: bool,
    as_json: bool,
    rate: float | None = None,
) -> None:
    """Make a change to the jobs that were named.

    :param rate: at most so many jobs a second.
    :raises WrongUsage: if it is not clear which ones are meant.
    :raises ConfigurationError: if jobs in the state that was named cannot be changed so.
    """
    name, ids = split_ids(words)
    _check(change, ids, fields, rate, all_=all_)
    app = find_store(name).app
    if ids:
        _change_each(change, app, ids, as_json=as_json)
        return
    count = _count(change, app, fields)
    if count and not yes:
        _ask(change, count, rate)
    _change_all(change, app, fields, count, rate, as_json=as_json)


def _change_all(
    change: Change, app: Turnspit, fields: FilterFields, count: int, rate: float | None, *, as_json: bool
) -> None:
    filter_ = make_filter({"state": change.kind.default_state, **fields})
    portions = Portions(app.engine, change.kind, filter_, rate=rate, reason=change.reason)
    try:
        signal = work_through(app.engine, portions, count, change.kind.done) if count else None
    except TurnspitError:
        if portions.changed:
            note(_left(change, portions.changed, count))
        raise
    if as_json:
        print_json({change.name: portions.changed, "errors": []})
    elif portions.changed:
        line(f"{count_of(portions.changed, 'job')} {change.kind.done}")
    else:
        note(f"no job that can be {change.kind.done} matches")
    if signal is not None:
        note(_left(change, portions.changed, count))
        raise typer.Exit(128 + signal)


def _left(change: Change, changed: int, count: int) -> str:
    """What a change that ended too early has done."""
    return (
        f"stopped after {changed:,} of {count_of(count, 'job')}: the others are as they were, "
        f"and the same command goes on to {change.kind.verb} them"
    )


def _check(change: Change, ids: list[int], fields: FilterFields, rate: float | None, *, all_: bool) -> None:
    if ids and (fields or all_):
        raise WrongUsage("name jobs by their ids or by a filter, not both")
    if not (ids or fields or all_):
        raise WrongUsage(
            f"which jobs? Name their ids, give a filter (as --task or --error), or --all to {change.kind.verb} all"
        )
    if ids and rate is not None:
        raise WrongUsage("--rate is for a filter or --all: jobs that are named by their ids are few")
    change.kind.check_state(fields.get("state"))
    check_rate(rate)


def _change_each(change: Change, app: Turnspit, ids: list[int], *, as_json: bool) -> None:
    done: list[int] = []
    errors: list[dict[str, Any]] = []
    for job_id in ids:
        try:
            change.call(app, job_id)
            done.append(job_id)
        except (JobNotFound, MoveNotAllowed) as error:
            errors.append({"id": job_id, "error": str(error)})
    if as_json:
        print_json({change.name: len(done), "errors": errors})
    elif done:
        line(f"{'job' if len(done) == 1 else 'jobs'} {', '.join(map(str, done))} {change.kind.done}")
    if change.kind.verb == "cancel":
        for job_id in done:
            if app.jobs.get(job_id).state is JobState.RUNNING:
                note(f"job {job_id} is running: its worker was asked to stop it")
    for refused in errors:
        complain(refused["error"])
    if errors:
        raise typer.Exit(1)


def _count(change: Change, app: Turnspit, fields: FilterFields) -> int:
    if "state" in fields:
        return app.jobs.count(**fields)
    return sum(app.jobs.count(**FilterFields(**fields, state=state)) for state in change.kind.meant_states)


def _ask(change: Change, count: int, rate: float | None) -> None:
    """On a terminal, show how many jobs there are and ask; a script is not asked."""
    if not sys.stdin.isatty():
        return
    pace = "" if rate is None else f" in {describe_duration(count / rate)}"
    if not typer.confirm(f"{change.kind.verb} {count_of(count, 'job')}{pace}?", err=True):
        raise Failed("nothing was changed")
