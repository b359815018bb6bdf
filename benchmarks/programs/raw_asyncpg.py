"""The raw limit of PostgreSQL with asyncpg: the statements of ``raw_psycopg``, on uvloop."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import asyncpg
import uvloop

from benchmarks.contract import AT_ONCE, Program
from benchmarks.programs.raw_sql import CLAIM, FINISH, INSERT, TABLES, text

_BATCH = 500


class RawAsyncpg(Program):
    """Statements in a loop; 64 at once on 64 connections."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self._stopping = threading.Event()
        self._loop = uvloop.new_event_loop()

    def settings(self) -> dict[str, str]:
        return {
            "version": "asyncpg " + asyncpg.__version__,
            "settings": f"the same on asyncpg and uvloop, binary COPY; 64 at once on {AT_ONCE} connections",
        }

    def prepare(self) -> None:
        self.open()
        self._run(self._connection.execute(TABLES))
        self._run(self._connection.close())

    def open(self) -> None:
        self._connection = self._run(asyncpg.connect(self.store))

    def _run(self, doing: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(doing)

    def enqueue_one_by_one(self, first: int, count: int) -> None:
        async def enqueue() -> None:
            insert = await self._connection.prepare(_numbered(INSERT))
            for number in range(first, first + count):
                await insert.fetchval("deliver", text(number))

        self._run(enqueue())

    def enqueue_at_once(self, count: int) -> None:
        async def enqueue_some(connection: Any, first: int) -> None:
            for number in range(first, count, AT_ONCE):
                await connection.fetchval(_numbered(INSERT), "deliver", text(number))

        async def enqueue_all() -> None:
            connections = [await asyncpg.connect(self.store) for _ in range(AT_ONCE)]
            await asyncio.gather(*(enqueue_some(each, first) for first, each in enumerate(connections)))

        self._run(enqueue_all())

    def enqueue_bulk(self, count: int) -> None:
        rows = (("deliver", text(number)) for number in range(count))
        self._run(self._connection.copy_records_to_table("jobs", records=rows, columns=("task", "args")))

    def work(self, **options: Any) -> None:
        self._run(self._work())

    async def _work(self) -> None:
        claim = await self._connection.prepare(_numbered(CLAIM))
        finish = await self._connection.prepare(_numbered(FINISH))
        done: list[int] = []
        while not self._stopping.is_set():
            async with self._connection.transaction():
                if done:
                    await finish.fetch(done)
                done = [row[0] for row in await claim.fetch(_BATCH)]
            if not done:
                await asyncio.sleep(0.001)

    def stop(self) -> None:
        self._stopping.set()


def _numbered(sql: str) -> str:
    """The statement with asyncpg's placeholders."""
    first, *others = sql.split("%s")
    return first + "".join(f"${place}{part}" for place, part in enumerate(others, start=1))
