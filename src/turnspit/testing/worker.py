"""A worker for tests: it runs the jobs that it is told to run, one at a time or as one batch, and does nothing else.

It consists of the real worker's parts: the same claim, executor, runners, middleware, finisher and events. It has no
claim loop, no heartbeat and no maintenance, so that what happens depends on the test alone.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType

from turnspit._runtime.maintenance.rescuer import Rescuer
from turnspit._runtime.worker.exchanges import exchange
from turnspit._runtime.worker.executor import Executor
from turnspit._runtime.worker.finisher import Ended, Finisher, Portion
from turnspit._runtime.worker.lifespans import open_lifespans
from turnspit._runtime.worker.runners import Runners
from turnspit._runtime.worker.settings import WorkerParts
from turnspit.context import JobContext
from turnspit.contract import Engine
from turnspit.errors import WorkerDied
from turnspit.records import Claim, ClaimRequest, JobRecord, NewWorker

__all__ = ["TestWorker"]

_LEASE = 86_400_000_000
"""Nobody renews it: a day is longer than any test."""
_LOOK = 0.02
"""How often a job that is running is looked at, in seconds: was its cancellation requested?"""
_CANCEL_TIME = 5.0


class TestWorker:
    """Used as an async context manager; lifespans are open inside it.

    :param lease: microseconds.
    :param registers_by: the engine that registers it, if another clock is to say when.
    """

    __test__ = False

    def __init__(self, parts: WorkerParts, lease: int = _LEASE, registers_by: Engine | None = None) -> None:
        self._parts = parts
        self._engine = parts.engine
        self._registers_by = registers_by or parts.engine
        self._lease = lease
        self._id = 0
        self._due = asyncio.Event()
        self._stack = AsyncExitStack()
        self._runners = Runners(1, parts.middleware, parts.thread_middleware)
        self._finisher = Finisher(parts, is_idle=lambda: self._executor.is_idle, signal=self._due.set)
        self._executor = Executor(parts, self._runners, self._finisher, 1, lambda: None)

    async def __aenter__(self) -> "TestWorker":
        try:
            self._executor.resources = await open_lifespans(self._parts, self._stack)
            self._id = await self._engine.awrite(self._registers_by.register_worker, self._description())
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    def _description(self) -> NewWorker:
        return NewWorker(
            host=socket.gethostname(),
            pid=os.getpid(),
            version=self._parts.version,
            queues=None,
            tasks=self._parts.tasks.names,
            concurrency=1,
            lease=self._lease,
        )

    async def run(self, jobs: Sequence[int]) -> list[Ended]:
        """Claim these jobs, run one attempt of each, and store how they ended; jobs that are not ready are left out.

        :param jobs: one, or several of one batch task, which are run by one call.
        """
        claims: list[Claim] = []
        for job in jobs:
            request = ClaimRequest(self._id, 1, self._parts.tasks.names, job=job)
            claims += (await self._engine.awrite(exchange, self._engine, Portion(), request))[1]
        ended: list[Ended] = []
        self._runners.gathering.expect(len(claims))
        self._executor.add(claims)
        while len(ended) < len(claims):
            if not await self._becomes_due():
                await self._stop_if_cancelled()
            if self._finisher.is_due:
                ended += await self._store()
                self._runners.gathering.expect(len(claims) - len(ended))
        return sorted(ended, key=lambda each: jobs.index(each.claim.id))

    async def _becomes_due(self) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK):
                await self._due.wait()
        was_due = self._due.is_set()
        self._due.clear()
        return was_due

    async def _store(self) -> list[Ended]:
        portion = self._finisher.take()
        report, _ = await self._engine.awrite(exchange, self._engine, portion, None)
        await self._finisher.stored(portion, report)
        self._executor.fill()
        return portion.ended

    async def _stop_if_cancelled(self) -> None:
        for job in await self._engine.aread(self._engine.find_cancelled, self._id):
            if job in self._executor.running:
                self._executor.running[job].stop("cancelled")

    async def rescue(self) -> None:
        """Rescue the jobs of workers whose lease has expired, if this one has held its own for as long as theirs."""
        await self._engine.awrite(self._engine.renew_lease, self._id, 1)
        rescuer = Rescuer(
            self._engine,
            worker=lambda: self._id,
            may_rescue=lambda: True,
            interval=0,
            max_crashes=self._parts.max_crashes,
            bus=self._parts.bus,
            on_dead=self._tell_crashed,
        )
        await rescuer.run_once()

    async def _tell_crashed(self, record: JobRecord) -> None:
        context = JobContext.of_record(record, self._finisher, self._executor.resources)
        await self._finisher.teller.call_on_dead(context, WorkerDied(record.reason or "its worker died"))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._hand_back()
            await self._engine.awrite(self._engine.retire_worker, self._id)
        finally:
            self._executor.close()
            self._runners.close()
            await self._stack.aclose()

    async def _hand_back(self) -> None:
        """Stop and return what still runs, which happens only when the test itself was interrupted."""
        left = list(self._executor.running.values())
        for running in left:
            running.stop("shutdown")
        tasks = [running.task for running in left if running.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCEL_TIME)
            claims = [(running.claim.id, running.claim.fence) for running in left]
            await self._engine.awrite(self._engine.return_jobs, claims)
