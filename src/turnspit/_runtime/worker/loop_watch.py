"""Says what blocks the event loop: it stops every job of its worker, and nothing else would show it."""

import asyncio
import contextlib
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turnspit.clock import monotonic
from turnspit.records import BlockedLoop

__all__ = ["LoopWatch", "stack_of"]

logger = logging.getLogger("turnspit")

_FRAMES = 8
_LONGEST = 500
"""Characters by which the store names the place that blocks the loop."""
_RUNTIME = str(Path(__file__).parents[1])


class LoopWatch:
    """Made in the loop's thread; another thread calls ``look`` now and then.

    A loop that has not answered from one look to the next is logged once, with what it is doing and for which job, and
    reported at each look until it answers.

    :param job_of: the job that an asyncio task runs, in words; ``None`` where it runs none.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, job_of: Callable[["asyncio.Task[Any] | None"], str | None]
    ) -> None:
        self._loop = loop
        self._job_of = job_of
        self._thread = threading.get_ident()
        self._asked_at = monotonic()
        self._answered = True
        self._reported = False

    def look(self) -> BlockedLoop | None:
        """Ask the loop to answer, and report one that has not answered since the last time."""
        if self._answered:
            self._answered, self._asked_at = False, monotonic()
            with contextlib.suppress(RuntimeError):  # the loop is closed: the worker has ended
                self._loop.call_soon_threadsafe(self._answer)
            return None
        seconds = monotonic() - self._asked_at
        if not self._reported:
            self._reported = True
            logger.warning(
                "the event loop has been blocked for %.1f s by %s, and with it every job here; let the task await, "
                "or declare it with def:\n%s",
                *(seconds, self._whose(), stack_of(self._thread)),
            )
        return BlockedLoop(int(seconds * 1_000_000), f"{self._whose()} at {_place_of(self._thread)}")

    def _whose(self) -> str:
        return self._job_of(asyncio.current_task(self._loop)) or "code outside a job"

    def describe(self) -> str:
        """What blocks the loop now, for people."""
        return f"{self._whose()}, which is in\n{stack_of(self._thread)}"

    def _answer(self) -> None:
        if self._reported:
            self._reported = False
            logger.warning("the event loop goes on; it was blocked for %.1f s", monotonic() - self._asked_at)
        self._answered = True


def stack_of(thread: int | None) -> str:
    """What a thread of this process is doing, innermost last; empty where it has ended. Of a job, without those who
    called it.
    """
    return "".join(traceback.format_list(_frames_of(thread)[-_FRAMES:])).rstrip()


def _place_of(thread: int) -> str:
    """In one line: where a job's own function is, and what that is waiting in."""
    frames = _frames_of(thread)
    ends = [frames[0], frames[-1]] if len(frames) > 1 else frames
    text = ", in ".join(f"{each.filename}:{each.lineno} in {each.name}" for each in ends) or "an unknown place"
    # A file's name may hold what no store takes, and a heartbeat that is refused loses the lease.
    return text.replace("\0", "")[:_LONGEST].encode(errors="replace").decode()


def _frames_of(thread: int | None) -> list[traceback.FrameSummary]:
    frame = None if thread is None else sys._current_frames().get(thread)
    stack = [] if frame is None else traceback.extract_stack(frame)
    callers = [place for place, each in enumerate(stack, 1) if each.filename.startswith(_RUNTIME)]
    own = stack[callers[-1] :] if callers else stack
    return own or stack
