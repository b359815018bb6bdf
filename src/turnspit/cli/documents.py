"""Records as JSON documents. The names of their fields are stable: scripts depend on them.

Times are ISO 8601 in UTC, durations are seconds.
"""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from turnspit.clock import from_moment
from turnspit.codec import stored_value
from turnspit.operations import LimitInfo, Schedule, Workflow, WorkflowJob
from turnspit.records import (
    AttemptRecord,
    DeadGroupRecord,
    FullKey,
    JobRecord,
    LogLine,
    PauseRecord,
    QueueLoad,
    QueueRecord,
    WorkerRecord,
)

__all__ = [
    "attempt_document",
    "full_key_document",
    "group_document",
    "job_details",
    "job_document",
    "limit_document",
    "log_document",
    "pause_document",
    "queue_document",
    "schedule_document",
    "worker_document",
    "workflow_document",
]


def job_document(record: JobRecord) -> dict[str, Any]:
    """A job as ``jobs list`` and ``enqueue`` give it."""
    return {
        "id": record.id,
        "task": record.task,
        "queue": record.queue,
        "state": str(record.state),
        "priority": record.priority,
        "args": stored_value(record.args),
        "attempt": record.attempt,
        "crashes": record.crashes,
        "created_at": _time(record.created_at),
        "run_at": _time(record.run_at),
        "expires_at": _time(record.expires_at),
        "started_at": _time(record.started_at),
        "finished_at": _time(record.finished_at),
        "worker": record.worker,
        "timeout": None if record.timeout is None else record.timeout / 1_000_000,
        "tags": stored_value(record.tags or "[]"),
        "metadata": stored_value(record.metadata or "{}"),
        "progress": record.progress,
        "progress_message": record.progress_message,
        "cancel_requested": record.cancel_requested_at is not None,
        "reason": record.reason,
        "error_type": record.error_type,
        "fingerprint": record.fingerprint,
        "workflow": record.workflow,
    }


def job_details(record: JobRecord, logs: list[LogLine]) -> dict[str, Any]:
    """A job as ``jobs show`` gives it: also its result, its attempts and its log lines."""
    return job_document(record) | {
        "has_result": record.result is not None,
        "result": None if record.result is None else stored_value(record.result),
        "attempts": [attempt_document(attempt) for attempt in record.attempts],
        "logs": [log_document(line) for line in logs],
    }


def attempt_document(attempt: AttemptRecord) -> dict[str, Any]:
    """One attempt."""
    return {
        "number": attempt.number,
        "outcome": attempt.outcome,
        "started_at": _time(attempt.started_at),
        "finished_at": _time(attempt.finished_at),
        "worker": attempt.worker,
        "error_type": attempt.error_type,
        "error_message": attempt.error_message,
        "traceback": attempt.traceback,
    }


def log_document(line: LogLine) -> dict[str, Any]:
    """One line that a job logged."""
    return {"attempt": line.attempt, "at": _time(line.at), "level": line.level, "message": line.message}


def group_document(group: DeadGroupRecord) -> dict[str, Any]:
    """A group of dead letters."""
    return {
        "fingerprint": group.fingerprint,
        "task": group.task,
        "error_type": group.error_type,
        "message": group.message,
        "count": group.count,
        "newest_id": group.newest_id,
        "first_at": _time(group.first_at),
        "last_at": _time(group.last_at),
    }


def queue_document(stats: QueueRecord, load: QueueLoad | None) -> dict[str, Any]:
    """A queue, and what an autoscaler goes by."""
    return {
        "queue": stats.queue,
        "ready": stats.ready,
        "scheduled": stats.scheduled,
        "retrying": stats.retrying,
        "held": stats.held,
        "running": stats.running,
        "dead": stats.dead,
        "completed_last_hour": stats.completed_last_hour,
        "failed_last_hour": stats.failed_last_hour,
        "oldest_ready_at": _time(stats.oldest_ready_at),
        "oldest_seconds": 0.0 if load is None else round(load.oldest, 3),
        "latency_seconds": 0.0 if load is None else round(load.latency, 3),
        "throughput_per_second": 0.0 if load is None else round(load.throughput, 3),
        "slots": 0 if load is None else load.slots,
    }


