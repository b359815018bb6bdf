"""Calls handed to threads that own a connection, and waiting for their answers (docs/decisions/0001)."""

import asyncio
import contextlib
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError as FutureCancelledError
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Protocol, TypeVar

from turnspit.contract.verbs import Verb, Wake
from turnspit.errors import EngineUnavailable

__all__ = ["Call", "CallQueue", "CallThread", "Waiting", "await_answer", "wait_for_answer"]

T = TypeVar("T")

_JOIN_TIMEOUT = 5.0
_LONG = 0.25
"""Seconds after which a caller asks for help: the call may stand behind one that waits for a lock."""


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

    @property
    def is_empty(self) -> bool:
        """Whether no call waits."""
        return not self._waiting

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
            while not self._waiting and not self._closed:
                self._work.wait()
            return self._waiting.popleft() if self._waiting else None

    def take_first(self) -> Call | None:
        """The next call, if one waits now."""
        with self._work:
            return self._waiting.popleft() if self._waiting else None

    def take_started(self, most: int) -> list[Call]:
        """What waits now and is still wanted by its callers. It counts as started."""
        taken: list[Call] = []
        with self._work:
            while self._waiting and len(taken) < most:
                call = self._waiting.popleft()
                if call.start():
                    taken.append(call)
        return taken

    def close(self) -> None:
        """Take no more calls; those that wait are still served."""
        with self._work:
            self._closed = True
            self._work.notify_all()


class CallThread(ABC):
    """A thread that owns one connection and runs the verbs of a queue.

    :param until_empty: it ends as soon as nothing waits.
    """

    def __init__(self, queue: CallQueue, name: str, *, until_empty: bool = False) -> None:
        self._queue = queue
        self._next = queue.take_first if until_empty else queue.wait
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
        while (first := self._next()) is not None:
            if not first.future.cancelled():
                self._serve(first)
        self._close_connection()

    @abstractmethod
    def _serve(self, first: Call) -> None:
        """Run a call that was handed over, and resolve its future."""

    @abstractmethod
    def _close_connection(self) -> None:
        """The thread ends."""


class Waiting(Protocol):
    """What a caller who waits tells those who work."""

    def help(self) -> None:
        """An answer takes long."""
        ...

    def drop(self, future: Future[Any]) -> None:
        """Nobody waits any longer for a call that is under way."""
        ...


def wait_for_answer(future: Future[T], deadline: float, late: str, waiting: Waiting | None = None) -> T:
    """The answer of a call, for sync code.

    :param late: how the error begins that is raised if there is none within ``deadline`` seconds.
    """
    try:
        if waiting is not None and deadline > _LONG:
            with contextlib.suppress(FutureTimeoutError):
                return future.result(_LONG)
            if not future.done():
                waiting.help()
        return future.result(deadline)
    except (FutureTimeoutError, FutureCancelledError) as error:
        if future.done() and not future.cancelled():
            return future.result()  # the call's own error
        return _late_answer(future, late, error, waiting)


async def await_answer(future: Future[T], deadline: float, late: str, waiting: Waiting | None = None) -> T:
    """``wait_for_answer`` for async code."""
    own = asyncio.wrap_future(future)
    try:
        # Not wait_for: before Python 3.12 it swallows a cancellation that meets the answer.
        async with asyncio.timeout(deadline):
            if waiting is not None:
                await asyncio.wait((own,), timeout=_LONG)
                if not own.done():
                    waiting.help()
            return await own
    except TimeoutError as error:
        if future.done() and not future.cancelled():
            return future.result()
        return _late_answer(future, late, error, waiting)
    except asyncio.CancelledError:
        own.cancel()  # asyncio.wait leaves it alone
        raise


def _late_answer(future: Future[T], late: str, error: BaseException, waiting: Waiting | None) -> T:
    """The answer that came at the last moment; or what became of the call, as far as it can be known."""
    not_run = future.cancel()
    if future.done() and not not_run:
        return future.result()
    if waiting is not None and not not_run:
        waiting.drop(future)
    raise EngineUnavailable(
        f"{late}: " + ("the call was not carried out" if not_run else "the call may or may not have been carried out")
    ) from error
