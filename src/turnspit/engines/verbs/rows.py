"""Turns rows into records, and lists into parameters."""

import json
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

import pydantic_core

from turnspit.contract.verbs import Row
from turnspit.errors import EngineError
from turnspit.records import AttemptRecord, JobRecord, NewJob, WorkerRecord
from turnspit.states import JobState

__all__ = [
    "attempt_from_row",
    "has_a_time",
    "job_from_row",
    "left_out",
    "params_of_alike",
    "to_json",
    "worker_from_row",
]

_ALL_BUT_ARGS = itemgetter(*(place for place, name in enumerate(NewJob._fields) if name != "args"))


def to_json(values: Iterable[Any]) -> str:
    """A list as JSON text, which is how statements take it."""
    return pydantic_core.to_json(list(values)).decode()


def has_a_time(new: NewJob[Any]) -> bool:
    """Whether a new job has a moment at which something must be done: it becomes due, or expires."""
    return bool(new.delay) or new.at is not None or new.expires_at is not None or new.expires_in is not None


def params_of_alike(new: Sequence[NewJob[Any]]) -> dict[str, Any] | None:
    """The parameters of jobs that differ in nothing but their arguments, as most that are stored together: their common
    fields, and the list of their arguments as ``jobs``. ``None`` if they differ in more.
    """
    first = _ALL_BUT_ARGS(new[0])
    if not all(_ALL_BUT_ARGS(job) == first for job in new):
        return None
    params = new[0]._asdict()
    del params["args"], params["unique_rule"]
    return {**params, "jobs": to_json(job.args for job in new)}


def left_out(tasks: Iterable[str]) -> EngineError:
    """The error of a call some of whose new jobs the store has left out without an error of its own.

    :param tasks: of all jobs of the call.
    """
    names = ", ".join(sorted(set(tasks)))
    return EngineError(
        f"nothing was enqueued, because the store left a new job out without an error (of {names}): a trigger on its "
        "table of jobs does so, by RAISE(IGNORE) on SQLite or RETURN NULL on PostgreSQL; drop that trigger, or let it "
        "raise an error that says why"
    )


def job_from_row(row: Row, attempts: list[AttemptRecord]) -> JobRecord:
    """A row of ``list_jobs_live`` or ``list_jobs_final`` with its stored attempts."""
    record = JobRecord(*row)
    record.state = JobState(record.state)
    latest = _latest_attempt(record, attempts)
    record.attempts = tuple(attempts) if latest is None else (*attempts, latest)
    return record


def attempt_from_row(row: Row) -> tuple[int, AttemptRecord]:
    """The job's id and the attempt of a row of ``list_jobs_attempts``."""
    return row[0], AttemptRecord(*row[1:])


def worker_from_row(row: Row) -> WorkerRecord:
    """A row of ``list_workers``."""
    (
        worker,
        host,
        pid,
        version,
        queues,
        tasks,
        concurrency,
        started,
        renewed,
        expires,
        stopped,
        live,
        running,
        memory,
        asked_to,
        blocked_since,
        blocked_by,
    ) = row
    return WorkerRecord(
        id=worker,
        host=host,
        pid=pid,
        version=version,
        queues=None if queues is None else tuple(json.loads(queues)),
        tasks=tuple(json.loads(tasks)),
        concurrency=concurrency,
        started_at=started,
        renewed_at=renewed,
        expires_at=expires,
        stopped_at=stopped,
        live=bool(live),
        running=running,
        memory=memory,
        asked_to=asked_to,
        blocked_since=blocked_since,
        blocked_by=blocked_by,
    )


def _latest_attempt(record: JobRecord, attempts: list[AttemptRecord]) -> AttemptRecord | None:
    """The attempt that has no row yet, but is told by the job's own: the one that runs, or that completed."""
    if record.state not in (JobState.RUNNING, JobState.COMPLETED):
        return None
    if attempts and attempts[-1].fence == record.fence:
        return None
    return AttemptRecord(
        record.attempt,
        record.fence,
        str(record.state),
        record.started_at,
        record.finished_at,
        record.worker,
        None,
        None,
        None,
    )
