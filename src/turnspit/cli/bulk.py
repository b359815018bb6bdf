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
from turnspit.cli.output import complain, count_of, line, note, print_json
from turnspit.errors import JobNotFound, MoveNotAllowed
from turnspit.operations import FilterFields, JobChange
from turnspit.states import JobState

__all__ = ["DELETE", "REPLAY", "RUN_NOW", "Change", "cancel_because", "carry_out"]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of jobs, and the function that makes it."""

    kind: JobChange
    call: Callable[..., int]
    """``(app, job_id, all=, **fields)``: how many jobs were changed."""

    @property
    def name(self) -> str:
        """The participle's name in JSON."""
        return self.kind.done.replace(" ", "_")


def _replay(app: Turnspit, job_id: int | None = None, **fields: Any) -> int:
    return app.jobs.replay(job_id, **fields)


def _delete(app: Turnspit, job_id: int | None = None, **fields: Any) -> int:
    return app.jobs.delete(job_id, **fields)


def _run_now(app: Turnspit, job_id: int | None = None, **fields: Any) -> int:
    return app.jobs.run_now(job_id, **fields)


REPLAY = Change(operations.REPLAY, _replay)
RUN_NOW = Change(operations.RUN_NOW, _run_now)
DELETE = Change(operations.DELETE, _delete)


def cancel_because(reason: str) -> Change:
    """Cancelling, with a reason to keep."""

    def cancel(app: Turnspit, job_id: int | None = None, **fields: Any) -> int:
        return app.jobs.cancel(job_id, reason=reason, **fields)

    return Change(operations.CANCEL, cancel)


def carry_out(
    change: Change, words: Iterable[str] | None, fields: FilterFields, *, all_: bool, yes: bool, as_json: bool
) -> None:
    """Make a change to the jobs that were named.

    :raises WrongUsage: if it is not clear which ones are meant.
    :raises ConfigurationError: if jobs in the state that was named cannot be changed so.
    """
    name, ids = split_ids(words)
    _check(change, ids, fields, all_=all_)
    app = find_store(name).app
    if ids:
        _change_each(change, app, ids, as_json=as_json)
        return
    count = _count(change, app, fields)
    if count and not yes:
        _ask(change, count)
    done = change.call(app, **fields, all=all_) if count else 0
    if as_json:
        print_json({change.name: done, "errors": []})
    elif done:
        line(f"{count_of(done, 'job')} {change.kind.done}")
    else:
        note(f"no job that can be {change.kind.done} matches")


def _check(change: Change, ids: list[int], fields: FilterFields, *, all_: bool) -> None:
    if ids and (fields or all_):
        raise WrongUsage("name jobs by their ids or by a filter, not both")
    if not (ids or fields or all_):
        raise WrongUsage(
            f"which jobs? Name their ids, give a filter (as --task or --error), or --all to {change.kind.verb} all"
        )
    change.kind.check_state(fields.get("state"))


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


def _ask(change: Change, count: int) -> None:
    """On a terminal, show how many jobs there are and ask; a script is not asked."""
    if not sys.stdin.isatty():
        return
    if not typer.confirm(f"{change.kind.verb} {count_of(count, 'job')}?", err=True):
        raise Failed("nothing was changed")