def pause_document(pause: PauseRecord) -> dict[str, Any]:
    """A pause as ``queues list`` gives it."""
    return {"kind": pause.kind, "name": pause.name, "paused_at": _time(pause.paused_at)}


def schedule_document(schedule: Schedule) -> dict[str, Any]:
    """A schedule as ``schedules list`` gives it."""
    return {
        "app": schedule.app,
        "name": schedule.name,
        "task": schedule.task,
        "rule": schedule.rule,
        "arguments": schedule.arguments,
        "missed": schedule.missed,
        "overlap": schedule.overlap,
        "is_declared": schedule.is_declared,
        "is_paused": schedule.is_paused,
        "next_tick": _time(schedule.next_tick),
        "last_tick": _time(schedule.last_tick),
        "last_job": schedule.last_job,
        "waiting": schedule.waiting,
    }


def workflow_document(workflow: Workflow, *, with_jobs: bool = False) -> dict[str, Any]:
    """A workflow as ``workflows list`` gives it, and with its jobs as ``workflows show`` does."""
    document: dict[str, Any] = {
        "id": workflow.id,
        "name": workflow.name,
        "state": workflow.state,
        "progress": workflow.progress,
        "total": workflow.total,
        "unfinished": workflow.unfinished,
        "completed": workflow.completed,
        "cancelled": workflow.cancelled,
        "dead": workflow.dead,
        "created_at": _time(workflow.created_at),
        "deadline": _time(workflow.deadline),
        "finished_at": _time(workflow.finished_at),
        "reason": workflow.reason,
        "idempotency_key": workflow.idempotency_key,
    }
    if with_jobs:
        document["jobs"] = [_workflow_job(job) for job in workflow.jobs]
        document["edges"] = [list(edge) for edge in workflow.edges]
    return document


def _workflow_job(job: WorkflowJob) -> dict[str, Any]:
    times = {"started_at": _time(job.started_at), "finished_at": _time(job.finished_at)}
    return asdict(job) | times


def limit_document(limit: LimitInfo) -> dict[str, Any]:
    """A limit as ``limits list`` gives it."""
    return limit._asdict()


def full_key_document(full: FullKey) -> dict[str, Any]:
    """A full key of a limit as ``limits list`` gives it."""
    return full._asdict() | {"opens_at": _time(full.opens_at)}


def worker_document(record: WorkerRecord, jobs: Iterable[JobRecord], now: int) -> dict[str, Any]:
    """A worker as ``workers list`` gives it, with the jobs that it runs at this moment."""
    return {
        "id": record.id,
        "host": record.host,
        "pid": record.pid,
        "version": record.version,
        "state": record.state_at(now),
        "asked_to": record.asked_to,
        "blocked_since": _time(record.blocked_since),
        "blocked_by": record.blocked_by,
        "queues": record.queues,
        "tasks": record.tasks,
        "concurrency": record.concurrency,
        "running": record.running,
        "memory_bytes": record.memory,
        "heartbeat_seconds": max(0, now - record.renewed_at) / 1_000_000,
        "started_at": _time(record.started_at),
        "renewed_at": _time(record.renewed_at),
        "stopped_at": _time(record.stopped_at),
        "jobs": [
            {
                "id": job.id,
                "task": job.task,
                "queue": job.queue,
                "attempt": job.attempt,
                "started_at": _time(job.started_at),
            }
            for job in jobs
        ],
    }


def _time(moment: int | datetime | None) -> str | None:
    moment = from_moment(moment) if isinstance(moment, int) else moment
    return None if moment is None else moment.isoformat()
