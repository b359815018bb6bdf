"""oban on psycopg's async pool, one queue with a limit of 50."""

import asyncio
from collections.abc import Awaitable
from importlib.metadata import version
from typing import Any

import uvloop
from oban import Job, Oban, worker
from oban.schema import install

from benchmarks.contract import AT_ONCE, Program, payload, starts

_LIMIT = 50
_ROWS = 1000


@worker(queue="default")
class Deliver:
    """A job that does nothing."""

    async def process(self, job: Job) -> None:
        """Do nothing."""


@worker(queue="default")
class Mark:
    """A job that says when it began."""

    async def process(self, job: Job) -> None:
        """Say it."""
        starts.mark(job.args["order_id"])


class ObanProgram(Program):
    """``Oban.enqueue``, ``enqueue_many`` and a started ``Oban``."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self._loop = uvloop.new_event_loop()

    def settings(self) -> dict[str, str]:
        return {
            "version": version("oban"),
            "settings": f"psycopg pool of 10, uvloop, queue limit {_LIMIT}; bulk by enqueue_many, {_ROWS} a call",
        }

    def _run(self, doing: Awaitable[Any]) -> Any:
        return self._loop.run_until_complete(doing)

    def prepare(self) -> None:
        async def prepare() -> None:
            pool = await Oban.create_pool(self.store)
            await install(pool)
            await pool.close()

        self._run(prepare())

    def open(self) -> None:
        self._pool = self._run(Oban.create_pool(self.store, max_size=10))
        self._oban = Oban(pool=self._pool)

    async def _enqueue_some(self, first: int, end: int, step: int) -> None:
        for number in range(first, end, step):
            await self._oban.enqueue(Deliver.new(payload(number)))

    def enqueue_one_by_one(self, first: int, count: int) -> None:
        self._run(self._enqueue_some(first, first + count, 1))

    def enqueue_at_once(self, count: int) -> None:
        async def enqueue_all() -> None:
            await asyncio.gather(*(self._enqueue_some(first, count, AT_ONCE) for first in range(AT_ONCE)))

        self._run(enqueue_all())

    def enqueue_bulk(self, count: int) -> None:
        async def enqueue() -> None:
            for start in range(0, count, _ROWS):
                numbers = range(start, min(start + _ROWS, count))
                await self._oban.enqueue_many([Deliver.new(payload(number)) for number in numbers])

        self._run(enqueue())

    def enqueue_marked(self, number: int) -> None:
        self._run(self._oban.enqueue(Mark.new(payload(number))))

    def work(self, **options: Any) -> None:
        async def work() -> None:
            self._stopping = asyncio.Event()
            async with Oban(pool=self._pool, queues={"default": _LIMIT}):
                await self._stopping.wait()

        self._run(work())

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
