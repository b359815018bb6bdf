"""What the programs of systems with an async API share."""

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable
from typing import Any

import uvloop

from benchmarks.contract import AT_ONCE, Program

__all__ = ["ROWS", "AsyncProgram"]

ROWS = 1000
"""Jobs in one call of a bulk verb."""


class AsyncProgram(Program):
    """One event loop on uvloop for everything that a process does."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self.loop = uvloop.new_event_loop()

    def run(self, doing: Awaitable[Any]) -> Any:
        """Wait for something."""
        return self.loop.run_until_complete(doing)

    @abstractmethod
    async def enqueue(self, number: int) -> None:
        """Enqueue one job."""

    @abstractmethod
    async def enqueue_portion(self, numbers: range) -> None:
        """Enqueue at most ``ROWS`` jobs with one call."""

    async def _enqueue_some(self, first: int, end: int, step: int) -> None:
        for number in range(first, end, step):
            await self.enqueue(number)

    def enqueue_one_by_one(self, first: int, count: int) -> None:
        self.run(self._enqueue_some(first, first + count, 1))

    def enqueue_at_once(self, count: int) -> None:
        async def enqueue_all() -> None:
            await asyncio.gather(*(self._enqueue_some(first, count, AT_ONCE) for first in range(AT_ONCE)))

        self.run(enqueue_all())

    def enqueue_bulk(self, count: int) -> None:
        async def enqueue_all() -> None:
            for start in range(0, count, ROWS):
                await self.enqueue_portion(range(start, min(start + ROWS, count)))

        self.run(enqueue_all())
