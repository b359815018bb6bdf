"""A process that runs the jobs of ``isolate=True`` for its worker, one at a time, until its worker ends.

It talks in lines of JSON over what it was given as standard input and output; what a task prints goes to the worker's
standard error. The job runs in the main thread, lifespans and their event loop in another, as in a worker.
"""

import asyncio
import contextlib
import faulthandler
import importlib
import json
import logging
import os
import queue
import select
import signal
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import AsyncExitStack
from contextvars import copy_context
from typing import Any, NoReturn

from turnspit._runtime.worker.arguments import load_arguments
from turnspit._runtime.worker.completions import completion_of, refuse_coroutine
from turnspit._runtime.worker.foreign import pack
from turnspit._runtime.worker.job_writes import JobWrites
from turnspit._runtime.worker.lifespans import open_lifespans
from turnspit._runtime.worker.runners import Runners
from turnspit._runtime.worker.settings import WorkerParts
from turnspit.context import JobContext, activate_job
from turnspit.errors import ConfigurationError
from turnspit.records import Claim, Completion
from turnspit.tasks import Task

__all__ = ["main"]


def main() -> None:
    """Run such a process."""
    if sys.platform == "win32":
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole console; the worker decides
    requests, replies = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    _fork_watchdog(requests, replies)
    channel = _Channel(requests, replies)
    greeting = channel.receive()
    _write_stacks_to(greeting["dump"])
    try:
        child = _Isolated(channel, _load_parts(greeting))
    except BaseException as error:
        channel.send({"error": pack(error)})
        os._exit(1)
    channel.send({"ready": True})
    child.live()


def _fork_watchdog(requests: int, replies: int) -> None:
    """Fork a process that kills the group when the worker is gone. A thread could not, where a task holds the
    interpreter's lock for ever; and a task may have started processes. It is no child of this process, for which a task
    that waits for its own children would wait too.
    """
    if not hasattr(os, "fork"):
        return
    if between := os.fork():
        os.waitpid(between, 0)
        return
    if os.fork():
        os._exit(0)
    try:
        os.close(replies)
        poll = select.poll()
        poll.register(requests, 0)  # an empty mask: only the end of the line wakes it
        poll.poll()
    finally:
        _end_group()


def _end_group() -> NoReturn:
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _write_stacks_to(file: int | None) -> None:
    if file is not None:
        faulthandler.enable(file, all_threads=False)
        faulthandler.register(signal.SIGQUIT, file, all_threads=False)


