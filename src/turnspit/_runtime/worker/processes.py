"""The processes of tasks with ``isolate=True``, seen from their worker.

Each is a fresh interpreter that finds the app by name, stays warm for the next job, and dies with its worker. What
crosses is a line of JSON at a time, never a pickle: see ``isolated.py`` for the other end. A process that was told to
stop gets half a second for its last words, then its whole process group is killed.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from turnspit._runtime.worker.completions import NotStorable
from turnspit._runtime.worker.failures import Foreign
from turnspit._runtime.worker.foreign import stack_of_dump, unpack
from turnspit._runtime.worker.settings import WorkerParts
from turnspit.clock import monotonic
from turnspit.codec import decode
from turnspit.context import JobContext, claim_of
from turnspit.errors import ConfigurationError, JobCancelled, JobTimeout, ProcessDied, TurnspitError
from turnspit.tasks import Task

__all__ = ["Processes", "prepare_processes"]

logger = logging.getLogger("turnspit")

_LAST_WORDS = 0.5
"""Seconds from being told to stop to being killed."""
_CLOSE_TIME = 3.0
_REAP_TIME = 5.0
_HAS_GROUPS = sys.platform != "win32"
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from turnspit._runtime.worker.isolated import main; main()"
)
_NO_MODULE = ("__main__", "__mp_main__")


_preparations: WeakKeyDictionary[Any, list[str]] = WeakKeyDictionary()


def prepare_processes(app: object, function: str) -> None:
    """Have the processes of an app call a function before they import it. For framework adapters and logs.

    :param function: as ``module:function``.
    """
    functions = _preparations.setdefault(app, [])
    if function not in functions:
        functions.append(function)


class Processes:
    """Runs calls in processes, as many as there are calls at once. Its methods are called in threads."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        self._closed = False

    def check(self) -> None:
        """Look whether other processes can find the tasks that need one.

        :raises ConfigurationError: if they cannot.
        """
        for task in self._parts.tasks.tasks:
            if task.isolate and (task.function.__module__ in _NO_MODULE or self._app_name() is None):
                raise ConfigurationError(
                    f"task {task.name} has isolate=True, but another process cannot find it: the app and the task "
                    "belong in a module that can be imported, not in the script or notebook that starts the worker"
                )

    def run(self, task: Task[Any, Any], context: JobContext) -> Any:
        """What the task's function returns, in a process of its own; raises what it raises.

        :raises ProcessDied: if the process died.
        """
        process = self._take()
        try:
            return process.run(task, context)
        finally:
            self._give_back(process)

    def _take(self) -> "_Process":
        with self._lock:
            if self._closed:
                raise ProcessDied("its worker is closing")
            while self._idle:
                process = self._idle.pop()
                if process.is_usable:
                    return process
                self._all.discard(process)
                process.discard()
            process = _Process(self._greeting())
            self._all.add(process)
            return process

    def _give_back(self, process: "_Process") -> None:
        with self._lock:
            if process.is_usable and not self._closed:
                self._idle.append(process)
                return
            self._all.discard(process)
        process.discard()

    def _greeting(self) -> dict[str, Any]:
        parts = self._parts
        return {
            "app": self._app_name(),
            "preparations": _preparations.get(parts.app, []),
            "level": logging.getLogger().getEffectiveLevel(),
            "middleware": len(parts.thread_middleware),
        }

    def _app_name(self) -> str | None:
        """The app as ``module:name``: in the module that was imported first, which is the one with all its tasks."""
        for module, content in list(sys.modules.items()):
            if module in _NO_MODULE:
                continue
            for name, value in list(getattr(content, "__dict__", {}).items()):
                if value is self._parts.app:
                    return f"{module}:{name}"
        return None

    def close(self) -> None:
        """Let idle processes close what they opened, and kill the others."""
        with self._lock:
            self._closed = True
            processes, idle = list(self._all), set(self._idle)
            self._all.clear()
            self._idle.clear()
        for process in processes:
            if process in idle:
                process.send({"close": True})
            else:
                process.kill()
        until = monotonic() + _CLOSE_TIME
        for process in processes:
            if process in idle:
                process.wait(until - monotonic())
                process.discard()


