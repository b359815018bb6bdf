"""Changes made on the dashboard or by the API: each is permitted, made, logged for the audit, and visible at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request

from turnspit.clock import to_duration, to_moment
from turnspit.codec import check_text, encode
from turnspit.errors import ConfigurationError
from turnspit.jobs import Job
from turnspit.limits import Concurrency, Rate
from turnspit.records import Inserted, NewJob
from turnspit.task_options import check_priority, check_timeout
from turnspit.web.answer_cache import AnswerCache
from turnspit.web.audit import audit
from turnspit.web.permissions import Permission, check_permission
from turnspit.web.served import Served

__all__ = ["REASON", "Changes", "NewJobFields"]

REASON = "cancelled on the dashboard"
"""The reason that is kept with a job if the person gives none."""


@dataclass(frozen=True, slots=True)
class NewJobFields:
    """A job to store."""

    task: str
    args: Mapping[str, Any]
    queue: str | None = None
    priority: int | None = None
    delay: float | None = None
    at: datetime | None = None
    timeout: float | None = None
    tags: list[str] | None = None
    metadata: Mapping[str, Any] | None = None
    idempotency_key: str | None = None


class Changes:
    """Each verb checks the permission first, and raises what ``app.jobs`` raises."""

    def __init__(self, app: Served, cache: AnswerCache) -> None:
        self._app = app
        self._cache = cache

    async def replay(self, request: Request, job_id: int) -> None:
        """Make a final job live again."""
        await check_permission(request, Permission.REPLAY)
        await self._app.jobs.areplay(job_id)
        self._done(request, "replay", job=job_id)

    async def cancel(self, request: Request, job_id: int, reason: str = "") -> None:
        """Cancel a waiting job, or ask a running one to end."""
        await check_permission(request, Permission.CANCEL)
        await self._app.jobs.acancel(job_id, reason=reason or REASON)
        self._done(request, "cancel", job=job_id)

    async def delete(self, request: Request, job_id: int) -> None:
        """Remove a job for good."""
        await check_permission(request, Permission.DELETE)
        await self._app.jobs.adelete(job_id)
        self._done(request, "delete", job=job_id)

    async def run_now(self, request: Request, job_id: int) -> None:
        """Make a waiting job ready."""
        await check_permission(request, Permission.RUN)
        await self._app.jobs.arun_now(job_id)
        self._done(request, "run", job=job_id)

    async def update(self, request: Request, job_id: int, **changes: Any) -> None:
        """Change a waiting job's priority, queue or time."""
        await check_permission(request, Permission.EDIT)
        await self._app.jobs.aupdate(job_id, **changes)
        self._done(request, "edit", job=job_id, **{name: each for name, each in changes.items() if each is not None})

    async def enqueue(self, request: Request, fields: NewJobFields, copy_of: int | None = None) -> Job[Any] | Inserted:
        """Store a job. Where the app declares its task, its arguments are checked now, else by the worker."""
        await check_permission(request, Permission.ENQUEUE)
        job: Job[Any] | Inserted
        if fields.task in self._app.tasks:
            enqueuer = self._app.tasks[fields.task].enqueuer
            job = await enqueuer.aenqueue(self._checked(fields))
        else:
            engine = self._app.engine
            job = await engine.awrite(engine.insert_job, _unchecked(fields))
        self._done(request, "enqueue", job=job.id, task=fields.task, copy_of=copy_of)
        return job

    async def pause(self, request: Request, kind: str, name: str) -> None:
        """Pause a queue, a task or a tag: none of its jobs starts."""
        await check_permission(request, Permission.PAUSE)
        await self._app.queues.apause(**_named(kind, name))
        self._done(request, "pause", **{kind: name})

    async def resume(self, request: Request, kind: str, name: str) -> None:
        """End a pause."""
        await check_permission(request, Permission.PAUSE)
        await self._app.queues.aresume(**_named(kind, name))
        self._done(request, "resume", **{kind: name})

    async def set_limit(self, request: Request, name: str, limit: Rate | Concurrency) -> None:
        """Change a limit for the whole fleet, until it is reset."""
        await check_permission(request, Permission.LIMIT)
        await self._app.limits.aset(name, limit)
        self._done(request, "limit", limit=name, to=limit)

    async def reset_limit(self, request: Request, name: str) -> None:
        """Reset a limit to what the app declares."""
        await check_permission(request, Permission.LIMIT)
        await self._app.limits.areset(name)
        self._done(request, "reset limit", limit=name)

    async def quiet_worker(self, request: Request, worker: int) -> None:
        """Let a worker claim no more jobs, and end when its last one has."""
        await check_permission(request, Permission.WORKER)
        await self._app.workers.aquiet(worker)
        self._done(request, "quiet", worker=worker)

    async def stop_worker(self, request: Request, worker: int) -> None:
        """Stop a worker within its grace time."""
        await check_permission(request, Permission.WORKER)
        await self._app.workers.astop(worker)
        self._done(request, "stop", worker=worker)

    async def pause_schedule(self, request: Request, name: str) -> None:
        """Pause a schedule: no tick comes."""
        await check_permission(request, Permission.PAUSE)
        await self._app.schedules.apause(name)
        self._done(request, "pause", schedule=name)

    async def resume_schedule(self, request: Request, name: str) -> None:
        """Resume a schedule's ticks."""
        await check_permission(request, Permission.PAUSE)
        await self._app.schedules.aresume(name)
        self._done(request, "resume", schedule=name)

    async def run_schedule(self, request: Request, name: str) -> int:
        """Store a schedule's job now; its id."""
        await check_permission(request, Permission.RUN)
        job = await self._app.schedules.arun_now(name)
        self._done(request, "run", schedule=name, job=job)
        return job

    async def cancel_workflow(self, request: Request, workflow: int, reason: str = "") -> None:
        """Cancel what waits in a workflow, and ask what runs to end."""
        await check_permission(request, Permission.CANCEL)
        await self._app.workflows.acancel(workflow, reason=reason or REASON)
        self._done(request, "cancel", workflow=workflow)

    async def replay_workflow(self, request: Request, workflow: int, *, whole: bool = False) -> None:
        """Make its dead and cancelled jobs live again, or everything."""
        await check_permission(request, Permission.REPLAY)
        await self._app.workflows.areplay(workflow, whole=whole)
        self._done(request, "replay", workflow=workflow, whole=whole or None)

    def _checked(self, fields: NewJobFields) -> NewJob[Any]:
        task = self._app.tasks[fields.task]
        message = encode({"task": fields.task, "args": dict(fields.args)}, what="the arguments")
        _, arguments = self._app.payloads().validate(message)
        return task.using(
            queue=fields.queue,
            priority=fields.priority,
            delay=fields.delay,
            at=fields.at,
            timeout=fields.timeout,
            tags=fields.tags or None,
            metadata=dict(fields.metadata) if fields.metadata else None,
            idempotency_key=fields.idempotency_key,
        ).new_validated(arguments)

    def _done(self, request: Request, action: str, **facts: Any) -> None:
        audit(request, action, **{name: value for name, value in facts.items() if value is not None})
        self._cache.forget()


