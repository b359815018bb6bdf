"""chancy with its asyncio executor and eager polling."""

import asyncio
from collections.abc import Awaitable
from importlib.metadata import version
from typing import Any

import uvloop
from chancy import Chancy, Queue, Worker, job

from benchmarks.contract import AT_ONCE, Program, payload, starts

_CONCURRENCY = 50


@job(queue="default")
async def deliver(*, to: str, order_id: int, note: str) -> None:
    """A job that does nothing."""


@job(queue="default")
async def mark(*, to: str, order_id: int, note: str) -> None:
    """A job that says when it began."""
    starts.mark(order_id)


class ChancyProgram(Program):
    """``push``, ``push_many`` and ``Worker``."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self._loop = uvloop.new_event_loop()
        self._chancy = Chancy(store)

    def settings(self) -> dict[str, str]:
        return {
            "version": version("chancy"),
            "settings": f"AsyncExecutor, concurrency {_CONCURRENCY}, eager_polling, polling_interval 1 s, uvloop; bulk "
            "by push_many, 1000 a call",
        }

    def _run(self, doing: Awaitable[Any]) -> Any:
        return self._loop.run_until_complete(doing)

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

        self._run(prepare())

    def open(self) -> None:
        self._run(self._chancy.pool.open())

    async def _enqueue_some(self, first: int, end: int, step: int) -> None:
        for number in range(first, end, step):
            await self._chancy.push(deliver.job.with_kwargs(**payload(number)))

    def enqueue_one_by_one(self, first: int, count: int) -> None:
        self._run(self._enqueue_some(first, first + count, 1))

    def enqueue_at_once(self, count: int) -> None:
        async def enqueue_all() -> None:
            await asyncio.gather(*(self._enqueue_some(first, count, AT_ONCE) for first in range(AT_ONCE)))

        self._run(enqueue_all())

    def enqueue_bulk(self, count: int) -> None:
        async def enqueue() -> None:
            jobs = [deliver.job.with_kwargs(**payload(number)) for number in range(count)]
            async for _ in self._chancy.push_many(jobs):
                pass

        self._run(enqueue())

    def enqueue_marked(self, number: int) -> None:
        self._run(self._chancy.push(mark.job.with_kwargs(**payload(number))))

    def work(self, **options: Any) -> None:
        async def work() -> None:
            self._stopping = asyncio.Event()
            async with Worker(self._chancy, register_signal_handlers=False):
                await self._stopping.wait()

        self._run(work())

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
