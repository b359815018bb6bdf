"""pgqueuer on asyncpg: its fastest driver, with uvloop as its documentation recommends, 100 jobs a claim."""

import asyncio
import json
from importlib.metadata import version
from typing import Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks.async_program import ROWS, AsyncProgram
from benchmarks.contract import AT_ONCE, payload, starts

_BATCH = 100


class PgQueuerProgram(AsyncProgram):
    """``Queries.enqueue`` and ``PgQueuer.run``."""

    def settings(self) -> dict[str, str]:
        return {
            "version": version("pgqueuer"),
            "settings": f"asyncpg, uvloop, batch_size={_BATCH}, durability durable; bulk {ROWS} rows a call; "
            "64 at once on a pool of 10",
        }

    def prepare(self) -> None:
        self.open()
        self.run(self._queries.install())
        self.run(self._connection.close())

    def open(self) -> None:
        self._connection = self.run(asyncpg.connect(self.store))
        self._queries = Queries(AsyncpgDriver(self._connection))

    async def enqueue(self, number: int) -> None:
        await self._queries.enqueue("deliver", _body(number))

    async def enqueue_portion(self, numbers: range) -> None:
        bodies = [_body(number) for number in numbers]
        await self._queries.enqueue(["deliver"] * len(bodies), bodies, [0] * len(bodies))

    def enqueue_at_once(self, count: int) -> None:
        async def enqueue_all() -> None:
            async with asyncpg.create_pool(self.store, min_size=10, max_size=10) as pool:

                async def enqueue_some(first: int) -> None:
                    for number in range(first, count, AT_ONCE):
                        async with pool.acquire() as connection:
                            await Queries(AsyncpgDriver(connection)).enqueue("deliver", _body(number))

                await asyncio.gather(*(enqueue_some(first) for first in range(AT_ONCE)))

        self.run(enqueue_all())

    def enqueue_marked(self, number: int) -> None:
        self.run(self._queries.enqueue("mark", _body(number)))

    def work(self, **options: Any) -> None:
        self._queuer = PgQueuer(AsyncpgDriver(self._connection))

        @self._queuer.entrypoint("deliver")
        async def deliver(job: Job) -> None:
            json.loads(job.payload or b"")

        @self._queuer.entrypoint("mark")
        async def mark(job: Job) -> None:
            starts.mark(json.loads(job.payload or b"")["order_id"])

        self.run(self._queuer.run(batch_size=_BATCH))

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._queuer.shutdown.set)


def _body(number: int) -> bytes:
    return json.dumps(payload(number)).encode()
