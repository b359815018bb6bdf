"""procrastinate with its async psycopg connector, concurrency 10."""

import asyncio
from importlib.metadata import version
from typing import Any

import procrastinate

from benchmarks.async_program import ROWS, AsyncProgram
from benchmarks.contract import payload, starts


class ProcrastinateProgram(AsyncProgram):
    """``defer_async``, ``batch_defer_async``, ``run_worker_async``."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
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
            "settings": f"async psycopg connector, uvloop, concurrency=10; bulk {ROWS} rows a call",
        }

    def prepare(self) -> None:
        async def prepare() -> None:
            async with self._app.open_async():
                await self._app.schema_manager.apply_schema_async()

        self.run(prepare())

    def open(self) -> None:
        self.run(self._app.open_async())

    async def enqueue(self, number: int) -> None:
        await self._deliver.defer_async(**payload(number))

    async def enqueue_portion(self, numbers: range) -> None:
        await self._deliver.batch_defer_async(*(payload(number) for number in numbers))

    def enqueue_marked(self, number: int) -> None:
        self.run(self._mark.defer_async(**payload(number)))

    def work(self, **options: Any) -> None:
        working = self._app.run_worker_async(concurrency=10, install_signal_handlers=False)
        self._worker = self.loop.create_task(working)
        self.run(asyncio.wait([self._worker]))

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._worker.cancel)