def _named(kind: str, name: str) -> dict[str, str]:
    if kind not in ("queue", "task", "tag"):
        raise ConfigurationError(f"what can be paused is a queue, a task or a tag, not a {kind!r}")
    return {kind: check_text(name, f"a {kind}'s name")}


def _unchecked(fields: NewJobFields) -> NewJob[Any]:
    """A job of a task that this app does not declare. Its arguments are checked by the worker that knows the task.

    :raises ConfigurationError: for an idempotency key, which only the task's declaration can make sense of.
    """
    if fields.idempotency_key is not None:
        raise ConfigurationError(f"this app does not declare the task {fields.task}: it takes no idempotency_key")
    if fields.delay is not None and fields.at is not None:
        raise ConfigurationError("a job takes a delay or a time, not both")
    return NewJob(
        task=check_text(fields.task, "a task's name"),
        queue=check_text(fields.queue or "default", "a queue's name"),
        args=encode(dict(fields.args), what="the arguments"),
        priority=check_priority(fields.priority or 0),
        at=None if fields.at is None else to_moment(fields.at),
        delay=0 if fields.delay is None else to_duration(fields.delay, "delay"),
        timeout=None if fields.timeout is None else check_timeout(fields.timeout),
        tags=encode([check_text(tag, "a tag") for tag in fields.tags], what="tags") if fields.tags else None,
        metadata=encode(dict(fields.metadata), what="metadata") if fields.metadata else None,
    )
