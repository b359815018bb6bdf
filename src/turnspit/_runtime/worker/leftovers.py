"""What still runs when its worker has ended: threads, which nobody can end, and coroutines that will not.

No job may begin beside an earlier run of itself in the same process. So where the program goes on, these jobs stay
claimed, and their worker's heart beats, until they end or the program does. Where the process ends with its worker,
they are handed back as its very last act.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from turnspit._runtime.service import Backoff
from turnspit._runtime.worker.executor import Executor
from turnspit._runtime.worker.finisher import Finisher
from turnspit._runtime.worker.loop_watch import stack_of
from turnspit._runtime.worker.registration import Registration
from turnspit._runtime.worker.running import Running
from turnspit.clock import monotonic, thread_sleep
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb
from turnspit.errors import EngineUnavailable, StoreFrozen
from turnspit.records import Finish

__all__ = ["Leftovers"]

P = TypeVar("P")

logger = logging.getLogger("turnspit")

_PATIENCE = 10.0
"""Seconds for which a store that is away is asked to take the end of one."""


class Leftovers:
    """The jobs that run on when their worker has ended; false if there are none. Made on the worker's event loop."""

    def __init__(self, engine: Engine, registration: Registration, executor: Executor, finisher: Finisher) -> None:
        self._engine = engine
        self._registration = registration
        self._executor = executor
        self._finisher = finisher
        self._worker = registration.id
        self._running = list(executor.running.values())
        self._claims = {running: running.current_claim for running in self._running}  # it changes as the loop ends
        self._begun = {running.claim.id for running in self._running if running.begun}
        self._left = len(self._running)
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._running)

    def __contains__(self, running: Running) -> bool:
        return running in self._running

    @property
    def jobs(self) -> set[int]:
        """Their ids."""
        return {running.claim.id for running in self._running}

    def describe(self) -> str:
        """Which jobs, and where their threads are."""
        lines = []
        for running in self._running:
            stack = stack_of(running.context.thread)
            where = f", in a thread that is in\n{stack}" if stack else ""
            lines.append(f"job {running.claim.id} ({running.claim.task}){where}")
        return "\n".join(lines)

    async def hand_back(self) -> None:
        """Hand the jobs back, because the process ends now; that costs no attempt. One that was over its time-out, or
        whose cancellation was requested, ends as that.
        """
        await asyncio.to_thread(self._registration.let_go)
        await asyncio.to_thread(self._hand_over, *self._ends_and_claims())

    def hand_back_blocked(self) -> None:
        """``hand_back`` from another thread, where the loop is blocked: also stores what the loop would have stored."""
        self._registration.let_go()
        for running in self._running:
            if running.task is not None and running.task is asyncio.current_task(running.task.get_loop()):
                running.context.thread = threading.main_thread().ident
            is_late = running.deadline is not None and running.deadline <= monotonic()
            running.context.stop("timeout" if is_late else "shutdown")
        finishes, returned = self._ends_and_claims()
        finishes += [each.finish for each in (*self._finisher.in_flight, *self._finisher.take_rest())]
        returned += [(claim.id, claim.fence) for claim in (*self._executor.take(), *self._executor.late)]
        self._hand_over(finishes, returned)

    def _hand_over(self, finishes: list[Finish], returned: list[tuple[int, int]]) -> None:
        """Store all of it and retire. What the store refuses counts as crashed, and takes nothing else with it."""
        engine = self._engine
        try:
            try:
                engine.write(self._leave, finishes, returned)
            except (EngineUnavailable, StoreFrozen):
                raise
            except Exception:
                self._store_by_halves(engine.finish_jobs, finishes)
                self._store_by_halves(self._return, returned)
                engine.write(engine.retire_worker, self._worker)
        except Exception as error:
            logger.error("worker %s could not hand back what it ran: %s; others rescue it", self._worker, error)

    def _leave(self, finishes: list[Finish], returned: list[tuple[int, int]]) -> Verb[None]:
        """In one transaction: what a worker still has when it is retired counts as crashed."""
        yield from self._engine.finish_jobs(finishes)
        yield from self._return(returned)
        yield from self._engine.retire_worker(self._worker)

    def _return(self, claims: list[tuple[int, int]]) -> Verb[list[int]]:
        return self._engine.return_jobs(claims, self._begun)

    def _store_by_halves(self, verb: Callable[[list[P]], Verb[Any]], parts: list[P]) -> None:
        try:
            self._engine.write(verb, parts)
        except (EngineUnavailable, StoreFrozen):
            raise
        except Exception as error:
            half = len(parts) // 2
            if half:
                self._store_by_halves(verb, parts[:half])
                self._store_by_halves(verb, parts[half:])
            else:
                what = "could not hand back part of what it ran"
                logger.error("worker %s %s, %s: %s; others rescue it", self._worker, what, parts, error)

    def _ends_and_claims(self) -> tuple[list[Finish], list[tuple[int, int]]]:
        """The ends of those that have one, and the claims of the others."""
        finishes: list[Finish] = []
        returned: list[tuple[int, int]] = []
        for running, claim in self._claims.items():
            finish = self._executor.finish_of_cut_off(running) if claim is running.claim else None
            if finish is not None:
                finishes.append(finish)
            elif claim is not None:
                returned.append((claim.id, claim.fence))
        return finishes, returned

    def keep(self) -> None:
        """The program goes on: each job stays this worker's until it has ended, and its end is stored then."""
        if not self._running:
            return
        logger.warning(
            "worker %s has stopped, but what follows did not end in time, and nobody can end it from outside. It stays "
            "claimed, so that it runs nowhere else meanwhile, until it ends or this program does:\n%s",
            self._worker,
            self.describe(),
        )
        for running in self._running:
            call = running.context.call
            if call is not None:
                call.add_done_callback(partial(self._conclude_thread, running))
            elif running.task is not None:
                running.task.add_done_callback(partial(self._conclude_coroutine, running))

    def _conclude_thread(self, running: Running, call: "Future[Any]") -> None:
        """In the thread of the job, which Python waits for when the program ends."""
        self._store(running, self._executor.finish_of_leftover(running, call))

    def _conclude_coroutine(self, running: Running, task: "asyncio.Task[None]") -> None:
        finish = self._finisher.take_finish(running.claim)
        threading.Thread(target=self._store, args=(running, finish)).start()

    def _store(self, running: Running, finish: Finish | None) -> None:
        claim = self._claims[running]
        if claim is running.claim and finish is not None:
            self._insist(self._engine.finish_jobs, [finish])
        elif claim is not None:
            self._insist(self._return, [(claim.id, claim.fence)])
        with self._lock:
            self._left -= 1
            if self._left:
                return
        self._registration.let_go()
        self._insist(self._engine.retire_worker, self._worker)
        logger.info("worker %s: the last job that it had left behind has ended", self._worker)

    def _insist(self, verb: Any, *arguments: Any) -> None:
        backoff, until = Backoff(), monotonic() + _PATIENCE
        while True:
            try:
                self._engine.write(verb, *arguments)
            except Exception as error:  # whatever it is: the lease is kept until this is over
                if monotonic() > until:
                    logger.error("worker %s could not store its last work: %s; others rescue it", self._worker, error)
                    return
                thread_sleep(backoff.delay())
            else:
                return
