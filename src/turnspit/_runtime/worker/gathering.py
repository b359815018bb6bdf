"""Jobs of batch tasks wait here for company, and are run together.

To the executor each is a job of its own, with its own attempt, time-out and outcome: its run is to join a batch and to
wait for its answer. Together they take one slot.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any

from turnspit._runtime.worker.threads import Threads
from turnspit.batches import Batch, BatchItem, BatchTask
from turnspit.context import JobContext, claim_of

__all__ = ["Gathering"]


class _Group:
    """Jobs that will be run by one call."""

    def __init__(self, task: BatchTask[Any, Any]) -> None:
        self.task = task
        self.answers: dict[BatchItem[Any], asyncio.Future[Any]] = {}
        self.timer: asyncio.Handle | None = None
        self.has_begun = False
        self.call: asyncio.Task[None] | None = None
        """The call of an async handler, which can be cancelled."""


class Gathering:
    """Collects the jobs of each batch task until there are enough, or its time is over.

    :param threads: where plain handlers run.
    :param call_here: calls a plain handler, in the thread that it is called in.
    :param is_hasty: run a batch as soon as it holds all jobs that can come (see ``expect``): for ``turnspit run`` and
        the test kit.
    """

    def __init__(
        self,
        threads: Threads,
        call_here: Callable[[BatchTask[Any, Any], Batch[Any]], None],
        *,
        is_hasty: bool = False,
    ) -> None:
        self._threads = threads
        self._call_here = call_here
        self._expected = 1 if is_hasty else None
        self._open: dict[str, _Group] = {}
        self._clean = copy_context()
        self.calls = 0
        """How many handlers run now: each takes a slot."""
        self.called: Counter[str] = Counter()
        """How many jobs of each task, by the name under which they are stored, are part of a call."""
        self.on_free: Callable[[], None] = lambda: None
        """Told when a handler has ended."""

    async def run(self, task: BatchTask[Any, Any], context: JobContext, value: Any) -> Any:
        """Join a batch; what the handler answers for this job."""
        item = BatchItem(context, value)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        group = self._join(task, item, answer)

        if not task.is_async:  # nobody cancels its asyncio task: told to stop while it waits for others, it leaves
            context.on_stop(partial(_leave, group, answer))
        try:
            return await answer
        finally:
            was_part = group.answers.pop(item, None) is not None
            if group.has_begun and was_part:
                self.called[context.task] -= 1
            if answer.cancelled():
                _stop_if_unwanted(group)
            if context.call is not None and context.call.done():
                context.call = None
            context.on_stop(_stay)
            del answer, item  # else they and the error of the answer name each other

    def expect(self, count: int) -> None:
        """Only so many jobs can come: run each batch that holds as many."""
        self._expected = count
        for group in list(self._open.values()):
            if len(group.answers) >= count:
                self._begin(group)

    def flush(self) -> None:
        """Nobody else is coming: run what waits."""
        for group in list(self._open.values()):
            self._begin(group)

    def _join(self, task: BatchTask[Any, Any], item: BatchItem[Any], answer: "asyncio.Future[Any]") -> _Group:
        if claim_of(item.job).crashes:  # it runs alone, so that it can take no neighbour with it
            group = _Group(task)
            group.answers[item] = answer
            self._begin(group)
            return group
        group = self._open.get(task.name) or self._open_group(task)
        group.answers[item] = answer
        if len(group.answers) >= (task.size if self._expected is None else min(task.size, self._expected)):
            self._begin(group)
        return group

    def _open_group(self, task: BatchTask[Any, Any]) -> _Group:
        group = self._open[task.name] = _Group(task)
        if self._expected is None:
            group.timer = asyncio.get_running_loop().call_later(task.wait, self._begin, group)
        return group

    def _begin(self, group: _Group) -> None:
        if group.timer is not None:
            group.timer.cancel()
        if self._open.get(group.task.name) is group:
            del self._open[group.task.name]
        if group.has_begun:
            return
        group.answers = {item: answer for item, answer in group.answers.items() if not answer.done()}
        if not group.answers:
            return
        group.has_begun = True
        self.calls += 1
        self.called.update(item.job.task for item in group.answers)
        if group.task.is_async:
            # A context of its own: what one job has set is not seen by the others.
            group.call = asyncio.get_running_loop().create_task(self._call(group), context=self._clean.copy())
            group.call.add_done_callback(lambda call: self._ended())
        else:
            self._call_in_thread(group)

    def _ended(self) -> None:
        self.calls -= 1
        self.on_free()

    async def _call(self, group: _Group) -> None:
        error: BaseException | None = None
        try:
            await group.task.handler(Batch(list(group.answers)))
        except BaseException as raised:  # a handler's SystemExit ends its batch, not the worker
            error = raised
        _settle_all(group.answers, error)
        del error  # else it and this frame name each other

    def _call_in_thread(self, group: _Group) -> None:
        """Each job gets a call of its own to wait for, which ends even if the event loop has ended before."""
        calls: dict[BatchItem[Any], Future[Any]] = {item: Future() for item in group.answers}
        for item, call in calls.items():
            item.job.call = call
            call.set_running_or_notify_cancel()  # one of them cannot be taken out any more
        waiting = [(group, calls)]
        work = self._threads.submit(self._clean.copy().run, self._call_all, waiting, asyncio.get_running_loop())
        work.add_done_callback(lambda work: _fail_all(waiting.pop()[1]) if work.cancelled() else None)

    def _call_all(
        self, waiting: list[tuple[_Group, dict[BatchItem[Any], "Future[Any]"]]], loop: asyncio.AbstractEventLoop
    ) -> None:
        group, calls = waiting.pop()  # not as arguments, which the thread's frames would keep
        error: BaseException | None = None
        try:
            self._call_here(group.task, Batch(list(calls)))
        except BaseException as raised:
            error = raised
        _settle_all(calls, error)
        with suppress(RuntimeError):  # the loop is closed: Leftovers waits for the calls
            loop.call_soon_threadsafe(self._thread_ended, group, calls)
        del error, calls  # else they and this frame name each other

    def _thread_ended(self, group: _Group, calls: dict[BatchItem[Any], "Future[Any]"]) -> None:
        for item, answer in group.answers.items():
            if not answer.done():
                error = calls[item].exception()
                if error is None:
                    answer.set_result(calls[item].result())
                else:
                    answer.set_exception(error)
        self._ended()


def _leave(group: _Group, answer: "asyncio.Future[Any]", reason: str) -> None:
    if not group.has_begun:
        answer.cancel()


def _stay(reason: str) -> None:
    """A job that has its answer is told to stop too late."""


def _stop_if_unwanted(group: _Group) -> None:
    """A job was told to stop. A coroutine that nobody waits for any more is stopped too."""
    if group.call is not None and all(answer.done() for answer in group.answers.values()):
        group.call.cancel()


def _fail_all(calls: Mapping[BatchItem[Any], "Future[Any]"]) -> None:
    """They still waited for a thread when their worker ended."""
    for call in calls.values():
        call.set_exception(CancelledError())


def _settle_all(
    answers: "Mapping[BatchItem[Any], asyncio.Future[Any]] | Mapping[BatchItem[Any], Future[Any]]",
    error: BaseException | None,
) -> None:
    for item, answer in answers.items():
        if not answer.done():
            _settle(answer, item, error)


def _settle(answer: "asyncio.Future[Any] | Future[Any]", item: BatchItem[Any], error: BaseException | None) -> None:
    """Give a job its answer: its own, else that of the whole call."""
    if error is not None and not item.is_answered:
        answer.set_exception(_of_its_own(error))
        return
    try:
        result = item.answer()
    except BaseException as raised:
        answer.set_exception(_of_its_own(_without_frames(raised)))
    else:
        answer.set_result(result)


def _without_frames(error: BaseException) -> BaseException:
    """Without those that raised it: this module's and the item's, which the error would name, as they name it."""
    trace = error.__traceback__ and error.__traceback__.tb_next
    return error.with_traceback(trace and trace.tb_next)


def _of_its_own(error: BaseException) -> BaseException:
    """An error that a future can carry, and that says nothing about the job that receives it."""
    if isinstance(error, StopIteration | asyncio.CancelledError | GeneratorExit):
        return RuntimeError(f"the batch's handler raised {type(error).__name__}")
    return error
