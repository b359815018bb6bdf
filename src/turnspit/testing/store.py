"""A private store: jobs run and time passes only when the test says so."""

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from contextvars import copy_context
from copy import copy
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar, overload

from turnspit._runtime.maintenance.scheduler import synchronise_schedules
from turnspit.app import Turnspit
from turnspit.batches import BatchTask
from turnspit.clock import Duration, to_duration, to_moment
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb
from turnspit.errors import ConfigurationError, MoveNotAllowed, TurnspitError
from turnspit.job_waiting import is_in_loop
from turnspit.jobs import Job
from turnspit.operations import Jobs
from turnspit.records import PruneRequest
from turnspit.states import JobState
from turnspit.tasks import Task
from turnspit.testing.assertions import Assertions
from turnspit.testing.clock import TestClock
from turnspit.testing.matching import find_task
from turnspit.testing.ran import RanJob
from turnspit.testing.worker import TestWorker

__all__ = ["TestStore"]

R = TypeVar("R")
T = TypeVar("T")

_PORTION = 5000
_MOST = 10_000
_LONG = 10 * 365 * 86_400_000_000
"""Microseconds: no lease is longer."""


class TestStore(Assertions):
    """What ``with turnspit.testing.override(app) as t`` gives: the app's store for one test.

    The verbs that run jobs (``drain``, ``run_one``) and those that look at them have async twins with an ``a`` in
    front, as everywhere.

    :param resources: what tasks find in ``job.resources`` instead of what the app's lifespan provides.
    """

    __test__ = False

    def __init__(
        self, app: Turnspit, engine: Engine, clock: TestClock, resources: Mapping[str, Any] | None = None
    ) -> None:
        self._app = app
        self._engine = engine
        self.clock = clock
        """The clock of this store; it stands still until it is moved."""
        self.resources = resources

    @property
    def app(self) -> Turnspit:
        """The app.

        :raises TurnspitError: if it does not use this store any more.
        """
        replacement = self._app.store.replacement
        if replacement is None or replacement.engine is not self._engine:
            raise TurnspitError(
                "this private store is not in use: its override has ended, or another override of the same app is "
                "inside it; use the innermost one"
            )
        return self._app

    @property
    def resources(self) -> Mapping[str, Any] | None:
        """What tasks find in ``job.resources``, in every worker of the app; ``None``: what its lifespan provides."""
        return self._resources

    @resources.setter
    def resources(self, resources: Mapping[str, Any] | None) -> None:
        async def provide(_app: object) -> AsyncIterator[Mapping[str, Any] | None]:
            yield resources

        self._resources = resources
        self.app.replace_lifespans(None if resources is None else (provide,))

    @property
    def jobs(self) -> Jobs:
        """``app.jobs``."""
        return self.app.jobs

    @property
    def tasks(self) -> Mapping[str, Task[Any, Any]]:
        """``app.tasks``."""
        return self.app.tasks

    @property
    def now(self) -> datetime:
        """The time by this store's clock, in UTC."""
        return self.clock.time

    def drain(
        self, *, queues: Iterable[str] | None = None, recursive: bool = False, reraise: bool = False
    ) -> list[RanJob[Any]]:
        """Run every job that is ready or due now, each for one attempt, and return them in the order they ran.

        They run one after another, larger priorities first, then older jobs; a call of a batch task runs as many of its
        jobs as it takes. What becomes ready meanwhile (a job that a job enqueues, a retry without a delay) waits for
        the next ``drain``, unless ``recursive``. Rates and other limits do not hold jobs back here.

        :param queues: only jobs of these queues.
        :param recursive: go on until nothing is ready; jobs that are scheduled for later stay so.
        :param reraise: raise the exception of the first job that fails, which ends the drain; by default none is
            raised and each job returned has its ``error``.

        ::

            assert [job.state for job in t.drain()] == ["completed", "scheduled"]
        """
        return _run(lambda: self.adrain(queues=queues, recursive=recursive, reraise=reraise))

    async def adrain(
        self, *, queues: Iterable[str] | None = None, recursive: bool = False, reraise: bool = False
    ) -> list[RanJob[Any]]:
        """``drain`` for async code: async jobs run on the caller's event loop."""
        if isinstance(queues, str):
            raise ConfigurationError(f"queues is a list of names, not {queues!r}")
        served = None if queues is None else frozenset(queues)
        ran: list[RanJob[Any]] = []
        async with TestWorker(self.app.worker_parts()) as worker:
            while ready := await self._ready_jobs(served):
                before = len(ran)
                for jobs in self._calls(ready):
                    if recursive and len(ran) >= _MOST:
                        raise TurnspitError(
                            f"drain(recursive=True) ran {_MOST:,} jobs and more are ready: "
                            f"does {jobs[0].task} enqueue itself?"
                        )
                    ran += await self._run_attempts(worker, jobs, reraise=reraise)
                if not recursive or len(ran) == before:
                    break
        return ran

    @overload
    def run_one(self, job: Job[R], *, reraise: bool = False) -> RanJob[R]: ...
    @overload
    def run_one(self, job: int, *, reraise: bool = False) -> RanJob[Any]: ...
    def run_one(self, job: Job[Any] | int, *, reraise: bool = False) -> RanJob[Any]:
        """Run one attempt of this job, a ``Job`` or its id, and return the job as it stands afterwards.

        :param reraise: raise what the task raised, except ``Snooze`` and ``Cancel``; by default nothing is raised
            and the job returned has it as ``error``.
        :raises MoveNotAllowed: if the job is not ready, saying what to do.
        :raises JobNotFound: if there is no such job.

        ::

            ran = t.run_one(job)
            assert isinstance(ran.error, SMTPServerDisconnected)
            assert ran.is_retrying
        """
        return _run(lambda: self.arun_one(job, reraise=reraise))

    @overload
    async def arun_one(self, job: Job[R], *, reraise: bool = False) -> RanJob[R]: ...
    @overload
    async def arun_one(self, job: int, *, reraise: bool = False) -> RanJob[Any]: ...
    async def arun_one(self, job: Job[Any] | int, *, reraise: bool = False) -> RanJob[Any]:
        """``run_one`` for async code: an async job runs on the caller's event loop."""
        job_id = job.id if isinstance(job, Job) else job
        async with TestWorker(self.app.worker_parts()) as worker:
            await self._engine.awrite(self._promote)
            found = await self.jobs.aget(job_id)
            find_task(self.tasks, found.task)
            ran = await self._run_attempts(worker, [found], reraise=reraise)
            if not ran:
                raise MoveNotAllowed(self._why_not_ready(await self.jobs.aget(job_id)))
            return ran[0]

    def advance(self, by: Duration) -> int:
        """Move the clock forward by seconds or a ``timedelta`` and make ready what became due; how many jobs.

        It stops at each moment at which something is due, so that each tick of a schedule becomes a job at its time.

        Nothing runs: that is what ``drain`` is for.
        """
        return self.advance_to(self.now + timedelta(microseconds=to_duration(by, "advance(by)")))

    async def aadvance(self, by: Duration) -> int:
        """``advance`` for async code."""
        return await self.aadvance_to(self.now + timedelta(microseconds=to_duration(by, "advance(by)")))

    def advance_to(self, moment: datetime) -> int:
        """Move the clock to a moment, an aware datetime that is not in its past; see ``advance``."""
        to_moment(moment, "moment")
        total, due = self.app.engine.write(self._promote)
        while (tick := self._after(due)) is not None and tick <= moment:
            self._move_to(tick)
            promoted, due = self._engine.write(self._promote)
            total += promoted
        self._move_to(moment)
        return total + self._engine.write(self._promote)[0]

    async def aadvance_to(self, moment: datetime) -> int:
        """``advance_to`` for async code."""
        to_moment(moment, "moment")
        total, due = await self.app.engine.awrite(self._promote)
        while (tick := self._after(due)) is not None and tick <= moment:
            self._move_to(tick)
            promoted, due = await self._engine.awrite(self._promote)
            total += promoted
        self._move_to(moment)
        return total + (await self._engine.awrite(self._promote))[0]

    def next_due(self) -> datetime | None:
        """When the next scheduled job is due; ``None`` if none is scheduled.

        ::

            while (due := t.next_due()) is not None:
                t.advance_to(due)
                t.drain()
        """
        return self._after(self.app.engine.write(self._promote)[1])

    async def anext_due(self) -> datetime | None:
        """``next_due`` for async code."""
        return self._after((await self.app.engine.awrite(self._promote))[1])

    def maintain(self) -> None:
        """Do once what workers do beside running jobs: promote what is due, return the jobs of workers whose lease
        ran out, and prune what was kept long enough.
        """
        _run(self.amaintain)

    async def amaintain(self) -> None:
        """``maintain`` for async code."""
        parts, engine = self.app.worker_parts(), self._engine
        async with AsyncExitStack() as stack:
            # A worker may only declare others dead once it has held its own lease for as long as theirs lasted: this
            # one registers far in the past.
            worker = TestWorker(parts, _LONG + 1, registers_by=self._long_ago())
            await (await stack.enter_async_context(worker)).rescue()
        await engine.awrite(self._promote)
        request = PruneRequest(parts.history_retention, parts.dead_retention)
        while await engine.awrite(engine.prune_jobs, request) >= request.limit:
            continue

    async def _ready_jobs(self, queues: frozenset[str] | None) -> list[Job[Any]]:
        """What is ready or due, or waits for a limit, of tasks that the app knows, in the order in which it runs."""
        await self._engine.awrite(self._promote)
        ready = [*await self.aenqueued(state=JobState.READY), *await self.aenqueued(state=JobState.HELD)]
        chosen = [job for job in ready if job.task in self.tasks and (queues is None or job.queue in queues)]
        return sorted(chosen, key=lambda job: (-job.priority, job.id))

    def _calls(self, ready: list[Job[Any]]) -> Iterator[list[Job[Any]]]:
        """The jobs that are run together: each alone, except those of a batch task."""
        left = {job.id: job for job in ready}
        for job in ready:
            if job.id not in left:
                continue
            task, jobs = self.tasks[job.task], [job]
            if isinstance(task, BatchTask) and not job.crashes:
                alike = (each for each in left.values() if each.task == job.task and not each.crashes)
                jobs = [*islice(alike, task.size)]
            for each in jobs:
                del left[each.id]
            yield jobs

    async def _run_attempts(self, worker: TestWorker, jobs: list[Job[Any]], *, reraise: bool) -> list[RanJob[Any]]:
        """The jobs after their attempts; without those that were not ready any more."""
        ran = []
        for ended in await worker.run([job.id for job in jobs]):
            stored = await self.jobs.aget(ended.claim.id)
            ran.append(RanJob(stored, None if stored.state is JobState.COMPLETED else ended.error))
        if reraise:
            for each in ran:
                each.raise_error()
        return ran

    def _promote(self) -> Verb[tuple[int, int | None]]:
        """Make ready what is due, also by schedule: how many jobs, and microseconds until the next is."""
        total = 0
        yield from synchronise_schedules(self._engine, self._app.name, self._app.tasks)
        while True:
            promoted, until_next = yield from self._engine.promote_jobs(_PORTION)
            total += promoted
            if promoted < _PORTION:
                break
        fired, until_tick = yield from self._engine.fire_schedules(self._app.tasks.names, _PORTION)
        while True:
            tended, until_workflow = yield from self._engine.tend_workflows(_PORTION)
            total += tended
            if not tended:
                break
        times = [until for until in (until_next, until_tick, until_workflow) if until is not None]
        return total + fired, min(times, default=None)

    def _long_ago(self) -> Any:
        """The same engine, with a clock that is ten years behind."""
        engine: Any = copy(self._engine)
        engine.clock = TestClock(self.now - timedelta(microseconds=_LONG))
        return engine

    def _after(self, microseconds: int | None) -> datetime | None:
        return None if microseconds is None else self.now + timedelta(microseconds=microseconds)

    def _move_to(self, moment: datetime) -> None:
        if self.app and to_moment(moment, "moment") < self.clock.now():
            raise ConfigurationError(
                f"the clock stands at {self.now}, after {moment}: only t.clock.set() moves it back"
            )
        self.clock.set(moment)

    def _why_not_ready(self, job: Job[Any]) -> str:
        named = f"job {job.id} ({job.task}) is {job.state}"
        if job.state is JobState.SCHEDULED:
            seconds = (job.run_at - self.now).total_seconds()
            return (
                f"{named} for {job.run_at}, {seconds:g} s after this store's now: "
                f"advance({seconds:g}) makes it ready, and so does jobs.run_now({job.id})"
            )
        if job.state.is_final:
            return f"{named} and cannot be run: jobs.replay({job.id}) makes it live again"
        return f"{named} and cannot be run{': ' + job.reason if job.reason else ''}"

    def __repr__(self) -> str:
        return f"<TestStore {self._engine.location} at {self.now.isoformat()}>"


def _run(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end, on an event loop of its own."""
    if not is_in_loop():
        return _run_here(make)
    warnings.warn(
        "a sync verb of the test store was called inside a running event loop, which waits meanwhile: use the verb "
        "with an a in front, as in await t.adrain()",
        RuntimeWarning,
        stacklevel=3,
    )
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(copy_context().run, _run_here, make).result()


def _run_here(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    # With a factory, Runner does not replace the thread's current event loop, which some test plugins rely on.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(make())
