"""The threads in which plain functions run: as many as there are slots, or fewer while the system has no more."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

__all__ = ["Threads"]

logger = logging.getLogger("turnspit")

_AGAIN = 1.0
"""Seconds until another thread is tried."""


class Threads(ThreadPoolExecutor):
    """Used on the worker's event loop.

    Where no thread can be started, Python's own raises, and calls the function all the same in the next thread that it
    has. Here it waits for that.
    """

    def __init__(self, most: int) -> None:
        super().__init__(most, thread_name_prefix="turnspit-job")
        self._again: asyncio.TimerHandle | None = None

    def _adjust_thread_count(self) -> None:
        """Called by ``submit``."""
        try:
            super()._adjust_thread_count()
        except RuntimeError as error:
            if self._again is None:
                logger.warning("no thread can be started (%s): jobs wait for one that others use", error)
                self._again = asyncio.get_running_loop().call_later(_AGAIN, self._try_again)

    def _try_again(self) -> None:
        self._again = None
        self._adjust_thread_count()

    def close(self) -> None:
        """Let idle threads end; those that still run a job are left to it."""
        if self._again is not None:
            self._again.cancel()
        self.shutdown(wait=False, cancel_futures=True)