def _load_parts(greeting: Mapping[str, Any]) -> WorkerParts:
    logging.basicConfig(level=greeting["level"], format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for preparation in greeting["preparations"]:
        _find(preparation)()
    parts: WorkerParts = _find(greeting["app"]).worker_parts()
    if len(parts.thread_middleware) < greeting["middleware"]:
        raise ConfigurationError(
            f"{greeting['app']} has {greeting['middleware']} plain middleware in its worker, but only "
            f"{len(parts.thread_middleware)} when a fresh process imports it: declare them in that module"
        )
    return parts


def _find(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


class _Channel:
    """Lines of JSON to and from the worker."""

    def __init__(self, requests: int, replies: int) -> None:
        self._requests = os.fdopen(requests, "rb")
        self._replies = os.fdopen(replies, "wb")
        self._lock = threading.Lock()

    def receive(self) -> dict[str, Any]:
        """The next line; without a worker this process ends here."""
        line = self._requests.readline()
        if not line.endswith(b"\n"):
            _end_group()
        received: dict[str, Any] = json.loads(line)
        return received

    def send(self, message: dict[str, Any]) -> None:
        """Write a line, at once."""
        with self._lock:
            self._replies.write(json.dumps(message).encode() + b"\n")
            self._replies.flush()


class _Reports(JobWrites):
    """Where a job's progress, log lines and ``finish`` go: to the worker, and into the store."""

    def __init__(self, channel: _Channel, parts: WorkerParts) -> None:
        super().__init__(parts)
        self._channel = channel

    def report_progress(self, claim: Claim, progress: float, message: str | None, data: str | None) -> None:
        """Tell the worker."""
        self._report(claim, {"progress": [progress, None if message is None else str(message), data]})

    def report_cursor(self, claim: Claim, cursor: str) -> None:
        """Tell the worker."""
        self._report(claim, {"cursor": cursor})

    def report_log(self, claim: Claim, level: str, message: str) -> None:
        """Tell the worker."""
        self._report(claim, {"log": [str(message), level]})

    def _report(self, claim: Claim, report: dict[str, Any]) -> None:
        self._channel.send({"report": report, "of": [claim.id, claim.fence]})

    def _completion(self, claim: Claim, result: Any) -> Completion:
        # Before the store hears it: should this process die in between, the worker asks whether it was committed.
        self._channel.send({"finishing": True, "of": [claim.id, claim.fence]})
        return super()._completion(claim, result)


class _Isolated:
    """Runs what its worker asks for."""

    concurrency = 1

    def __init__(self, channel: _Channel, parts: WorkerParts) -> None:
        self._channel = channel
        self._parts = parts
        self._reports = _Reports(channel, parts)
        self._runners = Runners(1, (), parts.thread_middleware)
        self.context: JobContext | None = None
        self.running: dict[int, _Isolated] = {}
        """Itself, by the id of the job that it runs."""
        parts.app.executors[id(self)] = self
        self._should_yield = False
        """Whether the worker is stopping. It may say so before it sends the job, while this process starts."""
        self._asked: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._resources: Mapping[str, Any] = {}
        self._lifespans: _Lifespans | None = None
        if parts.lifespans:
            self._lifespans = _Lifespans(parts)
            self._resources = self._lifespans.opened.result()

    def live(self) -> None:
        """Run jobs until told to close."""
        threading.Thread(target=self._listen, name="turnspit-listen", daemon=True).start()
        while (request := self._asked.get()) is not None:
            self._channel.send(self._run(request))
        if self._lifespans is not None:
            self._lifespans.close()

    def _listen(self) -> None:
        while True:
            match self._channel.receive():
                case {"yield": True}:
                    self._should_yield = True
                    if self.context is not None:
                        self.context.should_yield = True
                case {"stop": str(reason)}:
                    if self.context is not None:
                        self.context.stop(reason)
                case {"close": True}:
                    self._asked.put(None)
                case request:
                    self._asked.put(request)

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        claim = Claim(*request["claim"])
        self.context = context = JobContext(claim, self._reports, self._resources)
        self.running = {claim.id: self}
        if self._should_yield:  # read after the context was set: one of the two threads sees what the other one did
            context.should_yield = True
        context.carrier = request["carrier"]
        try:
            task = self._task(claim.task, request["module"])
            arguments = load_arguments(task, claim.args)
            value = copy_context().run(self._call, task, context, arguments)
            refuse_coroutine(task, value)
            completion = completion_of(task, claim, value, self._parts.max_result)
        except BaseException as error:  # a handler's SystemExit ends its attempt, not its process
            return {"error": pack(error)}
        finally:
            self.context, self.running = None, {}
        return {"note": completion.note} if completion.note is not None else {"result": completion.result}

    def _call(self, task: Task[Any, Any], context: JobContext, arguments: dict[str, Any]) -> Any:
        activate_job(context)
        return self._runners.call_here(task, context, arguments)

    def _task(self, name: str, module: str) -> Task[Any, Any]:
        if name not in self._parts.tasks:
            importlib.import_module(module)
        task = self._parts.tasks.get(name)
        if task is None:
            raise ConfigurationError(
                f"a fresh process that imports the app and {module} finds no task {name} in it: declare it there, or "
                "include its blueprint in the module that makes the app"
            )
        return task


class _Lifespans:
    """Holds the app's lifespans open, on an event loop in a thread of its own."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self.opened: Future[Mapping[str, Any]] = Future()
        self._thread = threading.Thread(target=self._run, name="turnspit-lifespans", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._hold())

    async def _hold(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                self.opened.set_result(await open_lifespans(self._parts, stack))
                await self._closing.wait()
        except BaseException as error:
            if self.opened.done():
                raise
            self.opened.set_exception(error)

    def close(self) -> None:
        """Close them, and wait for it."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()
