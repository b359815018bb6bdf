"""The programs themselves: ``python -m tests.faults.programs NAME ARGUMENT...``."""

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from typing import Any

from turnspit import JobContext, Retry, Turnspit
from turnspit._runtime.worker.lookout import Lookout

LEASE, HEARTBEAT = 0.9, 0.3


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def make_app(url: str, ledger: str) -> Turnspit:
    """An app whose tasks write into a ledger, through connections of their own."""
    app = Turnspit(url, retry=Retry(attempts=3, delay=0), deadline=5)

    def write(job: JobContext, what: str) -> None:
        with sqlite3.connect(ledger, timeout=10) as connection:
            connection.execute("INSERT INTO ledger VALUES (?, ?, ?, ?)", (job.id, job.attempt, what, os.getpid()))
        connection.close()

    @app.task
    def note(job: JobContext, wait_for: str | None = None) -> int:
        """The effect, once the file ``wait_for`` is there."""
        write(job, "begun")
        say("inside", job.id)
        while wait_for is not None and not os.path.exists(wait_for):
            time.sleep(0.01)
        write(job, "done")
        say("done", job.id)
        return job.id

    @app.task
    def quick(number: int) -> int:
        return number

    return app


def make_ledger(path: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE ledger (job INTEGER, attempt INTEGER, what TEXT, pid INTEGER)")
    connection.close()


def waked(url: str, ledger: str) -> None:
    """A worker that hears of jobs by wakes, or not at all: it never looks by itself."""
    Lookout._interval = lambda self: 600.0  # type: ignore[method-assign]
    worker(url, ledger)


def worker(url: str, ledger: str, stage: str = "", concurrency: str = "1") -> None:
    """A worker whose runs stop for ever at a stage: ``claimed``, before the handler, or ``finished``, behind it."""
    app = make_app(url, ledger)

    @app.middleware
    async def stop_at_stage(job: JobContext, call_next: Callable[[JobContext], Any]) -> Any:
        say("claimed", job.id)
        if stage == "claimed":
            await asyncio.Event().wait()
        result = await call_next(job)
        if stage == "finished":
            say("finished", job.id)
            await asyncio.Event().wait()
        return result

    app.run_worker(
        concurrency=int(concurrency), lease=LEASE, heartbeat=HEARTBEAT, on_start=lambda _: say("started"), grace=1
    )


def drainer(url: str, ledger: str) -> None:
    """A worker that ends when nothing is left."""
    make_app(url, ledger).run_worker(concurrency=4, until_empty=True)


def producer(url: str, ledger: str, count: str) -> None:
    """Enqueues in groups, and says which jobs were accepted."""
    app = make_app(url, ledger)

    async def enqueue(number: int) -> None:
        job = await app.tasks["quick"].aenqueue(number)
        say("accepted", job.id)

    async def produce() -> None:
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        for first in range(0, int(count), 20):
            await asyncio.gather(*(enqueue(first + number) for number in range(20)))

    asyncio.run(produce())


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
