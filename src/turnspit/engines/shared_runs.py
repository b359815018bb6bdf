"""Runs the work that comes before the first use of a store, each piece on a thread of its own.

A thread that is blocked in ``flock`` or inside SQLite cannot be interrupted, but a caller that only waits for it can
give up.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from turnspit.errors import EngineUnavailable

__all__ = ["SharedRuns", "await_run", "wait_for_run"]

T = TypeVar("T")

_JOIN_TIMEOUT = 5.0


class SharedRuns:
    """Runs each function on its own thread, at most once at a time.

    Starting a function that is already running joins that run, so callers that try again do not pile up threads. A run
    goes on even if nobody waits for it any longer.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may call while its thread begins another
        self._runs: dict[Callable[[], Any], tuple[Future[Any], threading.Thread]] = {}
        self._is_paused = False

    def start(self, function: Callable[[], T]) -> Future[T]:
        """Run a function, or join the run that is under way. The future cannot be cancelled."""
        with self._lock:
            if function not in self._runs:
                future: Future[T] = Future()
                future.set_running_or_notify_cancel()
                thread = threading.Thread(target=self._run, args=(function, future), name="turnspit-run", daemon=True)
                self._runs[function] = future, thread
                if not self._is_paused:
                    try:
                        thread.start()
                    except BaseException:  # Ctrl-C: the thread may never have started
                        del self._runs[function]
                        raise
            return self._runs[function][0]

    def under_way(self, function: Callable[[], T]) -> Future[T] | None:
        """The run of a function that somebody else has started and that has not ended."""
        with self._lock:
            return self._runs[function][0] if function in self._runs else None

    def _run(self, function: Callable[[], T], future: Future[T]) -> None:
        try:
            result = function()
        except BaseException as error:
            self._forget(function, future)
            future.set_exception(error)
        else:
            self._forget(function, future)
            future.set_result(result)

    def _forget(self, function: Callable[[], T], future: Future[T]) -> None:
        """Called before the future is resolved: whoever asks after that must get a new run."""
        with self._lock:
            if function in self._runs and self._runs[function][0] is future:
                del self._runs[function]

    @property
    def is_running(self) -> bool:
        """Whether any run is under way."""
        with self._lock:
            return any(thread.is_alive() for _, thread in self._runs.values())

    def pause(self) -> None:
        """Start no run until ``resume``, and wait some seconds for those that are under way."""
        with self._lock:
            self._is_paused = True
            threads = [thread for _, thread in self._runs.values()]
        for thread in threads:
            thread.join(_JOIN_TIMEOUT)

    def resume(self) -> None:
        """Start the runs that were asked for since ``pause``. Who waits for one that cannot start is told."""
        with self._lock:
            self._is_paused = False
            for function, (future, thread) in list(self._runs.items()):
                if thread.ident is None:
                    try:
                        thread.start()
                    except RuntimeError as error:
                        del self._runs[function]
                        future.set_exception(EngineUnavailable(f"the call was not carried out: {error}"))


def wait_for_run(
    run: Future[T], deadline: float, late: Callable[[], str], is_at_work: Callable[[], bool] = lambda: False
) -> T:
    """Wait for the result of a run, in sync code.

    :param deadline: seconds to wait at most.
    :param late: makes the error message for a run that is not done by then.
    :param is_at_work: asked at the deadline: if the run no longer waits for others but works, wait until it is done.
    :raises EngineUnavailable: if it is not done in time.
    """
    wait([run], deadline)
    if not run.done() and not is_at_work():
        raise EngineUnavailable(late())
    return run.result()


async def await_run(run: Future[T], deadline: float, late: Callable[[], str]) -> T:
    """``wait_for_run`` for async code."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(run), deadline)
    except TimeoutError:
        if run.done():
            return run.result()
        raise EngineUnavailable(late()) from None
