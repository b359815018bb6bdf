"""A real worker on a private store: time passes when the test says so, and the rest is real."""

import threading
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from turnspit import Event, JobContext, Retry, Turnspit
from turnspit.clock import monotonic
from turnspit.records import WorkerRecord
from turnspit.testing import TestStore


def test_advance_wakes_a_worker_that_is_running(t: TestStore) -> None:
    @t.app.task(retry=Retry(attempts=3, delay=timedelta(days=1)))
    async def unreliable() -> str:
        attempts.append(t.now)
        if len(attempts) < 3:
            failed.set()
            raise ConnectionError("no")
        return "done"

    attempts: list[object] = []
    failed = threading.Event()
    rescheduled = threading.Event()

    @t.app.on("failed")
    def note(event: Event) -> None:
        rescheduled.set()

    start = t.now
    with t.app.worker():
        job = unreliable.enqueue()
        for _ in range(2):
            assert rescheduled.wait(30)
            rescheduled.clear()
            t.advance(timedelta(days=1))
        assert job.get_result(timeout=30) == "done"
    assert attempts == [start, start + timedelta(days=1), start + timedelta(days=2)]


def test_a_leap_of_the_clock_costs_a_worker_nothing(t: TestStore) -> None:
    """Its heartbeat comes by the machine's time and writes the store's."""

    @t.app.task
    async def nothing() -> None: ...

    with t.app.worker(heartbeat=0.01):
        t.advance(3600)
        assert nothing.enqueue().get_result(timeout=30) is None
        deadline = monotonic() + 30
        while live_workers(t)[0].renewed_at < t.clock.now() and monotonic() < deadline:
            continue
        assert [(worker.id, worker.renewed_at) for worker in live_workers(t)] == [(1, t.clock.now())]


def test_a_worker_that_maintain_declared_dead_comes_back(t: TestStore) -> None:
    @t.app.task
    async def nothing() -> None: ...

    with t.app.worker(heartbeat=0.1):
        [first] = live_workers(t)
        while first.id in [worker.id for worker in live_workers(t)]:  # until maintain comes before the next heartbeat
            t.advance(3600)
            t.maintain()
        assert nothing.enqueue().get_result(timeout=30) is None
        assert [worker.id > first.id for worker in live_workers(t)] == [True]


def live_workers(t: TestStore) -> list[WorkerRecord]:
    engine = t.app.engine
    return [each for each in engine.read(engine.list_workers) if each.stopped_at is None]


def test_resources_of_the_test_are_every_worker_s(t: TestStore) -> None:
    @t.app.lifespan
    async def lifespan(app: Turnspit) -> AsyncIterator[dict[str, str]]:
        raise AssertionError("the real mail server would be connected here")
        yield {}

    @t.app.task
    async def send(job: JobContext) -> str:
        return str(job.resources["mail"])

    t.resources = {"mail": "a fake"}
    with t.app.worker():
        assert send.enqueue().get_result(timeout=30) == "a fake"


def test_drain_beside_a_worker(t: TestStore) -> None:
    """Whoever claims a job runs it: both use the same store."""

    @t.app.task
    async def count(number: int) -> int:
        return number

    t.app.enqueue_many(count.new(number=number) for number in range(50))
    with t.app.worker():
        t.drain()
    t.drain()
    t.assert_enqueued(count, times=50, state="completed")
    assert all(len(job.attempts) == 1 for job in t.enqueued())


@pytest.mark.parametrize("concurrency", [1, 10])
def test_a_worker_until_empty(t: TestStore, concurrency: int) -> None:
    @t.app.task
    async def nothing() -> None: ...

    t.app.enqueue_many(nothing.new() for _ in range(20))
    worker = t.app.worker(until_empty=True, concurrency=concurrency)
    with worker:
        worker.wait()
    t.assert_enqueued(nothing, times=20, state="completed")
