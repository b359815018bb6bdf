"""Every operation of the API, in one table: the routes and the OpenAPI document are made from it."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request

from turnspit.errors import EngineError, JobNotFound
from turnspit.limits import Concurrency, Rate
from turnspit.loads import estimate_latency
from turnspit.web.api import requests
from turnspit.web.bulk import BulkChange
from turnspit.web.changes import NewJobFields
from turnspit.web.models import (
    Count,
    DeadGroups,
    FullKeyDocument,
    JobDetails,
    JobsPage,
    LimitDocument,
    Metrics,
    Overview,
    PauseDocument,
    QueueDocument,
    ScheduleDocument,
    WorkerDocument,
    WrittenJobsPage,
)
from turnspit.web.models.answers import BulkDocument, Done, Enqueued, QueueScale, ScheduledJob, TaskDocument
from turnspit.web.models.workflows import WorkflowDetails, WorkflowsPage
from turnspit.web.screens.jobs import refuse_hidden
from turnspit.web.searching import write_search
from turnspit.web.site import Site

__all__ = ["OPERATIONS", "Call", "Operation"]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, with what was sent checked."""

    site: Site
    request: Request
    id: int
    """The id in the path, if the path has one."""
    query: Any
    body: Any


@dataclass(frozen=True, slots=True)
class Operation:
    """What can be asked for."""

    method: str
    path: str
    name: str
    summary: str
    answer: Any
    handle: Callable[[Call], Awaitable[Any]]
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    status: int = 200
    refusals: tuple[int, ...] = ()
    """Error statuses that it may answer with, beside those of every operation."""


OPERATIONS: list[Operation] = []


def _operation(
    method: str,
    path: str,
    summary: str,
    answer: Any,
    *,
    query: type[BaseModel] | None = None,
    body: type[BaseModel] | None = None,
    status: int = 200,
    refusals: tuple[int, ...] = (),
) -> Callable[[Callable[[Call], Awaitable[Any]]], Callable[[Call], Awaitable[Any]]]:
    def add(handle: Callable[[Call], Awaitable[Any]]) -> Callable[[Call], Awaitable[Any]]:
        name = handle.__name__
        OPERATIONS.append(Operation(method, path, name, summary, answer, handle, query, body, status, refusals))
        return handle

    return add


async def _shown(call: Call, job_id: int, done: str) -> JobDetails:
    """The job after a change. If the store is away by now, the error must not tell that nothing was carried out."""
    try:
        return await call.site.jobs.details(job_id)
    except (EngineError, JobNotFound) as error:
        raise type(error)(f"job {job_id} {done}, but cannot be shown: {error}") from error


@_operation("GET", "/overview", "All that matters: what needs attention, and each queue", Overview)
async def get_overview(call: Call) -> Overview:
    return await call.site.store.overview()


@_operation("GET", "/jobs", "The newest jobs that match", JobsPage, query=requests.JobsQuery)
async def list_jobs(call: Call) -> WrittenJobsPage:
    filter_ = call.query.filter()
    refuse_hidden(call.site, filter_)
    return await call.site.jobs.search_whole(filter_, call.query.limit, call.query.before)


@_operation("GET", "/jobs/count", "How many jobs match, up to ten thousand", Count, query=requests.CountQuery)
async def count_jobs(call: Call) -> Count:
    filter_ = call.query.filter()
    refuse_hidden(call.site, filter_)
    return await call.site.jobs.count(filter_)


@_operation("POST", "/jobs", "Store a job", Enqueued, body=requests.EnqueueRequest, status=201, refusals=(409, 429))
async def enqueue_job(call: Call) -> Enqueued:
    job = await call.site.changes.enqueue(call.request, NewJobFields(**call.body.model_dump()))
    done = "was stored" if job.created else "was stored before"
    return Enqueued(created=job.created, job=await _shown(call, job.id, done))


@_operation("GET", "/jobs/{id}", "One job in full", JobDetails, refusals=(404,))
async def get_job(call: Call) -> JobDetails:
    return await call.site.jobs.details(call.id)


@_operation("PATCH", "/jobs/{id}", "Change a waiting job", JobDetails, body=requests.UpdateRequest, refusals=(404, 409))
async def update_job(call: Call) -> JobDetails:
    await call.site.changes.update(call.request, call.id, **call.body.model_dump())
    return await _shown(call, call.id, "was changed")


@_operation("DELETE", "/jobs/{id}", "Remove a job that does not run, for good", Done, refusals=(404, 409))
async def delete_job(call: Call) -> Done:
    await call.site.changes.delete(call.request, call.id)
    return Done()


