"""Says what blocks the event loop: it stops every job of its worker, and nothing else would show it."""

import asyncio
import contextlib
import logging
import sys
import threading
import traceback

from turnspit.clock import monotonic

__all__ = ["LoopWatch"]

logger = logging.getLogger("turnspit")

_FRAMES = 8


class LoopWatch:
    """Made in the loop's thread; another thread calls ``look`` now and then.

    A loop that has not answered from one look to the next is reported once, with what it is doing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.get_ident()
        self._asked_at = monotonic()
        self._answered = True
        self._reported = False

    def look(self) -> None:
        """Ask the loop to answer, and report one that did not answer the last time."""
        if self._answered:
            self._answered, self._asked_at = False, monotonic()
            with contextlib.suppress(RuntimeError):  # the loop is closed: the worker has ended
                self._loop.call_soon_threadsafe(self._answer)
        elif not self._reported:
            self._reported = True
            frame = sys._current_frames().get(self._thread)
            logger.warning(
                "the event loop has been blocked for %.1f s, and with it every job here; let the task await, "
                "or declare it with def:\n%s",
                monotonic() - self._asked_at,
                "".join(traceback.format_stack(frame, _FRAMES)).rstrip(),
            )

    def _answer(self) -> None:
        if self._reported:
            self._reported = False
            logger.warning("the event loop goes on; it was blocked for %.1f s", monotonic() - self._asked_at)
        self._answered = True
