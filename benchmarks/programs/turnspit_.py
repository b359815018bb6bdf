"""Turnspit as it comes, on either engine: public API, every default."""

import asyncio
import importlib.util
import os
import signal
from typing import Any

import turnspit
from benchmarks.contract import AT_ONCE, Program, payload, starts
from turnspit import Turnspit

app = Turnspit()


@app.task
async def deliver(to: str, order_id: int, note: str) -> None:
    """A job that does nothing."""


@app.task
def deliver_in_thread(to: str, order_id: int, note: str) -> None:
    """A job that does nothing, in a thread."""


@app.task
async def mark(to: str, order_id: int, note: str) -> None:
    """A job that says when it began."""
    starts.mark(order_id)


class TurnspitProgram(Program):
    """``enqueue``, ``aenqueue``, ``enqueue_many``, ``run_worker``."""

    def settings(self) -> dict[str, str]:
        loop = "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
        return {"version": turnspit.__version__, "settings": f"defaults; concurrency 10, on {loop}"}

    def open(self) -> None:
        app.configure(self.store)
        app.jobs.count()

    def enqueue_one_by_one(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            deliver.enqueue(**payload(number))

    def enqueue_at_once(self, count: int) -> None:
        async def enqueue_some(first: int) -> None:
            for number in range(first, count, AT_ONCE):
                await deliver.aenqueue(**payload(number))

        async def enqueue_all() -> None:
            await asyncio.gather(*(enqueue_some(first) for first in range(AT_ONCE)))

        asyncio.run(enqueue_all())

    def enqueue_bulk(self, count: int) -> None:
        app.enqueue_many(deliver.new(**payload(number)) for number in range(count))

    def enqueue_marked(self, number: int) -> None:
        mark.enqueue(**payload(number))

    def work(self, **options: Any) -> None:
        app.run_worker(**options)

    def stop(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
