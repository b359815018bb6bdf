"""A job as a ``TaskResult`` of ``django.tasks``."""

import builtins
import re
from contextlib import suppress
from dataclasses import fields
from datetime import datetime
from typing import Any

from django import conf
from django.utils import timezone

from turnspit import Job, JobState, errors
from turnspit.contrib.django.declared_tasks import declared
from turnspit.contrib.django.task_framework import TaskError, TaskResult, TaskResultStatus, task_backends
from turnspit.errors import ResultError
from turnspit.jobs import Attempt, kept_result

__all__ = ["brief_result", "metadata_of", "result_of"]

_KEY = "django.tasks"
_STATUS = {
    JobState.RUNNING: TaskResultStatus.RUNNING,
    JobState.COMPLETED: TaskResultStatus.SUCCESSFUL,
    JobState.DEAD: TaskResultStatus.FAILED,
    JobState.CANCELLED: TaskResultStatus.FAILED,
}
_FAILURES = ("failed", "dead", "invalid", "crashed")


def metadata_of(task: Any, positional: int) -> dict[str, Any]:
    """What a job remembers of how it was enqueued, beside what every job has."""
    run_after = None if task.run_after is None else task.run_after.isoformat()
    return {_KEY: {"backend": task.backend, "positional": positional, "run_after": run_after}}


def result_of(job: Job[Any]) -> Any:
    """The ``TaskResult`` of a job whose task is declared."""
    found = declared[job.task]
    told = job.metadata.get(_KEY, {})  # nothing for a job that the dashboard or the command line enqueued
    args, kwargs = found.signature.as_given(job.args, told.get("positional", 0))
    run_after, backend = told.get("run_after"), told.get("backend")
    task = _changed(
        found.task,
        priority=job.priority,
        queue_name=job.queue,
        backend=backend if backend in task_backends else found.task.backend,  # TASKS may not name it any more
        run_after=None if run_after is None else datetime.fromisoformat(run_after),
    )
    runs = job.attempts
    result = TaskResult(
        task=task,
        id=str(job.id),
        status=_STATUS.get(job.state, TaskResultStatus.READY),
        enqueued_at=_moment(job.created_at),
        started_at=_moment(runs[0].started_at) if runs else None,
        finished_at=_moment(job.finished_at),
        last_attempted_at=_moment(runs[-1].started_at) if runs else None,
        args=args,
        kwargs=kwargs,
        backend=task.backend,
        errors=[_error_of(run) for run in runs if run.outcome in _FAILURES],
        worker_ids=[run.worker or "unknown" for run in runs],
    )
    if job.state is JobState.CANCELLED:
        result.errors.append(TaskError(exception_class_path="turnspit.errors.JobCancelled", traceback=job.reason or ""))
    if job.state is JobState.COMPLETED:
        with suppress(ResultError):  # where it was not kept, it is None
            object.__setattr__(result, "_return_value", kept_result(job))
    return result


def brief_result(job_id: int, task: Any, status: Any) -> Any:
    """What is known of a result without a look into the store: enough for Django's own log."""
    return TaskResult(
        task=task,
        id=str(job_id),
        status=status,
        enqueued_at=None,
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=[],
        kwargs={},
        backend=task.backend,
        errors=[],
        worker_ids=[],
    )


def _changed(task: Any, **changes: Any) -> Any:
    """The task with other values, which nobody validates: they are those of a job that is stored."""
    copy = object.__new__(type(task))
    for field in fields(task):
        object.__setattr__(copy, field.name, changes.get(field.name, getattr(task, field.name)))
    return copy


def _moment(moment: datetime | None) -> datetime | None:
    """As Django's own ``timezone.now()`` is."""
    if moment is None or conf.settings.USE_TZ:
        return moment
    naive: datetime = timezone.make_naive(moment, timezone.get_default_timezone())
    return naive


def _error_of(run: Attempt) -> Any:
    trace, name = run.traceback or "", run.error_type or "Exception"
    paths = re.findall(rf"^([\w.<>]*\b{re.escape(name)})(?::|$)", trace, re.MULTILINE)
    path = paths[-1] if paths else name  # a job keeps the bare name, its traceback ends with the whole
    if "." not in path:
        path = f"{(errors if hasattr(errors, path) else builtins).__name__}.{path}"
    return TaskError(exception_class_path=path, traceback=trace or f"{path}: {run.error_message}\n")
