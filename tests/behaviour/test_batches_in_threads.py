"""Batch tasks on a plain ``def``: the same as those on ``async def``, in a thread."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE, SOON, has_begun, wait_until
from turnspit import Batch, JobContext, JobDead, JobState, Retry, Turnspit
from turnspit._runtime.worker.settings import WorkerSettings
from turnspit._runtime.worker.worker import Worker
from turnspit.testing import override


def test_one_bad_item_fails_alone(app: Turnspit) -> None:
    threads: set[str] = set()
    wrapped: list[int] = []

    @app.middleware
    def around(job: JobContext, call_next: Callable[[JobContext], Any]) -> Any:
        wrapped.append(job.id)
        return call_next(job)

    @app.batch_task(size=3, wait=DEADLINE, retry=Retry(attempts=1))
    def index(batch: Batch[int]) -> None:
        threads.add(threading.current_thread().name)
        for item in batch:
            if item.value == 2:
                item.fail(StopIteration("a bad document"))
            else:
                item.complete(item.value * 2)

    jobs = [index.enqueue(number) for number in (1, 2, 3)]
    with app.worker():
        assert [jobs[0].get_result(DEADLINE), jobs[2].get_result(DEADLINE)] == [2, 6]
        with pytest.raises(JobDead, match="StopIteration"):
            jobs[1].get_result(DEADLINE)
    assert all(name.startswith("turnspit-job") for name in threads)
    assert wrapped == [jobs[0].id], "plain middleware is around the call"


def test_a_handler_that_raises_fails_those_that_it_has_not_answered(app: Turnspit) -> None:
    @app.batch_task(size=2, wait=DEADLINE, retry=Retry(attempts=1))
    def index(batch: Batch[int]) -> None:
        batch[0].complete("done before")
        raise SystemExit("the index is gone")

    first, second = index.enqueue(1), index.enqueue(2)
    with app.worker():
        assert first.get_result(DEADLINE) == "done before"
        with pytest.raises(JobDead, match="the index is gone"):
            second.get_result(DEADLINE)


def test_a_handler_that_forgets_its_await_is_found(app: Turnspit) -> None:
    async def search() -> None: ...

    @app.batch_task(size=1, retry=Retry(attempts=1))
    def index(batch: Batch[int]) -> None:
        return search()  # type: ignore[return-value]

    with app.worker(), pytest.raises(JobDead, match="nobody awaited"):
        index.enqueue(1).get_result(DEADLINE)


def test_a_job_that_waits_for_others_leaves_and_one_in_a_call_is_told(app: Turnspit) -> None:
    sizes: list[int] = []
    told = threading.Event()

    @app.batch_task(size=3, wait=DEADLINE)
    def index(batch: Batch[int]) -> None:
        sizes.append(len(batch))
        if batch[0].job.wait_cancelled(DEADLINE):
            told.set()

    first = index.enqueue(1)
    with app.worker(concurrency=1) as worker:
        wait_until(lambda: has_begun(worker, first), "it gathers")
        app.jobs.cancel(first.id)
        wait_until(lambda: first.refresh().state is JobState.CANCELLED, "it was cancelled")
        others = [index.enqueue(number) for number in (2, 3, 4)]
        wait_until(lambda: sizes == [3], "the others went together")
        app.jobs.cancel(others[0].id)
        for job in others:
            job.get_result(DEADLINE)
    assert told.is_set()
    assert [job.refresh().state for job in others] == [JobState.COMPLETED] * 3, "the work is done"


def test_a_batch_over_its_time_is_told_and_counted_as_stuck(app: Turnspit) -> None:
    may_leave = threading.Event()

    @app.batch_task(size=2, wait=DEADLINE, timeout=SOON, retry=Retry(attempts=1))
    def index(batch: Batch[int]) -> None:
        may_leave.wait(DEADLINE)
        batch[0].job.raise_if_cancelled()

    @app.task
    async def other() -> str:
        return "its own slot"

    async def main() -> None:
        worker = Worker(app.worker_parts(), WorkerSettings(concurrency=2))
        await worker.start()
        ids = await app.aenqueue_many(index.new(number) for number in (1, 2))
        jobs = [await app.jobs.aget(job) for job in ids]
        await asyncio.to_thread(wait_until, lambda: len(worker.executor.time_outs.stuck) == 2, "stuck threads")
        assert [each.claim.id for each in worker.executor.time_outs.stuck] == [job.id for job in jobs]
        assert worker.executor.taken == 1
        assert worker.troubles() == (), "both are in one thread"
        assert await (await other.aenqueue()).aget_result(DEADLINE) == "its own slot"
        may_leave.set()
        for job in jobs:
            with pytest.raises(JobDead, match="over its time-out"):
                await job.aget_result(DEADLINE)
        await worker.stop()
        assert worker.executor.taken == 0

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["async", "plain"])
def test_each_call_takes_a_slot(app: Turnspit, kind: str) -> None:
    """Also where calls are smaller than they may be: two slots, two calls."""
    entered, may_leave = [threading.Event(), threading.Event()], threading.Event()
    most = threading.Semaphore(2)
    too_many: list[int] = []

    def begin(value: int) -> None:
        if not most.acquire(blocking=False):
            too_many.append(value)
        if value < 2:
            entered[value].set()

    if kind == "plain":

        @app.batch_task(size=3, wait=0)
        def index(batch: Batch[int]) -> None:
            begin(batch[0].value)
            may_leave.wait(DEADLINE)
            most.release()
    else:

        @app.batch_task(size=3, wait=0)
        async def index(batch: Batch[int]) -> None:
            begin(batch[0].value)
            await asyncio.to_thread(may_leave.wait, DEADLINE)
            most.release()

    with app.worker(concurrency=2):
        jobs = []
        for number in range(2):
            jobs.append(index.enqueue(number))
            assert entered[number].wait(DEADLINE)
        jobs += [index.enqueue(number) for number in (2, 3, 4)]
        may_leave.set()
        for job in jobs:
            job.get_result(DEADLINE)
    assert not too_many


def test_a_thread_that_outlives_its_worker_ends_its_jobs(app: Turnspit) -> None:
    entered, may_leave = threading.Event(), threading.Event()

    @app.batch_task(size=2, wait=DEADLINE)
    def index(batch: Batch[int]) -> None:
        entered.set()
        may_leave.wait(DEADLINE)
        batch[0].complete("after all")

    jobs = [index.enqueue(1), index.enqueue(2)]
    with app.worker(grace=0):
        assert entered.wait(DEADLINE)
    assert [job.refresh().state for job in jobs] == [JobState.RUNNING] * 2, "they stay claimed"
    may_leave.set()
    assert [job.get_result(DEADLINE) for job in jobs] == ["after all", None]


@pytest.mark.parametrize("kind", ["async", "plain"])
def test_the_test_kit_runs_them(app: Turnspit, kind: str) -> None:
    def answer(batch: Batch[int]) -> None:
        for item in batch:
            item.complete(item.value * 2)

    if kind == "plain":

        @app.batch_task(size=100, wait=DEADLINE)
        def index(batch: Batch[int]) -> None:
            answer(batch)
    else:

        @app.batch_task(size=100, wait=DEADLINE)
        async def index(batch: Batch[int]) -> None:
            answer(batch)

    with override(app) as t:
        jobs = [index.enqueue(1), index.enqueue(2)]
        t.drain()
        assert [job.get_result(0) for job in jobs] == [2, 4]
