"""The app of a soak: tasks of every kind, which write what they do into the ledger."""

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from soak.ledger import Ledger
from soak.stores import open_own
from turnspit import Cancel, Concurrency, Every, GiveUp, JobContext, Retry, Snooze, Turnspit

__all__ = ["LEASE", "declare_limited", "make_app"]

LEASE = 4.0
_QUICK = Retry(attempts=4, delay=0.2)


def _fence(job: JobContext) -> int:
    """The result of every task: the fence of its claim, so that a stale write would be noticed."""
    return job._claim.fence


def make_app(url: str, ledger: Ledger) -> Turnspit:
    """The same app in producers and workers."""
    app = Turnspit(url, retry=_QUICK, timeout=60, deadline=5, keep_history=None)

    @app.middleware
    async def write_down(job: JobContext, call_next: Callable[[JobContext], Any]) -> Any:
        ledger.write("begun", job.id, _fence(job), str(os.getpid()))
        try:
            return await call_next(job)
        finally:
            if job.stop_reason is not None:
                ledger.write("told", job.id, _fence(job), job.stop_reason)
            ledger.write("ended", job.id, _fence(job))

    _declare_simple(app)
    _declare_unruly(app)
    _declare_transactional(app, url)
    return app


def _declare_simple(app: Turnspit) -> None:
    @app.task
    async def quick(job: JobContext) -> int:
        return _fence(job)

    @app.task(queue="slow")
    async def slow(job: JobContext, seconds: float) -> int:
        await asyncio.sleep(seconds)
        job.progress(0.5, "half")
        await asyncio.sleep(seconds)
        return _fence(job)

    @app.task(queue="threads")
    def threaded(job: JobContext, seconds: float) -> int:
        job.wait_cancelled(seconds)
        job.raise_if_cancelled()
        return _fence(job)


def _declare_unruly(app: Turnspit) -> None:
    @app.task(queue="unruly")
    async def flaky(job: JobContext, failures: int) -> int:
        if job.attempt <= failures:
            raise ConnectionError(f"attempt {job.attempt}")
        return _fence(job)

    @app.task(queue="unruly")
    async def snoozing(job: JobContext) -> int:
        if random.random() < 0.5:
            raise Snooze(0.2)
        return _fence(job)

    @app.task(queue="unruly")
    async def ends_otherwise(job: JobContext, how: str) -> int:
        raise GiveUp("by design") if how == "dead" else Cancel("by design")

    @app.task(queue="unruly", timeout=0.3, retry=Retry(attempts=2, delay=0.1))
    async def too_slow(job: JobContext) -> int:
        await asyncio.sleep(30)
        return _fence(job)


def _declare_transactional(app: Turnspit, url: str) -> None:
    @app.task(queue="transactions")
    def charge(job: JobContext) -> int:
        """Its effect and its end are one commit."""
        with open_own(url) as connection:
            connection.begin()
            connection.execute("INSERT INTO soak_effects (job) VALUES (%s)", job.id)
            job.finish(connection.tx, _fence(job))
            connection.commit()
        return _fence(job)

    @app.task(queue="transactions")
    async def ordered(job: JobContext) -> int:
        return _fence(job)

    @app.task(queue="transactions")
    async def never(job: JobContext) -> int:
        """Only enqueued in transactions that are rolled back."""
        return _fence(job)


def declare_limited(app: Turnspit, ledger: Ledger) -> None:
    """The tasks that a soak has beyond those of the fault tests: ticks of a schedule, and jobs in order."""

    @app.task(queue="ticks", schedule=Every(seconds=1, missed="run_all"))
    async def ticking(job: JobContext) -> int:
        assert job.tick is not None
        ledger.write("tick", job.id, _fence(job), str(round(job.tick.timestamp() * 1_000_000)))
        return _fence(job)

    @app.task(queue="booking", concurrency=Concurrency(1, key="account", ordered=True))
    async def booking(job: JobContext, account: int) -> int:
        ledger.write("booked", job.id, _fence(job), str(account))
        await asyncio.sleep(random.random() / 100)
        if job.attempt == 1 and random.random() < 0.1:
            raise ConnectionError("once")
        return _fence(job)


def ledger_in(folder: str) -> Ledger:
    """The ledger of this process."""
    return Ledger(Path(folder))
