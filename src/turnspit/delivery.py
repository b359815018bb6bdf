"""Answers on their way from threads to an event loop."""

import asyncio
import weakref
from collections import deque

__all__ = ["Delivery", "delivery_to"]


class Delivery:
    """Wakes an event loop for answers: once for all that come at about the same time, because it costs a system call.

    There is one for each loop: see ``delivery_to``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._answered: deque[asyncio.Future[bool]] = deque()
        self._is_due = False

    def add(self, own: "asyncio.Future[bool]") -> None:
        """An answer is there: ``own`` becomes true. From any thread."""
        self._answered.append(own)
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
            own = self._answered.popleft()
            if not own.done():
                own.set_result(True)


_deliveries: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Delivery]" = weakref.WeakKeyDictionary()


def delivery_to(loop: asyncio.AbstractEventLoop) -> Delivery:
    """The one of this loop, which is running."""
    delivery = _deliveries.get(loop)
    if delivery is None:
        delivery = _deliveries[loop] = Delivery(loop)
    return delivery
