"""Jobs of batch tasks wait here for company, and are run together.

To the executor each is a job of its own, with its own attempt, time-out and outcome: its run is to join a batch and to
wait for its answer. Together they take one slot.
"""

import asyncio
from contextvars import copy_context
from typing import Any

from turnspit.batches import Batch, BatchItem, BatchTask
from turnspit.context import JobContext, claim_of

__all__ = ["Gathering"]


class _Group:
    """Jobs that will be run by one call."""

    def __init__(self, task: BatchTask[Any, Any]) -> None:
        self.task = task
        self.answers: dict[BatchItem[Any], asyncio.Future[Any]] = {}
        self.timer: asyncio.Handle | None = None
        self.call: asyncio.Task[None] | None = None


class Gathering:
    """Collects the jobs of each batch task until there are enough, or its time is over.

    :param is_hasty: no job waits for others that have not come yet: for a run by hand, and the test kit.
    """

    def __init__(self, *, is_hasty: bool = False) -> None:
        self._is_hasty = is_hasty
        self._open: dict[str, _Group] = {}
        self._clean = copy_context()

    async def run(self, task: BatchTask[Any, Any], context: JobContext, value: Any) -> Any:
        """Join a batch; what the handler answers for this job."""
        item = BatchItem(context, value)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        group = self._join(task, item, answer)
        try:
            return await answer
        finally:
            if answer.cancelled():
                self._leave(group, item)

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
        if len(group.answers) >= task.size:
            self._begin(group)
        return group

    def _open_group(self, task: BatchTask[Any, Any]) -> _Group:
        group = self._open[task.name] = _Group(task)
        wait = 0.0 if self._is_hasty else task.wait
        group.timer = asyncio.get_running_loop().call_later(wait, self._begin, group)
        return group

    def _begin(self, group: _Group) -> None:
        if group.timer is not None:
            group.timer.cancel()
        if self._open.get(group.task.name) is group:
            del self._open[group.task.name]
        if group.answers and group.call is None:
            # A context of its own: what one job has set is not seen by the others.
            call = self._call(group)
            group.call = asyncio.get_running_loop().create_task(call, context=self._clean.copy())

    async def _call(self, group: _Group) -> None:
        batch = Batch(list(group.answers))
        error: BaseException | None = None
        try:
            await group.task.handler(batch)
        except BaseException as raised:  # a handler's SystemExit ends its batch, not the worker
            error = raised
        for item, answer in group.answers.items():
            if answer.done():
                continue
            if error is not None and not item.is_answered:
                answer.set_exception(_of_its_own(error))
                continue
            try:
                answer.set_result(item.answer())
            except BaseException as raised:
                answer.set_exception(_of_its_own(raised))

    @staticmethod
    def _leave(group: _Group, item: BatchItem[Any]) -> None:
        """A job was told to stop. A call that nobody waits for any more is stopped too."""
        if group.call is None:
            group.answers.pop(item, None)
        elif all(answer.done() for answer in group.answers.values()):
            group.call.cancel()


def _of_its_own(error: BaseException) -> BaseException:
    """An error that a future can carry, and that says nothing about the job that receives it."""
    if isinstance(error, StopIteration | asyncio.CancelledError | GeneratorExit):
        return RuntimeError(f"the batch's handler raised {type(error).__name__}")
    return error
