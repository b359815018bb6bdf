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
from turnspit.delivery import delivery_to
from turnspit.errors import EngineUnavailable
from turnspit.records import NewJob

__all__ = ["APART_DEADLINE", "Call", "CallQueue", "CallThread", "Waiting", "await_answer", "wait_for_answer"]

T = TypeVar("T")

APART_DEADLINE = 3.0
"""Seconds that ``write_apart`` waits at most: a lease of fifteen leaves time for another try."""
_JOIN_TIMEOUT = 5.0
_LONG = 0.25
"""Seconds after which a caller asks for help: the call may stand behind one that waits for a lock."""


class Call:
    """A verb on its way to a connection, and its answer."""

    __slots__ = ("_future", "dropped", "error", "make_verb", "new", "result", "started", "wakes")

    def __init__(self, make_verb: Callable[[], Verb[Any]], new: NewJob[Any] | None = None) -> None:
        self.make_verb = make_verb
        self.new = new
        """The job that the verb inserts and nothing else: such calls can be carried out together."""
        self._future: Future[Any] | None = None
        self.started = False
        self.dropped = False
        """Nobody waits for its answer any longer."""
        self.result: Any = None
        self.error: BaseException | None = None
        self.wakes: list[Wake] = []

    def hand_over(self) -> None:
        """It will be run on another thread than its caller's."""
        self._future = Future()

    @property
    def future(self) -> Future[Any]:
        """Where its caller waits for the answer."""
        assert self._future is not None, "it was not handed over"
        return self._future

    def is_awaited(self, future: Future[Any]) -> bool:
        """Whether this is where its caller waits."""
        return self._future is future

    @property
    def is_answered_here(self) -> bool:
        """Whether it was run on its caller's own thread: ``answer`` has what it gave."""
        return self._future is None

    def answer(self) -> Any:
        """What it gave; raises what it raised."""
        if self.error is not None:
            raise self.error
        return self.result

    def start(self) -> bool:
        """Whether it is to be run; from now on its caller cannot take it back."""
        self.started = self.started or self._future is None or self._future.set_running_or_notify_cancel()
        return self.started

    def resolve(self) -> None:
        """Give its caller the answer, if it waits on another thread."""
        if self._future is None:
            return
        if self.error is None:
            self._future.set_result(self.result)
        else:
            self._future.set_exception(self.error)


class CallQueue:
    """Calls that wait for one of the threads that serve them, in order."""

    def __init__(self) -> None:
        self.waiting: deque[Call] = deque()
        self.work = threading.Condition(threading.Lock())
        """Held by who changes this queue or who its threads are; notified when there is something to do."""
        self.is_closed = False

    @property
    def is_empty(self) -> bool:
        """Whether no call waits."""
        return not self.waiting

    def take_first(self) -> Call | None:
        """The next call, if one waits now."""
        with self.work:
            return self.waiting.popleft() if self.waiting else None

    def take_started(self, most: int) -> list[Call]:
        """What waits now and is still wanted by its callers. It counts as started."""
        taken: list[Call] = []
        with self.work:
            while self.waiting and len(taken) < most:
                call = self.waiting.popleft()
                if call.start():
                    taken.append(call)
        return taken

    def close(self) -> None:
        """Take no more calls; those that wait are still served."""
        with self.work:
            self.is_closed = True
            self.work.notify_all()


