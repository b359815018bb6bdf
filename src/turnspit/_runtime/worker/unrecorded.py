"""One run of a stored job in this process, with nothing written to the store: for ``turnspit run``.

The job goes through the executor that a worker uses, with the app's lifespans and middleware and the time-out, so
that it ends as it would end there. Only what the store would learn is kept here instead. What the function itself
does, it really does. The app's event handlers and ``on_dead`` are not called: to them, nothing happened.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from turnspit._runtime.worker.executor import Executor
from turnspit._runtime.worker.finisher import Ended
from turnspit._runtime.worker.lifespans import open_lifespans
from turnspit._runtime.worker.runners import Runners
from turnspit._runtime.worker.settings import WorkerParts
from turnspit.context import JobContext
from turnspit.errors import FinishNotCommitted
from turnspit.events import EventBus
from turnspit.hooks import CallNext
from turnspit.records import Claim, Completion, Confirmation, JobRecord
from turnspit.reporting import Reporter

__all__ = ["UnrecordedRun", "run_unrecorded"]

_STOP_TIME = 5.0
_NO_TIMEOUT = 100 * 365 * 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class UnrecordedRun:
    """How a run ended: what a worker would have stored, and what the function returned."""

    ended: Ended
    value: Any = None


class _Ends:
    """Takes the place of a worker's finisher."""

    is_storing = False

    def __init__(self, reporter: Reporter) -> None:
        self.first: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self.report_progress = reporter.report_progress
        self.report_cursor = reporter.report_cursor
        self.report_log = reporter.report_log
        self.finish_in = reporter.finish_in
        self.afinish_in = reporter.afinish_in
        self.extend_workflow = reporter.extend_workflow

    def add(self, ended: Ended) -> None:
        if not self.first.done():
            self.first.set_result(_as_if_committed(ended))


def _as_if_committed(ended: Ended) -> Ended:
    """A worker asks the store whether ``job.finish(tx)`` committed. Nothing was written here: a task that called it and
    returned counts as completed.
    """
    if not isinstance(ended.finish, Confirmation):
        return ended
    if isinstance(ended.error, FinishNotCommitted):
        return ended._replace(finish=Completion(ended.claim.id, ended.claim.fence), error=None)
    return ended._replace(finish=ended.finish.otherwise)


async def run_unrecorded(
    parts: WorkerParts, record: JobRecord, reporter: Reporter, *, limit_time: bool = True
) -> UnrecordedRun:
    """Run a job's stored arguments once and write nothing.

    :param reporter: gets the progress and the log lines that the job reports, in whatever thread it does.
    :param limit_time: ``False`` lifts the time-out, for a debugger.
    """
    returned: list[Any] = []

    async def keep_value(context: JobContext, call_next: CallNext) -> Any:
        value = await call_next(context)
        returned.append(value)
        return value

    middleware = (keep_value, *parts.middleware)
    runners = Runners(1, middleware, parts.thread_middleware)
    ends = _Ends(reporter)
    async with AsyncExitStack() as stack:
        stack.callback(runners.close)
        resources = await open_lifespans(parts, stack)
        executor = Executor(replace(parts, bus=EventBus()), runners, ends, 1, lambda: None)
        stack.callback(executor.close)
        executor.resources = resources
        executor.add([_claim(record, limit_time=limit_time)])
        try:
            ended = await ends.first
        except asyncio.CancelledError:
            await _stop(executor)
            raise
    return UnrecordedRun(ended, returned[0] if returned else None)


async def _stop(executor: Executor) -> None:
    """Stop the job before the lifespans close; a thread is told, and not waited for."""
    left = list(executor.running.values())
    for running in left:
        running.stop("cancelled")
    tasks = [running.task for running in left if running.is_async and running.task is not None]
    if tasks:
        await asyncio.wait(tasks, timeout=_STOP_TIME)


def _claim(record: JobRecord, *, limit_time: bool) -> Claim:
    """The claim that the job's newest attempt had, or its first will have; with a fence that no claim has."""
    return Claim(
        id=record.id,
        fence=0,
        task=record.task,
        queue=record.queue,
        args=record.args,
        attempt=max(1, record.attempt),
        crashes=0,
        priority=record.priority,
        created_at=record.created_at,
        run_at=record.run_at,
        started_at=record.started_at or record.run_at,
        retry=record.retry,
        timeout=record.timeout if limit_time else _NO_TIMEOUT,
        tags=record.tags,
        metadata=record.metadata,
    )
