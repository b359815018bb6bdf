"""How a task's function is run: on the event loop, in a thread, or in a process of its own.

A coroutine can be cancelled. A thread cannot be stopped from outside: after its time-out it is told
(``job.cancelled``), keeps its slot until it ends, and if it returns after all, its job is completed,
because the work is done. A process is killed; a thread waits for it, so that it takes one of the same slots.
"""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from contextvars import copy_context
from functools import partial
from typing import Any

from turnspit._runtime.calling import leave_if_copy, without_stop_iteration
from turnspit._runtime.worker.completions import refuse_coroutine
from turnspit._runtime.worker.gathering import Gathering
from turnspit._runtime.worker.processes import Processes
from turnspit._runtime.worker.threads import Threads
from turnspit.batches import Batch, BatchTask
from turnspit.context import JobContext
from turnspit.delivery import delivery_to
from turnspit.hooks import Middleware, ThreadMiddleware
from turnspit.tasks import Task

__all__ = ["Runners"]


class Runners:
    """Runs calls of tasks, inside the app's middleware."""

    def __init__(
        self,
        concurrency: int,
        middleware: tuple[Middleware, ...],
        thread_middleware: tuple[ThreadMiddleware, ...],
        processes: Processes | None = None,
    ) -> None:
        self._threads = Threads(concurrency)
        self._middleware = middleware
        self._thread_middleware = thread_middleware
        self._processes = processes
        self.gathering = Gathering(self._threads, self.call_batch_here, is_hasty=processes is None)

    def isolates(self, task: Task[Any, Any]) -> bool:
        """Whether a task runs in a process of its own here. ``turnspit run`` and the test kit have none."""
        return task.isolate and self._processes is not None

    def run(self, task: Task[Any, Any], context: JobContext, arguments: dict[str, Any]) -> Awaitable[Any]:
        """What the function returns; raises what it raises."""
        if not self._middleware:
            return self._call(task, context, arguments)
        return self._wrapped(0, task, context, arguments)

    async def _wrapped(self, depth: int, task: Task[Any, Any], context: JobContext, arguments: dict[str, Any]) -> Any:
        if depth == len(self._middleware):
            return await self._call(task, context, arguments)

        async def call_next(context: JobContext) -> Any:
            return await self._wrapped(depth + 1, task, context, arguments)

        return await self._middleware[depth](context, call_next)

    def _call(self, task: Task[Any, Any], context: JobContext, arguments: dict[str, Any]) -> Awaitable[Any]:
        if isinstance(task, BatchTask):
            return self.gathering.run(task, context, arguments["item"])
        if task.is_async:
            coroutine: Awaitable[Any] = task.signature.call(task.function, context, arguments)
            return coroutine
        if task.isolate and self._processes is not None:
            return self._in_thread(context, partial(self._processes.run, task, context))
        return self._in_thread(context, lambda: self.call_here(task, context, arguments))

    def call_here(self, task: Task[Any, Any], context: JobContext, arguments: dict[str, Any]) -> Any:
        """Call a plain task's function in this thread, inside the app's thread middleware."""
        original = os.getpid()
        context.thread = threading.get_ident()
        try:
            value = without_stop_iteration(
                lambda: self._call_here(
                    0, context, lambda context: task.signature.call(task.function, context, arguments)
                )
            )
        except BaseException as error:
            leave_if_copy(original, error)
            raise
        finally:
            context.thread = None
        leave_if_copy(original)
        return value

    def call_batch_here(self, task: BatchTask[Any, Any], batch: Batch[Any]) -> None:
        """Call a plain batch handler in this thread; the thread middleware wraps the call, and sees its first job."""
        original = os.getpid()
        for item in batch:
            item.job.thread = threading.get_ident()
        try:
            refuse_coroutine(task, self._call_here(0, batch[0].job, lambda _: task.handler(batch)))
        except BaseException as error:
            leave_if_copy(original, error)
            raise
        finally:
            for item in batch:
                item.job.thread = None
        leave_if_copy(original)

    def _call_here(self, depth: int, context: JobContext, function: Callable[[JobContext], Any]) -> Any:
        if depth == len(self._thread_middleware):
            return function(context)
        return self._thread_middleware[depth](context, lambda context: self._call_here(depth + 1, context, function))

    async def _in_thread(self, context: JobContext, function: Callable[[], Any]) -> Any:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[bool] = loop.create_future()
        delivery = delivery_to(loop)
        context.call = call = self._threads.submit(copy_context().run, function)
        call.add_done_callback(lambda _: delivery.add(ended))
        try:
            await ended  # not the call itself, which the end of the loop would cancel
            return call.result()
        except CancelledError:  # told to stop while it waited for a thread
            raise asyncio.CancelledError from None
        finally:
            if call.done():
                context.call = None
            del call  # else its error and this frame name each other

    def close(self) -> None:
        """Let idle threads end; those that still run a job are left to it."""
        self._threads.close()
