"""oban on psycopg's async pool, one queue with a limit of 50."""

import asyncio
from importlib.metadata import version
from typing import Any

from oban import Job, Oban, worker
from oban.schema import install

from benchmarks.async_program import ROWS, AsyncProgram
from benchmarks.contract import payload, starts

_LIMIT = 50


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


class ObanProgram(AsyncProgram):
    """``Oban.enqueue``, ``enqueue_many`` and a started ``Oban``."""

    def settings(self) -> dict[str, str]:
        return {
            "version": version("oban"),
            "settings": f"psycopg pool of 10, uvloop, queue limit {_LIMIT}; bulk by enqueue_many, {ROWS} a call",
        }

    def prepare(self) -> None:
        async def prepare() -> None:
            pool = await Oban.create_pool(self.store)
            await install(pool)
            await pool.close()

        self.run(prepare())

    def open(self) -> None:
        self._pool = self.run(Oban.create_pool(self.store, max_size=10))
        self._oban = Oban(pool=self._pool)

    async def enqueue(self, number: int) -> None:
        await self._oban.enqueue(Deliver.new(payload(number)))

    async def enqueue_portion(self, numbers: range) -> None:
        await self._oban.enqueue_many([Deliver.new(payload(number)) for number in numbers])

    def enqueue_marked(self, number: int) -> None:
        self.run(self._oban.enqueue(Mark.new(payload(number))))

    def work(self, **options: Any) -> None:
        async def work() -> None:
            self._stopping = asyncio.Event()
            async with Oban(pool=self._pool, queues={"default": _LIMIT}):
                await self._stopping.wait()

        self.run(work())

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stopping.set)
