"""The one lifecycle of every loop: run once, sleep, back off on error, stop."""

import asyncio
import contextlib
import logging
import random
from typing import Protocol

from turnspit._runtime.outage import Outage
from turnspit.clock import monotonic

__all__ = ["Backoff", "Duty", "Service"]

logger = logging.getLogger("turnspit")


class Backoff:
    """Delays that double from ``first`` to ``longest`` seconds until ``reset``, each drawn from its upper half."""

    def __init__(self, first: float = 0.1, longest: float = 5.0) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def delay(self) -> float:
        """The next delay in seconds."""
        delay = random.uniform(self._next / 2, self._next)  # noqa: S311  (jitter, not a secret)
        self._next = min(self._longest, self._next * 2)
        return delay

    def reset(self) -> None:
        """Begin again: it worked."""
        self._next = self._first


class Duty(Protocol):
    """What a service does again and again."""

    name: str

    async def run_once(self) -> float:
        """Do what is due; seconds until the next time."""
        ...


class Service:
    """Runs a duty until it is stopped. ``wake`` runs it at once; ``rounds`` counts, for tests that await it.

    :param outage: what is said of a store that is away, shared by all who ask it.
    """

    def __init__(self, duty: Duty, outage: Outage | None = None) -> None:
        self.duty = duty
        self._outage = outage or Outage()
        self.rounds = 0
        self._woken = asyncio.Event()
        self._done = asyncio.Condition()
        self._backoff = Backoff()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._task = asyncio.create_task(self._run(), name=f"turnspit {self.duty.name}")

    def wake(self) -> None:
        """Run the duty now, or again if it is running."""
        self._woken.set()

    async def stop(self) -> None:
        """End; a round that is under way is cancelled."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def wait_round(self) -> None:
        """Wait until one more round has ended. For tests."""
        before = self.rounds
        async with self._done:
            await self._done.wait_for(lambda: self.rounds > before)

    async def _run(self) -> None:
        while True:
            delay = await self._round()
            async with self._done:
                self.rounds += 1
                self._done.notify_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._woken.wait()

    async def _round(self) -> float:
        self._woken.clear()
        started = monotonic()
        try:
            delay = await self.duty.run_once()
        except Exception as error:
            delay = self._backoff.delay()
            self._outage.failed(self.duty.name, error, delay)
        else:
            self._backoff.reset()
            self._outage.answered(self.duty.name)
            logger.debug("%s took %.1f ms", self.duty.name, (monotonic() - started) * 1000)
        return delay
