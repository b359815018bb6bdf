"""Calls handed to threads that own a connection (docs/decisions/0001)."""

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from turnspit.contract.verbs import Verb, Wake
from turnspit.errors import EngineUnavailable
from turnspit.records import NewJob

__all__ = ["Call", "CallQueue", "CallThread"]

_JOIN_TIMEOUT = 5.0
_SHORT_JOIN_TIMEOUT = 0.5
"""Seconds for a thread that no caller waits for: it is blocked on a lock, or about to end."""
_INTERRUPTED = -1
"""In place of a thread's id: Ctrl-C interrupted a caller that was using the connection. Nobody may use it before the
connection's own thread has rolled back.
"""


class _State(Enum):
    HERE = auto()
    """Not handed to another thread: it runs on its caller's."""
    WAITING = auto()
    STARTED = auto()
    TAKEN_BACK = auto()
    ANSWERED = auto()


class Call:
    """A verb on its way to a connection, and then its answer.

    This is not a ``Future``, because a ``Future`` is locked by a ``Condition``, which is written in Python: Ctrl-C can
    interrupt it and leave it locked, and the thread that answers would then hang, with all calls behind this one. The
    locks used here are acquired and released in C.
    """

    __slots__ = ("_answered", "_callback", "_lock", "_state", "dropped", "error", "make_verb", "new", "result", "wakes")

    def __init__(self, make_verb: Callable[[], Verb[Any]], new: NewJob[Any] | None = None) -> None:
        self.make_verb = make_verb
        self.new = new
        """Set if the verb only inserts this one job: such calls can be merged into one statement."""
        self._state = _State.HERE
        self.dropped = False
        """Its caller no longer waits for the answer, though the call had already started."""
        self.result: Any = None
        self.error: BaseException | None = None
        self.wakes: list[Wake] = []

    def hand_over(self) -> None:
        """Prepare to be run on another thread than the caller's."""
        self._lock, self._answered = threading.Lock(), threading.Lock()
        self._answered.acquire()  # released by ``resolve``
        self._callback: Callable[[], None] | None = None
        self._state = _State.WAITING

    @property
    def is_answered(self) -> bool:
        """Whether the answer is there. A call that runs on its caller's thread counts as answered."""
        return self._state in (_State.ANSWERED, _State.HERE)

    @property
    def is_taken_back(self) -> bool:
        """Whether its caller took it back before it started."""
        return self._state is _State.TAKEN_BACK

    @property
    def is_wanted(self) -> bool:
        """Whether it is still to be answered."""
        return self._state in (_State.WAITING, _State.STARTED)

    def answer(self) -> Any:
        """Return what the verb returned, or raise what it raised."""
        if self.error is not None:
            raise self.error
        return self.result

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds; whether there is an answer."""
        return self.is_answered or self._answered.acquire(timeout=timeout)

    def when_answered(self, callback: Callable[[], None]) -> None:
        """Call this once there is an answer, on any thread."""
        with self._lock:
            is_answered = self.is_answered
            self._callback = callback
        if is_answered:
            callback()

    def take_back(self) -> bool:
        """Its caller no longer waits: do not run it, unless it has started.

        :returns: whether it is certain that it will not be run.
        """
        if self._state is _State.HERE:
            return False
        with self._lock:
            if self._state is _State.WAITING:
                self._state = _State.TAKEN_BACK
            return self._state is _State.TAKEN_BACK

    def start(self) -> bool:
        """Start it, so that its caller can no longer take it back; ``False`` if the caller already has."""
        if self._state is _State.HERE:
            return True
        with self._lock:
            if self._state is _State.WAITING:
                self._state = _State.STARTED
            return self._state is not _State.TAKEN_BACK

    def resolve(self) -> None:
        """Hand ``result`` or ``error`` to its caller, if that waits on another thread."""
        if self._state is _State.HERE:
            return
        with self._lock:
            self._state = _State.ANSWERED
            callback = self._callback
        self._answered.release()
        if callback is not None:
            callback()


class CallQueue:
    """Calls in the order in which one or more threads will serve them."""

    def __init__(self) -> None:
        self.waiting: deque[Call] = deque()
        self.lock = threading.RLock()
        """Guards this queue and the fields of its threads. Always acquire this, never ``with work``: a condition is
        entered and left by Python code, and Ctrl-C in the middle of that would leave it locked for good.
        """
        self.work = threading.Condition(self.lock)
        """Notified when there is something to do."""
        self.submitting: int | None = None
        """The id of the thread that holds the lock to add or announce a call. A signal handler on the same thread could
        enter the lock again, and finds out here that it must not.
        """
        self.is_closed = False

    @property
    def is_empty(self) -> bool:
        """Whether no call waits."""
        return not self.waiting

    def take_started(self, most: int) -> list[Call]:
        """Take at most this many of the waiting calls and start them; those that were taken back are left out."""
        taken: list[Call] = []
        with self.lock:
            while self.waiting and len(taken) < most:
                call = self.waiting.popleft()
                if call.start():
                    taken.append(call)
        return taken

    def close(self) -> None:
        """Accept no more calls; those that wait are still served."""
        with self.lock:
            self.is_closed = True
            self.work.notify_all()


class CallThread(ABC):
    """A thread that owns one connection and runs the calls of a queue.

    Sync code blocks until its call is answered anyway. So while only one thread makes calls, they run on that thread,
    which borrows the connection: switching to the owning thread and back costs 80 µs, beside the 200 µs of a durable
    commit (docs/decisions/0012). As soon as several threads take turns, their calls go through the queue, to run in
    groups.

    :param until_empty: end as soon as no call waits; for a thread that only helps another one.
    """

    watch: float | None = None
    """While callers run calls on their own threads: seconds between two calls of ``_look``."""

    def __init__(self, queue: CallQueue, name: str, *, until_empty: bool = False) -> None:
        self._queue = queue
        self._next = self._take_or_end if until_empty else self._wait_for_next
        self._has_ended = False
        self._used_by: int | None = None
        """The id of the thread that uses the connection now, or ``_INTERRUPTED``."""
        self._last_caller: int | None = None
        self._was_borrowed = False
        """A caller has used the connection since ``_wait_for_next`` last looked."""
        self._last_taken: Call | None = None
        """The last call that this thread took from the queue."""
        self._is_watching = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(
        self, make_verb: Callable[[], Verb[Any]], *, here: bool = False, new: NewJob[Any] | None = None
    ) -> Call | None:
        """Hand over a verb; its call is answered when it is committed.

        :param here: run it on the calling thread if no other thread makes calls and no lock has to be waited for.
        :param new: the job, if the verb only inserts this one job.
        :returns: the call, or ``None`` if the queue was closed.
        """
        call, queue, me = Call(make_verb, new), self._queue, threading.get_ident()
        if me in (self._used_by, queue.submitting):
            raise EngineUnavailable(
                "the store was called by a signal handler in the middle of another call of the same thread: "
                "let the handler set a flag, and call from outside of it"
            )
        is_only_caller, self._last_caller = self._last_caller == me, me
        if here and is_only_caller and self.run_here(call):
            return call
        try:
            with queue.lock:
                queue.submitting = me
                is_closed = queue.is_closed
                if not is_closed:
                    call.hand_over()
                    queue.waiting.append(call)
                    queue.work.notify()
                queue.submitting = None
        except BaseException:  # Ctrl-C
            if queue.submitting == me:
                queue.submitting = None
            call.take_back()
            self._notify_thread()
            raise
        return None if is_closed else call

    def run_here(self, call: Call) -> bool:
        """Run a call on the calling thread; ``False`` if it would have to wait, and nothing was done."""
        queue, me, is_borrowed = self._queue, threading.get_ident(), False
        try:
            with queue.lock:
                queue.submitting = me
                is_borrowed = self._used_by is None and not queue.waiting and not queue.is_closed
                if is_borrowed:
                    self._borrow(me)
                queue.submitting = None
            has_run = is_borrowed and self._serve_here(call)
        except BaseException:  # Ctrl-C. The thread cleans up: here a second Ctrl-C could interrupt that too.
            if is_borrowed:
                self._used_by = _INTERRUPTED
            if queue.submitting == me:
                queue.submitting = None
            self._notify_thread()
            raise
        if is_borrowed:
            self._used_by = None
            if queue.waiting or queue.is_closed:  # came while the connection was borrowed; what comes later notifies
                self._notify_thread()
        return has_run

    def _borrow(self, me: int) -> None:
        """Let a caller use the connection, watched by this thread."""
        self._used_by, self._was_borrowed = me, True
        if self.watch is not None and not self._is_watching:
            self._is_watching = True
            self._queue.work.notify()

    def _notify_thread(self) -> None:
        queue = self._queue
        with queue.lock:
            try:
                queue.submitting = threading.get_ident()
                queue.work.notify()
            finally:
                queue.submitting = None

    def close(self) -> None:
        """Finish what waits, then close the connection. A thread that is blocked on a lock ends later, by itself."""
        self._queue.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(_JOIN_TIMEOUT if self._is_wanted() else _SHORT_JOIN_TIMEOUT)

    def _is_wanted(self) -> bool:
        """Whether a caller waits for a call that is running or queued."""
        with self._queue.lock:
            if self._used_by not in (None, self._thread.ident):
                return True  # a caller runs its own call
            calls = [self._last_taken, *self._queue.waiting]
        return any(call is not None and call.is_wanted for call in calls)

    @property
    def is_running(self) -> bool:
        """Whether the thread still lives and may use its connection."""
        return self._thread.is_alive()

    @property
    def takes_calls(self) -> bool:
        """Whether it will serve what waits now; ask with the queue's lock held."""
        return self.is_running and not self._has_ended

    def _run(self) -> None:
        while (first := self._next()) is not None:
            self._last_taken = first
            if not first.is_taken_back:
                self._serve(first)
        self._close_connection()

    def _take_or_end(self) -> Call | None:
        """Take the next call, if one waits now; otherwise the thread ends as soon as its connection is closed."""
        with self._queue.lock:
            if self._queue.waiting:
                return self._queue.waiting.popleft()
            self._has_ended = True
            return None

    def _wait_for_next(self) -> Call | None:
        """Take the next call, as soon as there is one and no caller uses the connection; ``None`` to end the thread."""
        queue, me = self._queue, threading.get_ident()
        while True:
            with queue.lock:
                if self._used_by == me:
                    self._used_by = None
                while not self._has_work():
                    # The second condition: a call that has been running since before the last look may be the late one.
                    is_busy = self._was_borrowed or self._used_by is not None
                    self._is_watching, self._was_borrowed = is_busy and self.watch is not None, False
                    queue.work.wait(self.watch if self._is_watching else None)
                    self._look()
                is_interrupted, self._used_by = self._used_by == _INTERRUPTED, me
                if not is_interrupted:
                    return queue.waiting.popleft() if queue.waiting else None
            self._tidy_up()

    def _has_work(self) -> bool:
        is_due = bool(self._queue.waiting) or self._queue.is_closed
        return self._used_by == _INTERRUPTED or (self._used_by is None and is_due)

    def _look(self) -> None:  # noqa: B027  (only threads with ``watch`` have something to see)
        """See whether a call that its caller runs on its own thread takes too long."""

    @abstractmethod
    def _serve(self, first: Call) -> None:
        """Run a call from the queue, perhaps together with others that wait, and resolve it."""

    @abstractmethod
    def _serve_here(self, call: Call) -> bool:
        """Run a call on its caller's thread; ``False`` if it would have to wait, and nothing was done."""

    @abstractmethod
    def _tidy_up(self) -> None:
        """Ctrl-C interrupted a call on its caller's thread: leave no transaction open, and no lock held."""

    @abstractmethod
    def _close_connection(self) -> None:
        """Close the connection, because the thread ends."""
