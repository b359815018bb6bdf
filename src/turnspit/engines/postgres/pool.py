"""One queue of calls, and the one or two threads that serve it."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from turnspit.contract.verbs import Verb
from turnspit.engines.calls import Call, CallQueue
from turnspit.engines.postgres.connection import ConnectionThread
from turnspit.records import NewJob

__all__ = ["Pool"]


class Pool:
    """A queue of calls and the thread that serves it, in order.

    A call that waits for a locked row holds up the calls behind it. Then a second thread, the helper, serves the queue
    until it is empty.
    """

    def __init__(self, make_thread: Callable[[CallQueue, bool], ConnectionThread]) -> None:
        self._queue = CallQueue()
        self._make_thread = make_thread
        self._lock = threading.RLock()  # a signal handler may call while its thread begins another
        self._thread = make_thread(self._queue, False)
        self._helper: ConnectionThread | None = None

    def submit(
        self, make_verb: Callable[[], Verb[Any]], *, here: bool = False, new: NewJob[Any] | None = None
    ) -> Call | None:
        """Hand over a verb; ``None`` if the pool was closed. See ``CallThread.submit``."""
        return self._thread.submit(make_verb, here=here, new=new)

    def run_here(self, call: Call) -> bool:
        """See ``CallThread.run_here``."""
        return self._thread.run_here(call)

    def help(self) -> None:
        """An answer takes long: give up lost connections, and start a helper for the calls that wait."""
        with self._lock:
            for thread in self._threads():
                thread.free(
                    max((other.answered_since for other in self._threads() if other is not thread), default=0.0)
                )
            if self._is_helper_missing():
                with suppress(RuntimeError):  # no thread can be started while the interpreter exits
                    self._helper = self._make_thread(self._queue, True)

    def _is_helper_missing(self) -> bool:
        with self._queue.lock:
            return bool(self._queue.waiting) and (self._helper is None or not self._helper.takes_calls)

    def drop(self, call: Call) -> None:
        """Nobody waits for this call any longer: stop it if it is running."""
        for thread in self._threads():
            thread.drop(call)

    def close(self) -> None:
        """Finish what waits, then close the connections."""
        self._queue.close()
        for thread in self._threads():
            thread.close()

    def _threads(self) -> list[ConnectionThread]:
        return [self._thread] if self._helper is None else [self._thread, self._helper]
