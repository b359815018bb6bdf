"""chancy with its asyncio executor and eager polling."""

import asyncio
from importlib.metadata import version
from typing import Any

from chancy import Chancy, Queue, Worker, job

from benchmarks.async_program import ROWS, AsyncProgram
from benchmarks.contract import payload, starts

_CONCURRENCY = 50


@job(queue="default")
async def deliver(*, to: str, order_id: int, note: str) -> None:
    """A job that does nothing."""


@job(queue="default")
async def mark(*, to: str, order_id: int, note: str) -> None:
    """A job that says when it began."""
    starts.mark(order_id)


class ChancyProgram(AsyncProgram):
    """``push``, ``push_many`` and ``Worker``."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self._chancy = Chancy(store)

    def settings(self) -> dict[str, str]:
        return {
            "version": version("chancy"),
            "settings": f"AsyncExecutor, concurrency {_CONCURRENCY}, eager_polling, polling_interval 1 s, uvloop; bulk "
            f"by push_many, {ROWS} a call",
        }

    def prepare(self) -> None:
        async def prepare() -> None:
            async with Chancy(self.store) as chancy:
                await chancy.migrate()
                queue = Queue(
                    "default",
                    concurrency=_CONCURRENCY,
                    executor="chancy.executors.asyncex.AsyncExecutor",
                    polling_interval=1,
                    eager_polling=True,
                )
                await chancy.declare(queue)

        self.run(prepare())

    def open(self) -> None:
        self.run(self._chancy.pool.open())

    async def enqueue(self, number: int) -> None:
        await self._chancy.push(deliver.job.with_kwargs(**payload(number)))

    async def enqueue_portion(self, numbers: range) -> None:
        async for _ in self._chancy.push_many([deliver.job.with_kwargs(**payload(number)) for number in numbers]):
            pass

    def enqueue_marked(self, number: int) -> None:
        self.run(self._chancy.push(mark.job.with_kwargs(**payload(number))))

    def work(self, **options: Any) -> None:
        async def work() -> None:
            self._stopping = asyncio.Event()
            async with Worker(self._chancy, register_signal_handlers=False):
                await self._stopping.wait()

        self.run(work())

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stopping.set)
