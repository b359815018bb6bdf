"""One timer for the earliest of many moments: who ends in time costs no timer of its own."""

import asyncio
from collections.abc import Callable

from turnspit.clock import monotonic

__all__ = ["Alarm"]


class Alarm:
    """Calls a function once, at the earliest moment that it was set to; used on the event loop."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._at = 0.0
        # A plain Handle where it is due at once: uvloop has no timers for that, and no when() to ask for.
        self._timer: asyncio.Handle | None = None

    def set(self, delay: float) -> None:
        """Ring in so many seconds, unless it rings sooner anyway."""
        at = monotonic() + delay
        if self._timer is None or at < self._at:
            self.clear()
            self._at = at
            self._timer = self._loop.call_later(max(0.0, delay), self._go_off)

    def clear(self) -> None:
        """Do not ring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_off(self) -> None:
        self._timer = None
        self._ring()