class _Process:
    """One child process. One thread at a time runs a job in it; any other may stop or kill it."""

    def __init__(self, greeting: dict[str, Any]) -> None:
        self._dump = tempfile.TemporaryFile()  # noqa: SIM115  (faulthandler writes there, also when it crashes)
        replies, end_of_replies = os.pipe()
        self._replies = os.fdopen(replies, "rb")
        self._end_of_replies = os.fdopen(end_of_replies, "wb", buffering=0)
        self._popen = subprocess.Popen(  # noqa: S603  (this interpreter)
            [sys.executable, "-c", _START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=self._end_of_replies,
            start_new_session=True,
            pass_fds=(self._dump.fileno(),) if _HAS_GROUPS else (),
        )
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._gone = threading.Event()
        self._is_ready = False
        self._context: JobContext | None = None
        """Of the job that runs in it now."""
        self._told: str | None = None
        """Why its job was told to stop; the process is not used again then."""
        threading.Thread(target=self._reap, name="turnspit-process", daemon=True).start()
        self.send({**greeting, "dump": self._dump.fileno() if _HAS_GROUPS else None})

    @property
    def is_usable(self) -> bool:
        """Whether it may run another job."""
        return self._is_ready and self._told is None and self._popen.returncode is None

    def run(self, task: Task[Any, Any], context: JobContext) -> Any:
        """Run one job to its end."""
        with self._lock:
            self._context = context
        try:
            context.on_stop(partial(self.stop, context))
            context.on_yield(self.ask_to_yield)
            return self._run(task, context)
        finally:
            with self._lock:
                self._context = None

    def _run(self, task: Task[Any, Any], context: JobContext) -> Any:
        if not self._is_ready:
            self._await_ready()
        claim = claim_of(context)
        self.send({"claim": list(claim), "module": task.function.__module__, "carrier": context.carrier})
        while True:
            match self._receive():
                case {"of": [job, fence]} if (job, fence) != (claim.id, claim.fence):
                    continue  # from a thread or a process that an earlier job has left behind
                case {"report": report}:
                    _report(context, report)
                case {"finishing": True}:
                    context.finishing = True
                case {"error": error}:
                    raise unpack(error)
                case {"note": str(note)}:
                    return NotStorable(note)
                case {"result": str(text)}:
                    context.result_text = text
                    return task.signature.load_result(text)
                case {"result": None}:
                    return None

    def _await_ready(self) -> None:
        message = self._receive()
        if "error" in message:
            cause = unpack(message["error"])
            origin = cause.__cause__
            assert isinstance(origin, Foreign)
            error = ProcessDied(f"its process could not start: {origin.kind}: {origin.message}")
            raise error from Foreign("ProcessDied", str(error), origin.traceback)
        self._is_ready = True

    def _receive(self) -> dict[str, Any]:
        with contextlib.suppress(ValueError):  # the end, perhaps behind half a line
            received: dict[str, Any] = json.loads(self._replies.readline())
            return received
        raise self._death()

    def send(self, message: dict[str, Any]) -> None:
        """Write to it. Whether it is gone shows when it is read from."""
        assert self._popen.stdin is not None
        with self._sending, contextlib.suppress(OSError, ValueError):
            self._popen.stdin.write(json.dumps(message).encode() + b"\n")
            self._popen.stdin.flush()

    def _death(self) -> TurnspitError:
        """An error that says why it is gone, with the stack it was in."""
        self._gone.wait(_REAP_TIME)
        kind: type[TurnspitError] = ProcessDied
        message = f"its process died: {_describe_exit(self._popen.returncode)}"
        if self._told is not None:
            kind = JobTimeout if self._told == "timeout" else JobCancelled
            message = f"its process was killed {_LAST_WORDS:g} s after it was told to stop"
        error = kind(message)
        error.__cause__ = Foreign(kind.__name__, message, f"{self._stack()}{kind.__name__}: {message}\n")
        return error

    def _stack(self) -> str:
        self._dump.seek(0)
        return stack_of_dump(self._dump.read().decode("utf-8", "replace"))

    def stop(self, context: JobContext, reason: str) -> None:
        """Tell this job to stop, and kill the process soon. Does not wait.

        A job that has ended may be told so late that the process runs the next one already.
        """
        with self._lock:
            if self._told is not None or self._context is not context:
                return
            self._told = reason
        killer = threading.Timer(_LAST_WORDS, self.kill)
        killer.daemon = True
        try:
            killer.start()
            threading.Thread(target=self._tell, args=(reason,), name="turnspit-process-stop", daemon=True).start()
        except RuntimeError:  # none can be started: it gets no last words
            self.kill()

    def ask_to_yield(self) -> None:
        """Tell its job that the worker stops: an iteration ends between two items. Does not wait."""
        said = {"yield": True}
        with contextlib.suppress(RuntimeError):  # no thread can be started: it is told to stop later
            threading.Thread(target=self.send, args=(said,), name="turnspit-process-yield", daemon=True).start()

    def _tell(self, reason: str) -> None:
        with self._lock:
            if _HAS_GROUPS and self._is_ready and self._popen.returncode is None:
                self._popen.send_signal(signal.SIGQUIT)  # faulthandler writes the stack
        self.send({"stop": reason})

    def kill(self) -> None:
        """Kill it and everything that it started."""
        with self._lock:
            if self._popen.returncode is None:
                self._kill_group()

    def discard(self) -> None:
        """Kill it, and let go of its files; only when no job runs in it."""
        self.kill()
        self._gone.wait(_REAP_TIME)
        assert self._popen.stdin is not None
        for file in (self._popen.stdin, self._replies, self._dump):
            with contextlib.suppress(OSError):  # the last words to one that is gone
                file.close()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if _HAS_GROUPS:
                os.killpg(self._popen.pid, signal.SIGKILL)
            else:
                self._popen.kill()

    def _reap(self) -> None:
        self._popen.wait()
        self._kill_group()  # what it started goes with it
        self._gone.set()
        # What it started may have left its group and live on, with the pipe open: that it ended is said here.
        with contextlib.suppress(OSError), self._end_of_replies as end:
            end.write(b"\n")
        with contextlib.suppress(ChildProcessError):  # a worker that is process 1 inherits them, and has to bury them
            while _HAS_GROUPS:
                os.waitpid(-self._popen.pid, 0)

    def wait(self, seconds: float) -> None:
        """Wait until it has ended by itself; kill it after this time."""
        if not self._gone.wait(max(0.0, seconds)):
            logger.warning("a process did not close within %g s and is killed", _CLOSE_TIME)
            self.kill()
            self._gone.wait(_REAP_TIME)


def _report(context: JobContext, report: dict[str, Any]) -> None:
    """What a job in a process of its own reports."""
    match report:
        case {"progress": [fraction, message, data]}:
            context.progress(fraction, message, data=None if data is None else decode(data))
        case {"cursor": str(cursor)}:
            context.keep_cursors(cursor)
        case {"log": [message, level]}:
            context.log(message, level)


def _describe_exit(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
    return f"{name}, perhaps because memory ran out" if name == "SIGKILL" else name
