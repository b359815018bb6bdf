"""The threads that serve one queue of calls."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from turnspit.contract.verbs import Verb
from turnspit.engines.calls import Call, CallQueue
from turnspit.engines.postgres.connection import ConnectionThread
from turnspit.records import NewJob

__all__ = ["Pool"]


class Pool:
    """A queue of calls and the thread that serves it, in order.

    A call that waits for a row that somebody else has locked holds up those behind it. Then a second thread serves the
    queue until it is empty.
    """

    def __init__(self, make_thread: Callable[[CallQueue, bool], ConnectionThread]) -> None:
        self._queue = CallQueue()
        self._make_thread = make_thread
        self._lock = threading.Lock()
        self._thread = make_thread(self._queue, False)
        self._helper: ConnectionThread | None = None

    def submit(
        self, make_verb: Callable[[], Verb[Any]], *, here: bool = False, new: NewJob[Any] | None = None
    ) -> Call | None:
        """Hand over a verb; ``None`` if the pool was closed. See ``CallThread.submit``."""
        return self._thread.submit(make_verb, here=here, new=new)

    def help(self) -> None:
        """An answer takes long: have what waits served by a second thread, and give lost connections up."""
        with self._lock:
            for thread in self._threads():
                thread.free(max((other.began_at for other in self._threads() if other is not thread), default=0.0))
            if not self._queue.is_empty and (self._helper is None or not self._helper.is_running):
                self._helper = self._make_thread(self._queue, True)

    def drop(self, future: Future[Any]) -> None:
        """Nobody waits for this call any longer."""
        for thread in self._threads():
            thread.drop(future)

    def close(self) -> None:
        """Finish what waits, then close the connections."""
        self._queue.close()
        for thread in self._threads():
            thread.close()

    def _threads(self) -> list[ConnectionThread]:
        return [self._thread] if self._helper is None else [self._thread, self._helper]
