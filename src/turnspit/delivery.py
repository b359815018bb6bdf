"""Tells an event loop that answers have arrived from other threads."""

import asyncio
import weakref
from collections import deque

__all__ = ["Delivery", "delivery_to"]


class Delivery:
    """Wakes an event loop when answers arrive: once for all that arrive together, because a wake costs a system call.

    Each loop has one: see ``delivery_to``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._answered: deque[asyncio.Future[bool]] = deque()
        self._is_due = False

    def add(self, waiting: "asyncio.Future[bool]") -> None:
        """Make ``waiting`` true in its event loop: its answer has arrived. From any thread."""
        self._answered.append(waiting)
        loop = self._loop()
        if self._is_due or loop is None:
            return
        self._is_due = True
        try:
            loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the loop was closed: what is kept here would keep it
            self._is_due = False
            self._answered.clear()

    def _deliver(self) -> None:
        self._is_due = False  # first: what is added from now on makes it due again
        while self._answered:
            waiting = self._answered.popleft()
            if not waiting.done():
                waiting.set_result(True)


_deliveries: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Delivery]" = weakref.WeakKeyDictionary()


def delivery_to(loop: asyncio.AbstractEventLoop) -> Delivery:
    """The delivery to this event loop, made at the first call; called while the loop runs."""
    delivery = _deliveries.get(loop)
    if delivery is None:
        delivery = _deliveries[loop] = Delivery(loop)
    return delivery
