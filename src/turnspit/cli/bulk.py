"""Changing jobs from the command line: by ids, by a filter, or all. Before a change by filter, a person is asked."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import typer

from turnspit.app import Turnspit
from turnspit.cli.errors import Failed, WrongUsage
from turnspit.cli.loading import find_store
from turnspit.cli.options import split_ids
from turnspit.cli.output import complain, count_of, line, note, print_json
from turnspit.errors import JobNotFound, MoveNotAllowed
from turnspit.operations import FilterFields
from turnspit.states import FINAL_STATES, LIVE_STATES, RETRYING, WAITING_STATES, JobState

__all__ = ["DELETE", "REPLAY", "RUN_NOW", "Change", "cancel_because", "carry_out"]


@dataclass(frozen=True, slots=True)
class Change:
    """What is done to jobs."""

    verb: str
    done: str
    """The verb's participle."""
    states: frozenset[JobState]
    """Which jobs it can be done to."""
    call: Callable[..., int]
    """``(app, job_id, all=, **fields)``: how many jobs were changed."""
    default_states: frozenset[JobState] | None = None
    """Which of these a filter without a state means; ``None``: all of them."""

    @property
    def name(self) -> str:
        """The participle's name in JSON."""
        return self.done.replace(" ", "_")


def _replay(app: Turnspit, job_id: int | None = None, **fields: Any) -> int:
    return app.jobs.replay(job_id, **fields)


def _delete(app: Turnspit, job_id: int | None = None, **fields: Any) -> int:
    return app.jobs.delete(job_id, **fields)


def _run_now(app: Turnspit, job_id: int | None = None, **fields: Any) -> int:
    return app.jobs.run_now(job_id, **fields)


REPLAY = Change("replay", "replayed", FINAL_STATES, _replay, frozenset({JobState.DEAD}))
RUN_NOW = Change(
    "run now", "made ready", WAITING_STATES - {JobState.BLOCKED}, _run_now, frozenset({JobState.SCHEDULED})
)
DELETE = Change("delete", "deleted", WAITING_STATES | FINAL_STATES, _delete)


def cancel_because(reason: str) -> Change:
    """Cancelling, with a reason to keep."""

    def cancel(app: Turnspit, job_id: int | None = None, **fields: Any) -> int:
        return app.jobs.cancel(job_id, reason=reason, **fields)

    return Change("cancel", "cancelled", LIVE_STATES, cancel)


def carry_out(
    change: Change, words: Iterable[str] | None, fields: FilterFields, *, all_: bool, yes: bool, as_json: bool
) -> None:
    """Do it to the jobs that were named.

    :raises WrongUsage: if it is not clear which ones are meant.
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
        line(f"{count_of(done, 'job')} {change.done}")
    else:
        note(f"no job that can be {change.done} matches")


def _check(change: Change, ids: list[int], fields: FilterFields, *, all_: bool) -> None:
    if ids and (fields or all_):
        raise WrongUsage("name jobs by their ids or by a filter, not both")
    if not (ids or fields or all_):
        raise WrongUsage(
            f"which jobs? Name their ids, give a filter (as --task or --error), or --all to {change.verb} all"
        )
    state = fields.get("state")
    if state is not None and (JobState.SCHEDULED if state == RETRYING else state) not in change.states:
        states = ", ".join(each for each in JobState if each in change.states)
        raise WrongUsage(f"a {state} job cannot be {change.done}: only {states} ones can")


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
        line(f"{'job' if len(done) == 1 else 'jobs'} {', '.join(map(str, done))} {change.done}")
    if change.verb == "cancel":
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
    states = change.default_states or change.states
    return sum(app.jobs.count(**FilterFields(**fields, state=state)) for state in states)


def _ask(change: Change, count: int) -> None:
    """On a terminal, show how many jobs there are and ask; a script is not asked."""
    if not sys.stdin.isatty():
        return
    if not typer.confirm(f"{change.verb} {count_of(count, 'job')}?", err=True):
        raise Failed("nothing was changed")