@_operation("POST", "/jobs/{id}/replay", "Make a final job live again", JobDetails, refusals=(404, 409))
async def replay_job(call: Call) -> JobDetails:
    await call.site.changes.replay(call.request, call.id)
    return await _shown(call, call.id, "lives again")


@_operation(
    "POST",
    "/jobs/{id}/cancel",
    "Cancel a waiting job, or ask a running one to end",
    JobDetails,
    body=requests.CancelRequest,
    refusals=(404, 409),
)
async def cancel_job(call: Call) -> JobDetails:
    await call.site.changes.cancel(call.request, call.id, call.body.reason)
    return await _shown(call, call.id, "was cancelled, or asked to end")


@_operation("POST", "/jobs/{id}/run", "Make a waiting job ready, whatever its time", JobDetails, refusals=(404, 409))
async def run_job(call: Call) -> JobDetails:
    await call.site.changes.run_now(call.request, call.id)
    return await _shown(call, call.id, "was made ready")


@_operation("GET", "/dead", "Dead letters by what went wrong, the newest first", DeadGroups)
async def list_dead_groups(call: Call) -> DeadGroups:
    return await call.site.store.dead_groups()


@_operation("GET", "/bulk", "Changes to many jobs that run or ended lately", list[BulkDocument])
async def list_bulk_changes(call: Call) -> list[BulkDocument]:
    return [_bulk(change) for change in call.site.bulk.changes]


@_operation(
    "POST",
    "/bulk",
    "Change all jobs that match, in the background",
    BulkDocument,
    body=requests.BulkRequest,
    status=202,
)
async def start_bulk_change(call: Call) -> BulkDocument:
    filter_ = call.body.filter()
    refuse_hidden(call.site, filter_)
    said = {"state": call.body.state, "idempotency_key": call.body.idempotency_key}
    search = write_search(asdict(filter_) | {"is_retrying": None, "unique_key": None} | said)
    change = await call.site.bulk.start(call.request, call.body.verb, filter_, search, call.body.rate)
    return _bulk(change)


@_operation(
    "POST",
    "/bulk/{id}/stop",
    "Stop such a change; what was changed so far stays changed",
    BulkDocument,
    refusals=(404,),
)
async def stop_bulk_change(call: Call) -> BulkDocument:
    return _bulk(await call.site.bulk.stop(call.request, call.id))


@_operation("GET", "/queues", "Every queue", list[QueueDocument])
async def list_queues(call: Call) -> list[QueueDocument]:
    return await call.site.store.queues()


@_operation("GET", "/scale", "What an autoscaler goes by, for each queue", list[QueueScale])
async def get_scale(call: Call) -> list[QueueScale]:
    return [
        QueueScale(
            queue=queue.name,
            ready=queue.ready,
            running=queue.running,
            oldest_seconds=queue.oldest_seconds or 0.0,
            latency_seconds=estimate_latency(
                queue.ready.count, queue.completed_per_minute / 60, queue.oldest_seconds or 0.0
            ),
            workers=queue.workers,
            completed_per_minute=queue.completed_per_minute,
        )
        for queue in await call.site.store.queues()
    ]


@_operation("GET", "/pauses", "What is paused", list[PauseDocument])
async def list_pauses(call: Call) -> list[PauseDocument]:
    return await call.site.store.pauses()


@_operation(
    "POST", "/pauses", "Pause a queue, a task or a tag: none of its jobs starts", Done, body=requests.PauseRequest
)
async def pause(call: Call) -> Done:
    await call.site.changes.pause(call.request, call.body.kind, call.body.name)
    return Done()


@_operation("POST", "/pauses/resume", "End a pause", Done, body=requests.PauseRequest)
async def resume(call: Call) -> Done:
    await call.site.changes.resume(call.request, call.body.kind, call.body.name)
    return Done()


@_operation("GET", "/limits", "Every limit", list[LimitDocument])
async def list_limits(call: Call) -> list[LimitDocument]:
    return await call.site.limits.all()


@_operation("GET", "/limits/full", "Keys of limits that let none through now", list[FullKeyDocument])
async def list_full_keys(call: Call) -> list[FullKeyDocument]:
    return await call.site.limits.full_keys()


@_operation("POST", "/limits", "Change a limit for the whole fleet", Done, body=requests.LimitRequest)
async def set_limit(call: Call) -> Done:
    body = call.body
    limit = Concurrency(body.allowed) if body.per is None else Rate(body.allowed, per=body.per, burst=body.burst)
    await call.site.changes.set_limit(call.request, body.name, limit)
    return Done()