class CallThread(ABC):
    """A thread that owns one connection and runs the verbs of a queue.

    Sync code waits for its call anyway. While one thread alone calls, its calls run on that thread: the way to another
    and back cost 80 µs beside the 200 µs of a durable commit (docs/decisions/0012). Threads that call in turn are
    better served in groups.

    :param until_empty: it helps another: it ends as soon as nothing waits.
    """

    watch: float | None = None
    """Seconds after which ``_look`` is called again and again while callers run their calls themselves."""

    def __init__(self, queue: CallQueue, name: str, *, until_empty: bool = False) -> None:
        self._queue = queue
        self._next = queue.take_first if until_empty else self._wait
        self._served_by: int | None = None
        self._caller: int | None = None
        self._called_here = False
        self._is_watching = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(
        self, make_verb: Callable[[], Verb[Any]], *, here: bool = False, new: NewJob[Any] | None = None
    ) -> Call | None:
        """Hand over a verb; its call is answered when it is committed. ``None`` if this thread was closed.

        :param here: run it on the caller's own thread if nobody else calls and no lock has to be waited for.
        :param new: the job that the verb inserts and nothing else.
        """
        call, queue = Call(make_verb, new), self._queue
        me, taken = threading.get_ident(), False
        try:
            with queue.work:
                if queue.is_closed:
                    return None
                taken = here and self._caller == me and self._served_by is None and queue.is_empty
                self._caller = me
                if taken:
                    self._begin_here(me)
                else:
                    self._line_up(call)
            if taken and not self._serve_here(call):
                self._put_back(call)
        finally:
            if taken:
                self._release()
        return call

    def _put_back(self, call: Call) -> None:
        """A call that could not be run here is served by the thread, which is notified when this one is released."""
        call.hand_over()
        self._queue.waiting.append(call)

    def _begin_here(self, me: int) -> None:
        self._served_by, self._called_here = me, True
        if self.watch is not None and not self._is_watching:
            self._is_watching = True
            self._queue.work.notify()

    def _line_up(self, call: Call) -> None:
        if self._served_by == threading.get_ident():
            raise EngineUnavailable(
                "the store was called by a signal handler in the middle of another call of the same thread: "
                "let the handler set a flag, and call from outside of it"
            )
        call.hand_over()
        self._queue.waiting.append(call)
        self._queue.work.notify()

    def _release(self) -> None:
        with self._queue.work:
            self._served_by = None
            if self._queue.waiting or self._queue.is_closed:
                self._queue.work.notify()

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

    def _wait(self) -> Call | None:
        """The next call, as soon as there is one and no caller uses the connection; ``None`` at the end."""
        queue, me = self._queue, threading.get_ident()
        with queue.work:
            if self._served_by == me:
                self._served_by = None
            while self._served_by is not None or not (queue.waiting or queue.is_closed):
                # Also when none was begun since the last look: the one that is still running is the one to look at.
                is_busy = self._called_here or self._served_by is not None
                self._is_watching, self._called_here = is_busy and self.watch is not None, False
                queue.work.wait(self.watch if self._is_watching else None)
                self._look()
            if not queue.waiting:
                return None
            self._served_by = me
            return queue.waiting.popleft()

    def _look(self) -> None:  # noqa: B027  (only threads with ``watch`` have something to see)
        """Callers may be running their calls themselves: see whether one of them takes too long."""

    @abstractmethod
    def _serve(self, first: Call) -> None:
        """Run a call that was handed over, and resolve its future."""

    @abstractmethod
    def _serve_here(self, call: Call) -> bool:
        """Run a call on its caller's thread; ``False`` if nothing was done, because it would have to wait."""

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


def wait_for_answer(call: Call, deadline: float, late: Callable[[], str], waiting: Waiting | None = None) -> Any:
    """The answer of a call, for sync code.

    :param late: how the error begins that is raised if there is none within ``deadline`` seconds.
    """
    if call.is_answered_here:
        return call.answer()
    future = call.future
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


async def await_answer(
    future: Future[T], deadline: float, late: Callable[[], str], waiting: Waiting | None = None
) -> T:
    """``wait_for_answer`` for async code."""
    loop = asyncio.get_running_loop()
    own: asyncio.Future[bool] = loop.create_future()
    delivery = delivery_to(loop)
    future.add_done_callback(lambda _: delivery.add(own))
    patience = _Patience(loop, own, deadline, waiting)
    try:
        is_answered = await own
    except asyncio.CancelledError:
        future.cancel()
        raise
    finally:
        patience.end()
    if is_answered or (future.done() and not future.cancelled()):
        return future.result()
    return _late_answer(future, late, TimeoutError(), waiting)


class _Patience:
    """One timer for a call that waits: it asks for help when the answer takes long, and gives up at the deadline."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, own: "asyncio.Future[bool]", deadline: float, waiting: Waiting | None
    ) -> None:
        self._loop = loop
        self._own = own
        self._waiting = waiting
        self._left = deadline - _LONG if waiting is not None else 0.0
        first, then = (_LONG, self._ask_for_help) if self._left > 0 else (deadline, self._give_up)
        self._timer = loop.call_later(first, then)

    def _ask_for_help(self) -> None:
        if not self._own.done() and self._waiting is not None:
            self._waiting.help()
            self._timer = self._loop.call_later(self._left, self._give_up)

    def _give_up(self) -> None:
        if not self._own.done():
            self._own.set_result(False)

    def end(self) -> None:
        self._timer.cancel()


def _late_answer(future: Future[T], late: Callable[[], str], error: BaseException, waiting: Waiting | None) -> T:
    """The answer that came at the last moment; or what became of the call, as far as it can be known."""
    not_run = future.cancel()
    if future.done() and not not_run:
        return future.result()
    if waiting is not None and not not_run:
        waiting.drop(future)
    raise EngineUnavailable(
        f"{late()}: " + ("the call was not carried out" if not_run else "the call may or may not have been carried out")
    ) from error
