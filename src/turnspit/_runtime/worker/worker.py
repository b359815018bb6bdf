"""A worker: composes its parts, starts and stops them in order."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from turnspit._runtime.maintenance.rescuer import Rescuer
from turnspit._runtime.outage import Outage
from turnspit._runtime.service import Backoff, Service
from turnspit._runtime.worker.claimer import Claimer
from turnspit._runtime.worker.duties import on_call_duties, timed_duties
from turnspit._runtime.worker.executor import Executor
from turnspit._runtime.worker.finisher import Finisher
from turnspit._runtime.worker.leftovers import Leftovers
from turnspit._runtime.worker.lifespans import open_lifespans
from turnspit._runtime.worker.lookout import Lookout, OnCall
from turnspit._runtime.worker.loop_watch import LoopWatch
from turnspit._runtime.worker.processes import Processes
from turnspit._runtime.worker.reconciler import Reconciler
from turnspit._runtime.worker.registration import Registration
from turnspit._runtime.worker.runners import Runners
from turnspit._runtime.worker.running import Running
from turnspit._runtime.worker.settings import WorkerParts, WorkerSettings
from turnspit._runtime.worker.wake_listener import WakeListener
from turnspit.clock import monotonic, sleep
from turnspit.context import JobContext
from turnspit.errors import EngineUnavailable, TurnspitError, WorkerDied
from turnspit.records import Duties, JobRecord

__all__ = ["Worker"]

logger = logging.getLogger("turnspit")

_CANCEL_TIME = 5.0
_THREAD_TIME = 0.1
_KILL_TIME = 2.0
_FLUSH_TIME = 10.0
_TELL_TIME = 5.0
_LIFESPAN_TIME = 10.0
_EMPTY_CHECK = 0.02
_LOOK_AGAIN = 1.0
_ADMIT_AT_ONCE = 1000
_RESCUE_INTERVAL = 60.0


class Worker:
    """Claims jobs and runs them, until it is stopped.

    ::

        worker = Worker(parts, WorkerSettings(concurrency=20))
        await worker.start()
        await worker.stopping.wait()
        await worker.stop()
    """

    def __init__(
        self, parts: WorkerParts, settings: WorkerSettings, on_register: Callable[[], None] = lambda: None
    ) -> None:
        self._parts = parts
        self._on_register = on_register
        self._settings = settings
        self._engine = parts.engine
        self._loop = asyncio.get_running_loop()
        self._outage = Outage(lambda: self.id)
        self.loop_watch = LoopWatch(self._loop, lambda task: self.executor.job_of(task))
        self._stack = AsyncExitStack()
        self.stopping = asyncio.Event()
        """Set when the worker should stop: by ``request_stop``, or with ``until_empty`` once nothing is left to do."""
        self._at_once = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._telling: asyncio.Task[None] | None = None
        self._stop_listening: Callable[[], None] | None = None
        self._opening: asyncio.Timeout | None = None
        self.registration = Registration(
            parts, settings, self._outage, self._registered, on_lost=self._lose_jobs, look=self.loop_watch.look
        )
        self._processes = Processes(parts)
        self._runners = Runners(settings.concurrency, parts.middleware, parts.thread_middleware, self._processes)
        self.finisher = Finisher(
            parts,
            is_idle=lambda: self.executor.is_idle or self.executor.suspects.are_next,
            signal=lambda: self.claimer.signal(),
        )
        self.executor = Executor(
            parts,
            self._runners,
            self.finisher,
            settings.concurrency,
            on_free=lambda: self.claimer.slot_freed(),
            may_start=lambda: self.claimer.claiming and self.registration.holds,
        )
        self.claimer = Claimer(
            self._engine,
            settings,
            self.executor,
            self.finisher,
            worker=lambda: self.id,
            may_claim=lambda: self.registration.holds,
            tasks=lambda: parts.tasks,
            outage=self._outage,
            on_doubt=lambda: self._reconciler.doubt(),
        )
        self._reconciler = Reconciler(self._engine, self.registration, self.executor, self.finisher, self.claimer)
        self._on_call: list[OnCall] = [self._reconciler]
        self.rescuer = Rescuer(
            self._engine,
            worker=lambda: self.id,
            may_rescue=lambda: self.registration.may_rescue,
            interval=_RESCUE_INTERVAL,
            max_crashes=parts.max_crashes,
            bus=parts.bus,
            on_dead=self._tell_crashed,
            call_soon=self.finisher.teller.call_soon,
        )
        self.services = self._make_services()

    def _make_services(self) -> dict[str, Service]:
        lookout = Lookout(
            self._engine,
            worker=lambda: self.id,
            queues=self._settings.queues,
            tasks=lambda: self._parts.tasks.names,
            is_busy=lambda: not self.executor.is_idle,
            lease=self._settings.lease,
            act=self._act_on,
        )
        services: dict[str, Service] = {
            "reconciler": Service(self._reconciler, self._outage),
            "lookout": Service(lookout, self._outage),
        }
        duties = on_call_duties(self._parts, self.rescuer)
        self._on_call += duties
        services |= {duty.name: Service(duty, self._outage) for duty in (*duties, *timed_duties(self._parts))}
        return services

    @property
    def id(self) -> int:
        """The worker's number in its store; a new one after it was declared dead."""
        return self.registration.id

    async def start(self) -> None:
        """Open the lifespans, register, and begin to claim; nothing begins if a stop is requested meanwhile."""
        self._processes.check()
        try:
            await self._open()
            if not self.stopping.is_set():
                await self.registration.register()
        except BaseException as error:
            await self._stack.aclose()
            if not (self.stopping.is_set() and isinstance(error, TimeoutError | EngineUnavailable)):
                raise
        if not self.id:
            return
        listener = WakeListener(self._loop, self.claimer, self._reconciler, self.services)
        patient = None if self._settings.shares_loop else listener.hear_of_others
        self._stop_listening = self._engine.wakeups.listen(listener.hear, patient)
        claiming = asyncio.create_task(self.claimer.run(), name="turnspit claimer")
        claiming.add_done_callback(self._stop_without_claimer)
        self._tasks = [claiming, asyncio.create_task(self._start_services(), name="turnspit services")]
        self._telling = asyncio.create_task(self.finisher.teller.run(), name="turnspit teller")
        if self._settings.until_empty:
            self._tasks.append(asyncio.create_task(self._stop_when_empty(), name="turnspit until-empty"))

    async def _start_services(self) -> None:
        """Start what is done beside running jobs, but after the first claim, which it would hold up."""
        await self.claimer.has_asked.wait()
        for service in self.services.values():
            service.start()
        await self.claimer.connect_beside()

    async def _open(self) -> None:
        """Open the lifespans. One that hangs does not hold up a stop: ``request_stop`` ends the wait."""
        try:
            async with asyncio.timeout(None) as self._opening:
                self.executor.resources = await open_lifespans(self._parts, self._stack)
        finally:
            self._opening = None

    def _stop_without_claimer(self, claiming: "asyncio.Task[None]") -> None:
        """Stop if the claimer failed: such a worker would keep its lease for ever and do nothing."""
        if not claiming.cancelled() and claiming.exception() is not None:
            logger.critical("worker %s stops: its loop with the store failed", self.id, exc_info=claiming.exception())
            self.request_stop()

    def _registered(self) -> None:
        self.claimer.work_waits()
        self._on_register()

    def _lose_jobs(self) -> None:
        """Another worker has taken this one's jobs."""
        self.executor.lose()

    async def _tell_crashed(self, record: JobRecord) -> None:
        """Call ``on_dead`` for a job that this worker rescued and that has now crashed its workers too often."""
        context = JobContext.of_record(record, self.finisher, self.executor.resources)
        await self.finisher.teller.call_on_dead(context, WorkerDied(record.reason or "its worker died"))

    def _act_on(self, duties: Duties) -> None:
        """Act on what the lookout saw, whether a wake told of it or not."""
        self.claimer.lanes.told(limited=duties.limited)
        if duties.ready:
            self.claimer.work_waits(was_seen=True)
        self._obey(duties.asked_to)
        for duty in self._on_call:
            if duty.is_called_for(duties):
                self.services[duty.name].wake()

    def _obey(self, asked_to: str | None) -> None:
        """Do what a person asked of this worker, once."""
        if asked_to == "stop" and not self.stopping.is_set():
            logger.info("worker %s was asked to stop", self.id)
            self.request_stop()
        elif asked_to == "quiet" and self.claimer.claiming:
            self.drain()

    async def _stop_when_empty(self) -> None:
        while True:
            await sleep(_EMPTY_CHECK)
            if not self._is_empty():
                continue
            with contextlib.suppress(TurnspitError):
                engine, settings = self._engine, self._settings
                tasks = self._parts.tasks.names
                left = await engine.aread(engine.count_ready_or_running, settings.queues, tasks)
                if left or await engine.awrite(engine.admit_jobs, tasks, _ADMIT_AT_ONCE):
                    self.claimer.work_waits()
                elif self._is_empty():  # still: a retry that was claimed meanwhile is no longer ready, and not done
                    self.stopping.set()
                    return

    def _is_empty(self) -> bool:
        return self.executor.is_idle and self.finisher.is_empty and self.claimer.found_nothing

    def request_stop(self) -> None:
        """Stop in order; a second request gives running jobs no more time."""
        is_second = self.stopping.is_set()
        self.claimer.claiming = False  # at once: a claim that is under way starts nothing any more
        self.executor.ask_to_yield()
        self.stopping.set()
        if self._opening is not None and not is_second:
            self._opening.reschedule(self._loop.time())
        if is_second:
            self._at_once.set()
        if not self.executor.running:
            return
        if is_second:
            logger.info("worker %s: handing running jobs back at once", self.id)
        else:
            logger.info(
                "worker %s: stopping; running jobs (%s) may take up to %g s, a second signal hands them back at once",
                self.id,
                len(self.executor.running),
                self._settings.grace,
            )

    def drain(self) -> None:
        """Claim nothing more, and stop once everything that runs here has ended, however long that takes.

        ``request_stop`` hurries it.
        """
        logger.info("worker %s takes no more jobs; it ends with its last one (%s)", self.id, len(self.executor.running))
        self.claimer.claiming = False
        self._tasks.append(asyncio.create_task(self._drain(), name="turnspit drain"))

    async def _drain(self) -> None:
        await self._hand_back_buffer()
        self._runners.gathering.flush()
        while tasks := self._ending_tasks():
            await asyncio.wait(tasks, timeout=_LOOK_AGAIN)
        self.stopping.set()

    def _ending_tasks(self) -> set["asyncio.Task[None]"]:
        """The tasks of running jobs, except those told to stop that do not: only the end of this process ends them."""
        stuck = self.executor.time_outs.stuck
        return {each.task for each in self.executor.running.values() if each.task and each not in stuck}

    def troubles(self) -> tuple[str, ...]:
        """Why this worker does not work as it should, for people; from any thread."""
        if self.stopping.is_set() or not self.claimer.claiming:
            return ("it is stopping",)
        found = (self.registration.trouble, self.executor.time_outs.trouble)
        return tuple(trouble for trouble in found if trouble is not None)

    async def stop(self) -> Leftovers:
        """Stop claiming, let running jobs end within the grace time, hand back the rest, store what ended.

        :returns: the jobs that still run; this worker keeps its lease for them.
        """
        self.stopping.set()
        self.claimer.claiming = False
        self.executor.ask_to_yield()
        if not self._tasks:  # it was stopped before it had begun
            await self._close()
            return Leftovers(self._engine, self.registration, self.executor, self.finisher)
        await self._hand_back_buffer()
        self._runners.gathering.flush()
        await self._wait_for_running(self._settings.grace)
        told = list(self.executor.running.values())
        for running in told:
            running.stop("shutdown")
        await self._wait_for_stopped(told)
        async with self.claimer.exchanging():  # an exchange that is cancelled half-way would not know what it stored
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for service in self.services.values():
            await service.stop()
        await self.registration.end_on_loop()
        left = Leftovers(self._engine, self.registration, self.executor, self.finisher)
        await self._store_what_is_left(told, left)
        await self._close()
        return left

    async def _hand_back_buffer(self) -> None:
        async with self.claimer.exchanging():
            claims = [(claim.id, claim.fence) for claim in (*self.executor.take(), *self.executor.late)]
            self.executor.late.clear()
        if claims:
            with contextlib.suppress(Exception):  # whatever it is: they go back with the rest, or others rescue them
                await self._engine.awrite(self._engine.return_jobs, claims)

    async def _wait_for_running(self, seconds: float) -> None:
        until = monotonic() + seconds
        stop_waiting = asyncio.create_task(self._at_once.wait())
        while self.executor.running and monotonic() < until and not stop_waiting.done():
            waiting: set[asyncio.Task[Any]] = {each.task for each in self.executor.running.values() if each.task}
            waiting.add(stop_waiting)
            await asyncio.wait(waiting, timeout=until - monotonic(), return_when=asyncio.FIRST_COMPLETED)
        stop_waiting.cancel()

    @staticmethod
    async def _wait_for_stopped(told: list[Running]) -> None:
        """Wait for jobs that were told to stop: coroutines may clean up, processes are killed, and a thread that does
        not end soon may never end.
        """
        threads = [each for each in told if not (each.is_async or each.is_isolated)]
        killed = [each for each in told if each.is_isolated]
        coroutines = [each for each in told if each.is_async]
        for stopped, seconds in ((threads, _THREAD_TIME), (killed, _KILL_TIME), (coroutines, _CANCEL_TIME)):
            waiting = {each.task for each in stopped if each.task is not None}
            if waiting:
                await asyncio.wait(waiting, timeout=seconds)

    async def _store_what_is_left(self, told: list[Running], left: Leftovers) -> None:
        ours = [*self.executor.take(), *(each.claim for each in told if each not in left)]
        handed_back = [(claim.id, claim.fence) for claim in ours]
        begun = [each.claim.id for each in told if each.begun]
        backoff, until = Backoff(), monotonic() + _FLUSH_TIME
        while True:
            try:
                await self.claimer.flush()
                if handed_back:
                    await self._engine.awrite(self._engine.return_jobs, handed_back, begun)
                # Claims whose answer was lost: rescued after this worker's end, each would count as a crash.
                await self._engine.awrite(self._engine.return_unanswered_claims, self.id, left.jobs)
                if not left:
                    await asyncio.to_thread(self.registration.let_go)
                    await self._engine.awrite(self._engine.retire_worker, self.id)
            except Exception as error:  # whatever it is: the lease is not to be kept for ever
                if monotonic() > until:
                    logger.error("worker %s could not store its last work: %s; others rescue it", self.id, error)
                    await asyncio.to_thread(self.registration.let_go)
                    return
                await sleep(backoff.delay())
            else:
                return

    async def _close(self) -> None:
        if self._stop_listening is not None:
            self._stop_listening()
        await self.finisher.teller.finish(_TELL_TIME)
        if self._telling is not None:
            self._telling.cancel()
        self.executor.close()
        await asyncio.to_thread(self._processes.close)
        self._runners.close()
        try:
            async with asyncio.timeout(_LIFESPAN_TIME):
                await self._stack.aclose()
        except Exception:
            logger.exception("worker %s: a lifespan failed at its end", self.id)
        logger.info("%s stopped", f"worker {self.id}" if self._tasks else "a worker that had not begun")
