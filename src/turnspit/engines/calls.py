"""Calls handed to threads that own a connection, and waiting for their answers (docs/decisions/0001)."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError as FutureCancelledError
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

from turnspit.contract.verbs import Verb, Wake
from turnspit.errors import EngineUnavailable

__all__ = ["Call", "CallQueue", "CallThread", "await_answer", "wait_for_answer"]

T = TypeVar("T")

_JOIN_TIMEOUT = 5.0


class Call:
    """A verb on its way to a connection, and its answer."""

    __slots__ = ("dropped", "error", "future", "make_verb", "result", "started", "wakes")

    def __init__(self, make_verb: Callable[[], Verb[Any]]) -> None:
        self.make_verb = make_verb
        self.future: Future[Any] = Future()
        self.started = False
        self.dropped = False
        """Nobody waits for its answer any longer."""
        self.result: Any = None
        self.error: BaseException | None = None
        self.wakes: list[Wake] = []

    def start(self) -> bool:
        """Whether it is to be run; from now on its caller cannot take it back."""
        self.started = self.started or self.future.set_running_or_notify_cancel()
        return self.started

    def resolve(self) -> None:
        """Give its caller the answer."""
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class CallQueue:
    """Calls that wait for one of the threads that serve them, in order."""

    def __init__(self) -> None:
        self._waiting: deque[Call] = deque()
        self._work = threading.Condition(threading.Lock())
        self._closed = False
        self._idle = 0

    @property
    def is_behind(self) -> bool:
        """Whether more calls wait than threads."""
        return len(self._waiting) > self._idle

    def submit(self, make_verb: Callable[[], Verb[Any]]) -> Future[Any] | None:
        """Hand over a verb; its future resolves when it is committed. ``None`` if this queue was closed."""
        call = Call(make_verb)
        with self._work:
            if self._closed:
                return None
            self._waiting.append(call)
            self._work.notify()
        return call.future

    def wait(self) -> Call | None:
        """The next call, as soon as there is one; ``None`` once the queue is closed and empty."""
        with self._work:
            self._idle += 1
            while not self._waiting and not self._closed:
                self._work.wait()
            self._idle -= 1
            return self._waiting.popleft() if self._waiting else None

    def take_next(self) -> Call | None:
        """The next call that its caller still wants, if one waits now. It counts as started."""
        with self._work:
            while self._waiting:
                call = self._waiting.popleft()
                if call.start():
                    return call
        return None

    def close(self) -> None:
        """Take no more calls; those that wait are still served."""
        with self._work:
            self._closed = True
            self._work.notify_all()


class CallThread(ABC):
    """A thread that owns one connection and runs the verbs of a queue."""

    def __init__(self, queue: CallQueue, name: str) -> None:
        self._queue = queue
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, make_verb: Callable[[], Verb[Any]]) -> Future[Any] | None:
        """Hand over a verb; its future resolves when it is committed. ``None`` if this thread was closed."""
        return self._queue.submit(make_verb)

    def close(self) -> None:
        """Finish what waits, then close the connection."""
        self._queue.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=_JOIN_TIMEOUT)

    @property
    def is_running(self) -> bool:
        """Whether the thread still lives and may use its connection."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while (first := self._queue.wait()) is not None:
            if not first.future.cancelled():
                self._serve(first)
        self._close_connection()

    @abstractmethod
    def _serve(self, first: Call) -> None:
        """Run a call that was handed over, and resolve its future."""

    @abstractmethod
    def _close_connection(self) -> None:
        """The thread ends."""


def wait_for_answer(
    future: Future[T], deadline: float, late: str, drop: Callable[[Future[T]], None] | None = None
) -> T:
    """The answer of a call, for sync code.

    :param late: how the error begins that is raised if there is none within ``deadline`` seconds.
    :param drop: told of a call that is under way and whose answer nobody waits for any longer.
    """
    try:
        return future.result(deadline)
    except (FutureTimeoutError, FutureCancelledError) as error:
        return _late_answer(future, late, error, drop)


async def await_answer(
    future: Future[T], deadline: float, late: str, drop: Callable[[Future[T]], None] | None = None
) -> T:
    """``wait_for_answer`` for async code."""
    try:
        # Not wait_for: before Python 3.12 it swallows a cancellation that meets the answer.
        async with asyncio.timeout(deadline):
            return await asyncio.wrap_future(future)
    except TimeoutError as error:
        return _late_answer(future, late, error, drop)


def _late_answer(future: Future[T], late: str, error: BaseException, drop: Callable[[Future[T]], None] | None) -> T:
    """The answer that came at the last moment; or what became of the call, as far as it can be known."""
    not_run = future.cancel()
    if future.done() and not not_run:
        return future.result()
    if drop is not None and not not_run:
        drop(future)
    raise EngineUnavailable(
        f"{late}: " + ("the call was not carried out" if not_run else "the call may or may not have been carried out")
    ) from error
