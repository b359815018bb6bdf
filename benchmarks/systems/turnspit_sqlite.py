"""Turnspit on SQLite, as it comes: every default, ``synchronous=FULL``."""

import asyncio
import importlib.util
import os
import signal
import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import turnspit
from benchmarks.contract import AT_ONCE, System, payload, starts
from benchmarks.systems.sqlite_store import Look
from turnspit import Turnspit

app = Turnspit()


@app.task
async def deliver(to: str, order_id: int, note: str) -> None:
    """A job that does nothing."""


@app.task
async def mark(to: str, order_id: int, note: str) -> None:
    """A job that says when it began."""
    starts.mark(order_id)


class TurnspitOnSqlite(System):
    """Turnspit's public API and its worker."""

    name = "turnspit"

    def __init__(self, store: Path) -> None:
        super().__init__(store)
        self._look = Look(store)

    @classmethod
    def settings(cls) -> dict[str, str]:
        loop = "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
        return {
            "version": turnspit.__version__,
            "durability": "WAL, synchronous=FULL",
            "settings": f"defaults; worker process on {loop}, concurrency 10; embedded worker on asyncio",
            "sqlite": sqlite3.sqlite_version,
        }

    def open(self) -> None:
        app.configure(f"sqlite:///{self.store}")
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

    def work(self) -> None:
        app.run_worker()

    def stop(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def inside(self) -> AbstractContextManager[Any]:
        return app.worker()

    def is_drained(self) -> bool:
        return not self._look.number("SELECT 1 FROM turnspit_jobs LIMIT 1")

    def count_completed(self) -> int:
        return self._look.number("SELECT count(*) FROM turnspit_history WHERE state = 'completed'")

    def count_untouched(self) -> int:
        return self._look.number("SELECT count(*) FROM turnspit_jobs WHERE state = 'ready' AND fence = 0")