@_operation("POST", "/limits/reset", "Reset a limit to what the app declares", Done, body=requests.NameRequest)
async def reset_limit(call: Call) -> Done:
    await call.site.changes.reset_limit(call.request, call.body.name)
    return Done()


@_operation("GET", "/schedules", "Every schedule of every app on this store", list[ScheduleDocument])
async def list_schedules(call: Call) -> list[ScheduleDocument]:
    return await call.site.store.schedules()


@_operation(
    "POST", "/schedules/pause", "Pause a schedule: no tick comes", Done, body=requests.NameRequest, refusals=(404,)
)
async def pause_schedule(call: Call) -> Done:
    await call.site.changes.pause_schedule(call.request, call.body.name)
    return Done()


@_operation("POST", "/schedules/resume", "Resume a schedule's ticks", Done, body=requests.NameRequest, refusals=(404,))
async def resume_schedule(call: Call) -> Done:
    await call.site.changes.resume_schedule(call.request, call.body.name)
    return Done()


@_operation(
    "POST", "/schedules/run", "Enqueue a schedule's job now", ScheduledJob, body=requests.NameRequest, refusals=(404,)
)
async def run_schedule(call: Call) -> ScheduledJob:
    return ScheduledJob(job=await call.site.changes.run_schedule(call.request, call.body.name))


@_operation("GET", "/workflows", "The newest workflows", WorkflowsPage, query=requests.WorkflowsQuery)
async def list_workflows(call: Call) -> WorkflowsPage:
    query = call.query
    after = None if query.before is None else str(query.before)
    return await call.site.workflows.list(name=query.name, finished=query.finished, limit=query.limit, after=after)


@_operation(
    "GET",
    "/workflows/{id}",
    "One workflow with its jobs, a page at a time",
    WorkflowDetails,
    query=requests.WorkflowQuery,
    refusals=(404,),
)
async def get_workflow(call: Call) -> WorkflowDetails:
    return await call.site.workflows.get(call.id, call.query.after)


@_operation(
    "POST",
    "/workflows/{id}/cancel",
    "Cancel a workflow's waiting jobs, and ask running ones to end",
    WorkflowDetails,
    body=requests.CancelRequest,
    refusals=(404, 409),
)
async def cancel_workflow(call: Call) -> WorkflowDetails:
    await call.site.changes.cancel_workflow(call.request, call.id, call.body.reason)
    return await call.site.workflows.get(call.id)


@_operation(
    "POST",
    "/workflows/{id}/replay",
    "Make a workflow's dead and cancelled jobs live again, or all its jobs",
    WorkflowDetails,
    body=requests.ReplayRequest,
    refusals=(404, 409),
)
async def replay_workflow(call: Call) -> WorkflowDetails:
    await call.site.changes.replay_workflow(call.request, call.id, whole=call.body.whole)
    return await call.site.workflows.get(call.id)


@_operation("GET", "/workers", "Live workers, and those that ended within the last hour", list[WorkerDocument])
async def list_workers(call: Call) -> list[WorkerDocument]:
    return await call.site.store.workers()


@_operation(
    "POST", "/workers/{id}/quiet", "Let a worker take no more jobs, and end with its last one", Done, refusals=(404,)
)
async def quiet_worker(call: Call) -> Done:
    await call.site.changes.quiet_worker(call.request, call.id)
    return Done()


@_operation("POST", "/workers/{id}/stop", "Stop a worker, within its grace time", Done, refusals=(404,))
async def stop_worker(call: Call) -> Done:
    await call.site.changes.stop_worker(call.request, call.id)
    return Done()


@_operation("GET", "/metrics", "Throughput, latency and errors", Metrics, query=requests.MetricsQuery)
async def get_metrics(call: Call) -> Metrics:
    return await call.site.store.metrics(int(call.query.minutes), call.query.queue)


@_operation("GET", "/tasks", "The tasks that the app declares, with the schemas of their arguments", list[TaskDocument])
async def list_tasks(call: Call) -> list[TaskDocument]:
    return call.site.tasks()


def _bulk(change: BulkChange) -> BulkDocument:
    return BulkDocument(
        id=change.id,
        verb=change.verb,
        search=change.search,
        state=change.state,
        changed=change.changed,
        expected=change.expected,
        rate=change.rate,
        who=change.who,
        started_at=change.started_at,
        error=change.error,
    )
