"""Runs claimed jobs: loads the arguments, calls the function, decides how the attempt ended.

``Executor.execute`` shows an attempt from beginning to end.
"""

import asyncio
import os
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, Protocol

from turnspit._runtime.calling import leave_if_copy
from turnspit._runtime.worker.arguments import Unreadable, load_arguments
from turnspit._runtime.worker.completions import ResultText, completion_of, is_unchanged, refuse_coroutine
from turnspit._runtime.worker.conditions import Conditions
from turnspit._runtime.worker.endings import Endings
from turnspit._runtime.worker.failures import Foreign, message_of
from turnspit._runtime.worker.finisher import Ended
from turnspit._runtime.worker.loop_watch import stack_of
from turnspit._runtime.worker.runners import Runners
from turnspit._runtime.worker.running import Running
from turnspit._runtime.worker.settings import WorkerParts
from turnspit._runtime.worker.suspects import Suspects
from turnspit._runtime.worker.time_outs import TimeOuts
from turnspit.batches import BatchTask
from turnspit.clock import monotonic
from turnspit.context import JobContext, activate_job
from turnspit.events import Event
from turnspit.records import BrokenAttempt, Claim, Completion, Finish
from turnspit.reporting import Reporter
from turnspit.tasks import Task

__all__ = ["Ends", "Executor"]


class Ends(Reporter, Protocol):
    """Where ended attempts go: a worker's finisher."""

    def add(self, ended: Ended) -> None:
        """An attempt ended."""
        ...

    @property
    def is_storing(self) -> bool:
        """Whether the store still takes one that ended for running."""
        ...


