"""procrastinate with its async psycopg connector, concurrency 10."""

import asyncio
from collections.abc import Awaitable
from importlib.metadata import version
from typing import Any

import procrastinate
import uvloop

from benchmarks.contract import AT_ONCE, Program, payload, starts

_ROWS = 1000


class ProcrastinateProgram(Program):
    """``defer_async``, ``batch_defer_async``, ``run_worker_async``."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self._loop = uvloop.new_event_loop()
        self._app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=store))

        @self._app.task(name="deliver")
        async def deliver(to: str, order_id: int, note: str) -> None:
            """A job that does nothing."""

        @self._app.task(name="mark")
        async def mark(to: str, order_id: int, note: str) -> None:
            starts.mark(order_id)

        self._deliver, self._mark = deliver, mark

    def settings(self) -> dict[str, str]:
        return {
            "version": version("procrastinate"),
            "settings": f"async psycopg connector, uvloop, concurrency=10; bulk {_ROWS} rows a call",
        }

    def _run(self, doing: Awaitable[Any]) -> Any:
        return self._loop.run_until_complete(doing)

    def prepare(self) -> None:
        async def prepare() -> None:
            async with self._app.open_async():
                await self._app.schema_manager.apply_schema_async()

        self._run(prepare())

    def open(self) -> None:
        self._run(self._app.open_async())

    async def _enqueue_some(self, first: int, count: int, step: int) -> None:
        for number in range(first, first + count, step):
            await self._deliver.defer_async(**payload(number))

    def enqueue_one_by_one(self, first: int, count: int) -> None:
        self._run(self._enqueue_some(first, count, 1))

    def enqueue_at_once(self, count: int) -> None:
        async def enqueue_all() -> None:
            await asyncio.gather(*(self._enqueue_some(first, count - first, AT_ONCE) for first in range(AT_ONCE)))

        self._run(enqueue_all())

    def enqueue_bulk(self, count: int) -> None:
        async def enqueue() -> None:
            for start in range(0, count, _ROWS):
                rows = [payload(number) for number in range(start, min(start + _ROWS, count))]
                await self._deliver.batch_defer_async(*rows)

        self._run(enqueue())

    def enqueue_marked(self, number: int) -> None:
        self._run(self._mark.defer_async(**payload(number)))

    def work(self, **options: Any) -> None:
        working = self._app.run_worker_async(concurrency=10, install_signal_handlers=False)
        self._worker = self._loop.create_task(working)
        self._run(asyncio.wait([self._worker]))

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._worker.cancel)
