"""Behind the wakes stands one question: what is there to do? It finds all that a wake would have told."""

import asyncio
import time
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE, url_of
from tests.postgres import server
from tests.proxy import Proxy
from turnspit import JobCancelled, JobContext, Turnspit
from turnspit._runtime.worker.settings import WorkerSettings
from turnspit._runtime.worker.worker import Worker


@pytest.fixture
def deaf(app: Turnspit, monkeypatch: pytest.MonkeyPatch) -> Turnspit:
    """A second app on the same store, which hears no wake at all."""
    deaf = Turnspit(url_of(app))
    monkeypatch.setattr(type(deaf.engine.wakeups), "listen", lambda *_: lambda: None)
    monkeypatch.setattr(type(deaf.engine.wakeups), "arrive", property(lambda self: False))
    yield deaf
    deaf.close()


def test_jobs_and_due_times_are_found_without_wakes(app: Turnspit, deaf: Turnspit) -> None:
    @deaf.task
    async def double(number: int) -> int:
        return number * 2

    app.task(double.function)
    task = app.tasks["double"]
    with deaf.worker():
        assert task.enqueue(1).get_result(timeout=DEADLINE) == 2
        assert task.using(delay=0.3).enqueue(2).get_result(timeout=DEADLINE) == 4


def test_a_cancellation_is_found_without_wakes(app: Turnspit, deaf: Turnspit) -> None:
    began = asyncio.Event()

    @deaf.task
    async def wait(job: JobContext) -> None:
        began.set()
        await asyncio.Event().wait()

    async def main() -> float:
        async with deaf.worker():
            job = await wait.aenqueue()
            await asyncio.wait_for(began.wait(), DEADLINE)
            asked = time.monotonic()
            await app.jobs.acancel(job.id)
            with pytest.raises(JobCancelled):
                await app.jobs.get(job.id).aget_result(timeout=DEADLINE)
            return time.monotonic() - asked

    assert asyncio.run(main()) < DEADLINE


def test_it_looks_twice_a_second_while_a_job_runs_and_no_wake_arrives(app: Turnspit, deaf: Turnspit) -> None:
    """So a job whose end was requested stops within a second also behind a transaction pooler."""

    async def main() -> tuple[float, float]:
        worker = Worker(deaf.worker_parts(), WorkerSettings())
        lookout: Any = worker.services["lookout"].duty
        idle = lookout._interval()
        worker.executor.running[1] = None  # type: ignore[assignment]
        return idle, lookout._interval()

    assert asyncio.run(main()) == (1.0, 0.5)


def test_an_idle_worker_makes_less_than_one_query_a_second(app: Turnspit) -> None:
    """All of them: the lookout, heartbeats, maintenance. Counted on the wire, as PostgreSQL sees it."""
    if "postgresql" not in url_of(app):
        pytest.skip("a file has no wire; the benchmark states the processor time of an idle worker there")
    app.migrate()

    async def main(url: str, proxy: Proxy) -> tuple[int, float]:
        with Turnspit(url) as idle:
            async with idle.worker() as embedded:
                worker = embedded._worker
                assert worker is not None
                lookout = worker.services["lookout"]
                for _ in range(2):  # what each duty does once at the start is over then
                    await lookout.wait_round()
                seen, began = len(proxy.statements), time.monotonic()
                for _ in range(6):  # with the shortest looks nine seconds: at the edges a heartbeat more counts little
                    await lookout.wait_round()
                asked = [sql for sql in proxy.statements[seen:] if sql not in ("BEGIN", "COMMIT")]
                return len(asked), time.monotonic() - began

    with Proxy(server(18).port) as proxy:
        queries, seconds = asyncio.run(main(proxy.url(url_of(app)), proxy))
    assert queries <= seconds, f"{queries} in {seconds:.1f} s"
