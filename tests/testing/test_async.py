"""The async verbs, from several event loops; the sync ones beside a running loop."""

import asyncio
import threading
import warnings
from datetime import timedelta
from inspect import iscoroutinefunction

import pytest

from turnspit import InvalidArguments, JobContext, JobState, Turnspit
from turnspit.testing import TestStore, override


def test_every_verb_has_an_async_twin(turnspit_app: Turnspit) -> None:
    async def story() -> None:
        async with override(turnspit_app) as t:

            @t.app.task
            async def double(number: int) -> int:
                return number * 2

            job = await double.aenqueue(number=1)
            later = await double.using(delay=60).aenqueue(number=2)
            await t.aassert_enqueued(double, number=1)
            await t.aassert_not_enqueued(double, number=3)
            assert (await t.arun_one(job)).state == "completed"
            assert await t.anext_due() == t.now + timedelta(seconds=60)
            assert await t.aadvance(59) == 0
            assert await t.aadvance_to(t.now + timedelta(seconds=1)) == 1
            assert [each.id for each in await t.adrain()] == [later.id]
            assert [await each.aget_result(timeout=0) for each in await t.aenqueued(double)] == [2, 4]
            await t.aadvance(timedelta(days=8))
            await t.amaintain()
            assert await t.aenqueued() == []

    asyncio.run(story())


def test_sync_and_async_verbs_are_the_same_verbs() -> None:
    for name in ("drain", "run_one", "advance", "advance_to", "next_due", "maintain", "enqueued"):
        assert iscoroutinefunction(getattr(TestStore, "a" + name))
    for name in ("assert_enqueued", "assert_not_enqueued"):
        assert iscoroutinefunction(getattr(TestStore, "a" + name))


def test_one_store_serves_several_loops_one_after_another(t: TestStore) -> None:
    @t.app.task
    async def nothing() -> None: ...

    async def story() -> JobState:
        await nothing.aenqueue()
        [job] = await t.adrain()
        return job.state

    assert [asyncio.run(story()) for _ in range(3)] == ["completed"] * 3
    nothing.enqueue()
    assert len(t.drain()) == 1


def test_adrain_runs_async_jobs_on_the_caller_s_loop(t: TestStore) -> None:
    async def story() -> None:
        loop, lock = asyncio.get_running_loop(), asyncio.Lock()

        @t.app.task
        async def use() -> bool:
            async with lock:
                return asyncio.get_running_loop() is loop

        await use.aenqueue()
        [job] = await t.adrain()
        assert await job.aget_result(timeout=0) is True

    asyncio.run(story())


def test_a_sync_verb_in_a_running_loop_works_and_warns(t: TestStore) -> None:
    @t.app.task
    async def nothing() -> None: ...

    nothing.enqueue()

    async def story() -> None:
        with pytest.warns(RuntimeWarning, match=r"await t\.adrain\(\)") as caught:
            [job] = t.drain()
        assert job.state == "completed"
        assert caught[0].filename == __file__

    asyncio.run(story())


def test_a_sync_verb_leaves_the_current_event_loop_alone(t: TestStore) -> None:
    """Some test plugins set one for the whole session."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        t.drain()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert asyncio.get_event_loop() is loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_a_running_job_can_be_cancelled(t: TestStore) -> None:
    async def story() -> None:
        started = asyncio.Event()

        @t.app.task
        async def endless() -> None:
            started.set()
            await asyncio.Event().wait()

        job = await endless.aenqueue()
        run = asyncio.create_task(t.arun_one(job))
        await started.wait()
        await t.jobs.acancel(job.id, reason="changed my mind")
        ran = await run
        assert (ran.state, ran.reason) == ("cancelled", "changed my mind")

    asyncio.run(story())


def test_a_running_thread_job_is_told_that_it_is_cancelled(t: TestStore) -> None:
    started = threading.Event()

    @t.app.task
    def patient(job: JobContext) -> None:
        started.set()
        assert job.wait_cancelled(30)
        job.raise_if_cancelled()

    def cancel() -> None:
        started.wait(30)
        t.jobs.cancel(1)

    patient.enqueue()
    canceller = threading.Thread(target=cancel)
    canceller.start()
    assert [str(job.state) for job in t.drain()] == ["cancelled"]
    canceller.join()


def test_progress_can_be_seen_while_the_job_runs(t: TestStore) -> None:
    async def story() -> None:
        go_on = asyncio.Event()

        @t.app.task
        async def slow(job: JobContext) -> None:
            job.progress(0.5)
            await go_on.wait()

        job = await slow.aenqueue()
        run = asyncio.create_task(t.arun_one(job))
        async with asyncio.timeout(30):
            while job.progress is None:
                await job.arefresh()
        assert job.state == "running"
        go_on.set()
        assert (await run).state == "completed"

    asyncio.run(story())


def test_an_interrupted_drain_hands_its_job_back(t: TestStore) -> None:
    async def story() -> None:
        started, never = asyncio.Event(), asyncio.Event()

        @t.app.task
        async def endless() -> None:
            started.set()
            await never.wait()

        job = await endless.aenqueue()
        await endless.aenqueue()
        drain = asyncio.create_task(t.adrain())
        await started.wait()
        drain.cancel()
        with pytest.raises(asyncio.CancelledError):
            await drain
        assert ((await job.arefresh()).state, job.attempt) == ("ready", 0)
        never.set()
        assert [str(each.state) for each in await t.adrain()] == ["completed", "completed"]

    asyncio.run(story())


def test_a_time_out_is_measured_in_real_time(t: TestStore) -> None:
    @t.app.task(timeout=0.05)
    async def endless() -> None:
        await asyncio.Event().wait()

    ran = t.run_one(endless.enqueue())
    assert (ran.error_type, ran.is_retrying) == ("JobTimeout", True)
    with pytest.raises(InvalidArguments):
        t.assert_enqueued(endless, seconds=1)