class Executor:
    """Runs claimed jobs in ``concurrency`` slots; what does not fit waits in its buffer."""

    def __init__(
        self,
        parts: WorkerParts,
        runners: Runners,
        finisher: Ends,
        concurrency: int,
        on_free: Callable[[], None],
        may_start: Callable[[], bool] = lambda: True,
    ) -> None:
        self._parts = parts
        self._runners = runners
        self._finisher = finisher
        self._endings = Endings(parts)
        self._on_free = on_free
        self._may_start = may_start
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._clean = copy_context()
        self.suspects = Suspects(self._fill_again)
        self.concurrency = concurrency
        self.resources: Mapping[str, Any] = {}
        self.buffer: deque[Claim] = deque()
        self.late: list[Claim] = []
        """Limited jobs that could not begin at once: they go back."""
        self.conditions = Conditions()
        self.running: dict[int, Running] = {}
        self._interrupted: set[int] = set()
        """Jobs that the stop of this worker has ended: they go back with whatever else is left."""
        self._in_batches: Counter[str] = Counter()
        self.time_outs = TimeOuts(self.running, finisher, concurrency, self._in_batches)
        self._gathering = runners.gathering
        self._gathering.on_free = self._fill_again
        parts.app.executors[id(self)] = self

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs or waits here."""
        return not self.running and not self.waiting

    @property
    def waiting(self) -> int:
        """How many claimed jobs wait here."""
        return len(self.buffer) + len(self.suspects.waiting)

    @property
    def holds_back(self) -> bool:
        """Whether a job with a crash behind it runs alone here, or waits to: then nothing more should be claimed."""
        return self.suspects.is_alone or self.suspects.are_next

    @property
    def claimed(self) -> set[int]:
        """The jobs that run or wait here or are to go back, under claims that are current as far as is known."""
        running = {job for job, each in self.running.items() if each.current_claim is not None}
        return running.union(self._interrupted, (claim.id for claim in (*self.buffer, *self.suspects.waiting)))

    def job_of(self, task: "asyncio.Task[Any] | None") -> str | None:
        """The job that an asyncio task runs here, in words; from any thread."""
        for running in list(self.running.values()):
            if task is not None and running.task is task:
                return f"job {running.claim.id} ({running.claim.task})"
        return None

    def add(self, claims: list[Claim]) -> None:
        """Take claimed jobs and start as many as there are free slots."""
        self.buffer.extend(self._sort_out(claims))
        self.fill()

    def add_limited(self, claims: Sequence[Claim], rated: Collection[int], until: float) -> None:
        """Start limited jobs before all others; those that are ``rated``, whose starts a rate counts, by ``until``."""
        self.conditions.begin_until((claim for claim in claims if claim.id in rated), until)
        self.buffer.extendleft(reversed(self._sort_out(claims)))
        self.fill()

    def _sort_out(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """The claims that begin as soon as there is room. The others wait here: for an earlier run of the same job to
        end, or, with a crash behind them, until they can run alone.
        """
        running = self.running
        if not any(claim.crashes or claim.id in running for claim in claims):
            return claims
        new = [claim for claim in claims if claim.id not in running]
        for claim in claims:
            if claim.id in running:
                self.conditions.forget(running[claim.id].take_successor())
                running[claim.id].successor = claim
        self.suspects.add(claim for claim in new if claim.crashes)
        return [claim for claim in new if not claim.crashes]

    def fill(self) -> None:
        """Start waiting jobs. One with a crash behind it begins alone, so that it can take no neighbour with it."""
        while self._has_room() and not self.suspects.is_alone and self._may_start():
            if self.suspects.are_next:
                # To the store, what has ended and is not stored runs: it would be blamed for the next one's crash.
                suspect = self.suspects.begin(has_neighbours=bool(self.running) or self._finisher.is_storing)
                if suspect is None:
                    return
                self.conditions.is_late(suspect)  # it would always be, having waited so long
                self._start(suspect)
                continue
            claim = self.buffer.popleft()
            if claim.lane is not None and self.conditions.is_late(claim):
                self.late.append(claim)
                self._on_free()
            else:
                self._start(claim)

    def _fill_again(self) -> None:
        self.fill()
        self._on_free()

    @property
    def taken(self) -> int:
        """How many slots are taken. Jobs that are run together take one."""
        if not self._in_batches:
            return len(self.running)
        batches = sum(-(-self._waiting_in_batch(task) // self._batch_size(task)) for task in self._in_batches)
        return len(self.running) - self._in_batches.total() + self._gathering.calls + batches

    @property
    def lacking(self) -> int:
        """How many more jobs would fill the batches that gather now."""
        return sum(-self._waiting_in_batch(task) % self._batch_size(task) for task in self._in_batches)

    def _waiting_in_batch(self, task: str) -> int:
        """How many jobs of a batch task wait for others."""
        return self._in_batches[task] - self._gathering.called[task]

    def _has_room(self) -> bool:
        """Whether the next job may begin: in a free slot, or in that of a batch which is not full yet."""
        is_free = (self.taken if self._in_batches else len(self.running)) < self.concurrency
        if not self.buffer:
            return is_free and self.suspects.are_next
        if is_free or not self._in_batches:
            return is_free
        task = self.buffer[0].task
        return task in self._in_batches and self._waiting_in_batch(task) % self._batch_size(task) != 0

    def _batch_size(self, name: str) -> int:
        task = self._parts.tasks.get(name)
        return task.size if isinstance(task, BatchTask) else 1

    def ask_to_yield(self) -> None:
        """This worker stops: jobs that iterate go back to their queue between two items."""
        for running in self.running.values():
            running.context.ask_to_yield()

    def take_jobs(self, jobs: Collection[int]) -> list[Claim]:
        """Take the claims of those of these jobs that have not begun here."""
        taken = self.take(lambda claim: claim.id in jobs)
        for job in jobs:
            if job in self.running and (successor := self.running[job].take_successor()) is not None:
                taken.append(successor)
        self.conditions.forget(*taken)
        return taken

    def take(self, is_wanted: Callable[[Claim], bool] = lambda claim: True) -> list[Claim]:
        """Take the waiting claims that are wanted, by default all: they do not begin here."""
        taken = [claim for claim in (*self.buffer, *self.suspects.waiting) if is_wanted(claim)]
        for claim in taken:
            (self.suspects.waiting if claim.crashes else self.buffer).remove(claim)
        self.conditions.forget(*taken)
        return taken

    def lose(self) -> None:
        """Another worker has taken these jobs: stop those that run, and drop those that wait."""
        self.take()
        for running in list(self.running.values()):
            self.conditions.forget(running.successor)
            running.lose()

    def _start(self, claim: Claim) -> None:
        running = Running(claim, JobContext(claim, self._finisher, self.resources))
        self.running[claim.id] = running
        if isinstance(self._parts.tasks.get(claim.task), BatchTask):
            self._in_batches[claim.task] += 1
        # A fresh context for each job: nothing that one sets is seen by another.
        running.task = self._loop.create_task(self.execute(running), context=self._clean.copy())

    async def execute(self, running: Running) -> None:
        """Run one attempt to its end and hand the outcome over."""
        claim = running.claim
        activate_job(running.context)
        running.begun = True
        finish: Finish | None = None
        error: BaseException | None = None
        try:
            finish = await self._attempt(running)
        except BaseException as raised:  # a handler's SystemExit or KeyboardInterrupt ends its attempt, not the worker
            if isinstance(raised, GeneratorExit) and not self._loop.is_running():
                raise  # the event loop is gone
            finish, error = self._endings.decide(running, raised)
        finally:
            leave_if_copy(self._process, error)
            self._free(running)
        if finish is not None and running.context.finishing:
            finish, error = self._endings.confirm(claim, finish, error)
        if finish is not None:
            self._finisher.add(Ended(finish, claim, running.context, monotonic() - running.started, error))
        elif running.context.stop_reason == "shutdown":
            self._interrupted.add(claim.id)
        del error  # else it and this frame, in its traceback, name each other, and all that its job had in memory stays
        self._fill_again()

    def finish_of_leftover(self, running: Running, call: Future[Any]) -> Finish | None:
        """What became of an attempt whose thread ended after its worker did; ``None`` if it was only interrupted."""
        claim = running.claim
        error: BaseException | None = None
        task = self._parts.tasks[claim.task]
        finish: Finish | None
        try:
            finish = self._completion(task, running, call.result())
        except BaseException as raised:
            finish, error = self._endings.decide(running, raised)
        if finish is not None and running.context.finishing:
            finish, _ = self._endings.confirm(claim, finish, error)
        return finish

    def finish_of_cut_off(self, running: Running) -> Finish | None:
        """How an attempt ends that the end of its process cuts off; ``None`` if its job is simply handed back."""
        if running.context.finishing:
            return None  # if its transaction committed, the job is completed, and handing it back changes nothing
        error = asyncio.CancelledError()
        stack = stack_of(running.context.thread)
        if stack:
            error.__cause__ = Foreign("", "", f"{stack}\n")
        return self._endings.decide(running, error)[0]

    async def _attempt(self, running: Running) -> Completion:
        claim = running.claim
        if running.context.stop_reason is not None:
            raise asyncio.CancelledError
        if self._parts.bus.wants("started"):
            waited = max(0, claim.started_at - claim.run_at) / 1_000_000
            await self._parts.bus.send(
                Event("started", claim.id, claim.task, claim.queue, claim.attempt, waited=waited)
            )
        task = self._parts.tasks[claim.task]
        arguments = self._load(task, claim)
        running.is_async, running.is_isolated = task.is_async, self._runners.isolates(task)
        self.time_outs.limit(running, (claim.timeout or task.timeout or self._parts.timeout) / 1_000_000)
        return self._completion(task, running, await self._runners.run(task, running.context, arguments))

    def _load(self, task: Task[Any, Any], claim: Claim) -> dict[str, Any]:
        if (refused := self.conditions.refusal_of(claim)) is not None:
            self._parts.bus.tell_broken(BrokenAttempt(claim, type(refused).__name__, message_of(refused)))
            raise refused
        try:
            return load_arguments(task, claim.args)
        except Unreadable as error:
            self._parts.bus.tell_broken(BrokenAttempt(claim, "InvalidPayload", str(error)))
            raise

    def _completion(self, task: Task[Any, Any], running: Running, value: Any) -> Completion:
        claim, result_text = running.claim, running.context.result_text
        refuse_coroutine(task, value)
        if result_text is not None and (not self._parts.middleware or is_unchanged(task, value, result_text)):
            value = ResultText(result_text)
        completion = completion_of(task, claim, value, self._parts.max_result)
        if completion.note is not None:
            self._finisher.report_log(claim, "error", completion.note)
        return completion

    def _free(self, running: Running) -> None:
        del self.running[running.claim.id]
        self.conditions.forget(running.claim)
        if running.claim.task in self._in_batches:
            self._in_batches[running.claim.task] -= 1
        if (successor := running.take_successor()) is not None:
            self.buffer.extendleft(self._sort_out([successor]))
        self.suspects.ended(running.claim)

    def close(self) -> None:
        """Forget the timers; metrics count these slots no longer."""
        self._parts.app.executors.pop(id(self), None)
        self.suspects.close()
        self.time_outs.close()
