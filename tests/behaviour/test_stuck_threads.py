"""What does not end after its time-out: it is counted, and told of, a thread with the stack that it is in."""

import asyncio
import contextlib
import logging
import threading

import pytest

from tests.behaviour.support import DEADLINE, SOON, wait_until
from turnspit import JobContext, Retry, Turnspit
from turnspit._runtime.worker import time_outs as time_outs_module
from turnspit._runtime.worker import worker as worker_module
from turnspit._runtime.worker.settings import WorkerSettings
from turnspit._runtime.worker.worker import Worker


def wait_in_the_bank(may_leave: threading.Event) -> None:
    may_leave.wait(DEADLINE)


def test_a_thread_over_its_time_out(app: Turnspit, caplog: pytest.LogCaptureFixture) -> None:
    may_leave = threading.Event()

    @app.task(timeout=SOON, retry=Retry(attempts=1))
    def charge() -> str:
        wait_in_the_bank(may_leave)
        return "after all"

    async def main() -> tuple[list[int], tuple[str, ...], tuple[str, ...]]:
        worker = Worker(app.worker_parts(), WorkerSettings(concurrency=1))
        await worker.start()
        job = await charge.aenqueue()
        await asyncio.to_thread(wait_until, lambda: worker.executor.time_outs.stuck, "a stuck thread")
        stuck, troubles = [each.claim.id for each in worker.executor.time_outs.stuck], worker.troubles()
        may_leave.set()
        assert await job.aget_result(DEADLINE) == "after all", "the work is done: its job is completed"
        ended = worker.troubles()
        await worker.stop()
        assert stuck == [job.id]
        [line] = await job.aget_logs()
        assert line.level == "warning"
        assert line.message.startswith("over its time-out, in a thread that is in")
        assert "wait_in_the_bank" in line.message
        return stuck, troubles, ended

    with caplog.at_level(logging.WARNING, "turnspit"):
        stuck, troubles, ended = asyncio.run(main())
    assert troubles == (f"all its slots are taken by jobs that were told to stop and do not end ({stuck[0]})",)
    assert ended == ()
    assert "told to stop; its thread keeps its slot until it ends; it is in" in caplog.text
    assert "wait_in_the_bank" in caplog.text


def test_a_coroutine_s_time_out_is_kept_with_where_it_was(app: Turnspit) -> None:
    async def ask_the_bank() -> None:
        await asyncio.Event().wait()

    @app.task(timeout=0.05, retry=Retry(attempts=1))
    async def charge(job: JobContext) -> None:
        await ask_the_bank()

    with app.worker():
        job = charge.enqueue()
        wait_until(lambda: job.refresh().state == "dead", "its end")
    [attempt] = job.attempts
    assert attempt.error_type == "JobTimeout"
    assert "in ask_the_bank" in (attempt.traceback or "")


def test_a_worker_that_drains_does_not_wait_for_a_stuck_thread(app: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its supervisor replaces it: the end of its process is what ends the thread."""
    monkeypatch.setattr(worker_module, "_LOOK_AGAIN", 0.05)
    may_leave = threading.Event()

    @app.task(timeout=SOON, retry=Retry(attempts=1))
    def charge() -> None:
        wait_in_the_bank(may_leave)

    async def main() -> bool:
        worker = Worker(app.worker_parts(), WorkerSettings(grace=0))
        await worker.start()
        await charge.aenqueue()
        await asyncio.to_thread(wait_until, lambda: worker.executor.time_outs.stuck, "a stuck thread")
        worker.drain()
        async with asyncio.timeout(DEADLINE):
            await worker.stopping.wait()
        left = await worker.stop()
        may_leave.set()
        left.keep()
        return bool(left)

    assert asyncio.run(main())


def test_a_coroutine_that_goes_on_after_it_was_cancelled_is_stuck_when_a_clean_up_would_be_over(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker is as full, and a drain does not wait for it either."""
    monkeypatch.setattr(worker_module, "_LOOK_AGAIN", 0.05)
    monkeypatch.setattr(worker_module, "_CANCEL_TIME", 0.05)
    cancelled, may_end = asyncio.Event(), asyncio.Event()

    @app.task(timeout=0.05, retry=Retry(attempts=1))
    async def charge() -> None:
        while not may_end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await may_end.wait()
            cancelled.set()

    async def main() -> None:
        worker = Worker(app.worker_parts(), WorkerSettings(concurrency=1, grace=0))
        await worker.start()
        job = await charge.aenqueue()
        async with asyncio.timeout(DEADLINE):
            await cancelled.wait()
        time_outs = worker.executor.time_outs
        assert (time_outs.stuck, worker.troubles(), time_outs.all_hung_for) == ([], (), 0.0)
        monkeypatch.setattr(time_outs_module, "_CLEAN_UP", 0.0)
        assert [each.claim.id for each in time_outs.stuck] == [job.id]
        assert "taken by jobs that were told to stop and do not end" in str(worker.troubles())
        assert time_outs.all_hung_for > 0
        worker.drain()
        async with asyncio.timeout(DEADLINE):
            await worker.stopping.wait()
        left = await worker.stop()
        assert left.jobs == {job.id}
        may_end.set()
        await left.hand_back()
        await job.arefresh()
        assert (job.state, job.error_type, job.crashes) == ("dead", "JobTimeout", 0)

    asyncio.run(main())
