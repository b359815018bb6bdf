"""awa with Python handlers on its queue storage, one completion shard and as many workers as it has for no-op jobs."""

import asyncio
import os
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from awa import AsyncClient, Job

from benchmarks.async_program import ROWS, AsyncProgram
from benchmarks.contract import payload, starts

_WORKERS = 1024
_COMPLETION_SHARDS = "1"  # its default for so many workers is 4, which drained a quarter slower on two cores


@dataclass
class Deliver:
    """A job that does nothing."""

    to: str
    order_id: int
    note: str


@dataclass
class Mark(Deliver):
    """A job that says when it began."""


async def deliver(job: Job) -> None:
    """Do nothing."""


async def mark(job: Job) -> None:
    """Say when it began."""
    starts.mark(job.args.order_id)


class AwaProgram(AsyncProgram):
    """``insert``, ``enqueue_many_copy`` and a started ``AsyncClient``."""

    def settings(self) -> dict[str, str]:
        return {
            "version": version("awa-pg"),
            "settings": f"queue storage, max_workers {_WORKERS}, AWA_COMPLETION_SHARDS={_COMPLETION_SHARDS}, pool of "
            "10, uvloop, all else default (claims of 512, completions in batches of 512 every 1 ms, poll 200 ms); "
            f"bulk by enqueue_many_copy, {ROWS} a call; completed jobs are pruned within seconds, their number is kept",
        }

    def prepare(self) -> None:
        async def prepare() -> None:
            async with AsyncClient(self.store) as client:
                await client.migrate()
                await client.install_queue_storage()

        self.run(prepare())

    def open(self) -> None:
        self._client = AsyncClient(self.store)

    async def enqueue(self, number: int) -> None:
        await self._client.insert(Deliver(**payload(number)))

    async def enqueue_portion(self, numbers: range) -> None:
        await self._client.enqueue_many_copy([Deliver(**payload(number)) for number in numbers])

    def enqueue_marked(self, number: int) -> None:
        async def enqueue() -> None:
            await self._client.insert(Mark(**payload(number)))

        self.run(enqueue())

    def work(self, **options: Any) -> None:
        async def work() -> None:
            self._stopping = asyncio.Event()
            self._client.task(Deliver)(deliver)
            self._client.task(Mark)(mark)
            await self._client.start([("default", _WORKERS)])
            await self._stopping.wait()
            await self._client.shutdown()

        os.environ["AWA_COMPLETION_SHARDS"] = _COMPLETION_SHARDS
        self.run(work())

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stopping.set)
