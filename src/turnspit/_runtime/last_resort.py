"""What ends a worker process whose event loop does not come back after it was told to stop.

A task that blocks the loop blocks the stop too: no signal would reach the worker until it ends, if it ever does.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import FrameType

from turnspit.clock import monotonic

__all__ = ["LastResort"]

_ASK = 1.0
_PATIENCE = 3
"""So often it is asked. A process that was suspended meanwhile misses one of them."""


class LastResort:
    """Hears signals between two steps of whatever blocks the loop, and looks from a thread whether it comes back.

    :param grace: seconds after the first signal in which a blocked loop is let be; a second signal ends them.
    :param is_busy: whether jobs run. Where none does, a lifespan may take its time to close, until a second signal.
    :param warn: called in that thread, when the loop does not hear the first signal.
    :param leave: called in that thread, to end the process.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        grace: float,
        *,
        is_busy: Callable[[], bool],
        warn: Callable[[], object],
        leave: Callable[[], object],
    ) -> None:
        self._loop = loop
        self._grace = grace
        self._is_busy = is_busy
        self._warn = warn
        self._leave = leave
        self._hurries = False
        self._over = threading.Event()
        # Its ``put`` may be called in a signal handler that interrupts another ``put``.
        self._signals: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(target=self._watch, name="turnspit-last-resort", daemon=True)

    def start(self) -> None:
        """Begin to watch. Its thread sleeps until the first signal."""
        self._thread.start()

    def hear(self, number: int) -> None:
        """Hear this signal, which the loop has a handler for already: that one is called all the same."""
        signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signals.put(True)

    def stop(self) -> None:
        """The worker has ended."""
        self._over.set()
        self._signals.put(False)

    def _watch(self) -> None:
        if not self._signals.get():
            return
        until = monotonic() + self._grace
        if not self._answers() and not self._over.is_set():
            self._warn()
        self._wait_for_another(max(0.0, until - monotonic()))
        while not self._over.is_set():
            is_blocked = not self._answers() and (self._hurries or self._is_busy())
            if is_blocked and not self._over.is_set():
                self._leave()
            self._wait_for_another(_ASK)

    def _wait_for_another(self, seconds: float) -> None:
        with contextlib.suppress(Empty):
            self._hurries = self._signals.get(timeout=seconds) or self._hurries

    def _answers(self) -> bool:
        answered = threading.Event()
        with contextlib.suppress(RuntimeError):  # the loop is closed: the worker has ended
            self._loop.call_soon_threadsafe(answered.set)
        return any(answered.wait(_ASK) for _ in range(_PATIENCE))
