"""Jobs that are stopped: by a time-out, or because somebody cancelled them."""

import asyncio
import logging
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.behaviour.support import DEADLINE, SOON, EventLog, Gate, wait_until
from turnspit import JobCancelled, JobContext, JobDead, JobState, ResultTimeout, Retry, Snooze, Turnspit, job_waiting
from turnspit.errors import MoveNotAllowed


def test_an_async_task_over_its_time_is_cancelled_and_tried_again(app: Turnspit, events: EventLog) -> None:
    cleaned = []

    @app.task(timeout=0.05, retry=Retry(attempts=2, delay=0))
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    with app.worker():
        job = slow.enqueue()
        events.wait("dead", job.id)
    job.refresh()
    assert (job.error_type, job.attempt, cleaned) == ("JobTimeout", 2, [True, True])
    assert [each.outcome for each in job.attempts] == ["failed", "dead"]
    assert re.fullmatch(r"stopped after \d+\.\d s, over its time-out", job.reason or "")
    assert "in slow" in (job.attempts[0].traceback or "")


def test_a_thread_over_its_time_is_told_and_may_stop_itself(app: Turnspit) -> None:
    @app.task(timeout=0.05, retry=Retry(attempts=1))
    def slow(job: JobContext) -> None:
        assert job.wait_cancelled(DEADLINE)
        job.raise_if_cancelled()

    with app.worker():
        job = slow.enqueue()
        with pytest.raises(JobDead, match=r"is dead: JobTimeout: stopped after "):
            job.get_result(DEADLINE)


def test_a_thread_that_ends_its_work_after_its_time_has_done_it(
    app: Turnspit, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task(timeout=0.05)
    def slow(job: JobContext) -> str:
        job.wait_cancelled(DEADLINE)
        return "done all the same"

    with caplog.at_level(logging.WARNING, "turnspit"), app.worker():
        assert slow.enqueue().get_result(DEADLINE) == "done all the same"
    assert "job 1 (slow) is over its time-out: told to stop; its thread keeps its slot until it ends" in caplog.text


def test_what_a_late_thread_raised_is_kept_behind_the_time_out(app: Turnspit) -> None:
    @app.task(timeout=SOON, retry=Retry(attempts=1))
    def slow(job: JobContext) -> None:
        job.wait_cancelled(DEADLINE)
        raise ConnectionError("the partner hung up")

    with app.worker():
        job = slow.enqueue()
        with pytest.raises(JobDead, match="JobTimeout"):
            job.get_result(DEADLINE)
    assert "ConnectionError: the partner hung up" in (job.attempts[0].traceback or "")


def test_each_job_has_its_own_time(app: Turnspit, events: EventLog) -> None:
    @app.task(timeout=60, retry=Retry(attempts=1))
    async def wait() -> None:
        await asyncio.Event().wait()

    with app.worker(grace=0):
        long = wait.enqueue()
        events.wait("started", long.id)
        for seconds in (0.3, 0.1):
            wait.using(timeout=seconds).enqueue()
        for job in (3, 2):  # the time of the first is still watched after that of the second
            events.wait("dead", job)
        assert long.refresh().state == "running"
    assert app.jobs.get(3).timeout is not None


def test_a_coroutine_that_ignores_its_cancellation_keeps_its_result(app: Turnspit) -> None:
    @app.task(timeout=0.05)
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "I had to finish"
        return ""

    with app.worker():
        assert stubborn.enqueue().get_result(DEADLINE) == "I had to finish"


@pytest.mark.parametrize("delay", [0, 60])
def test_a_waiting_job_is_cancelled_at_once(app: Turnspit, delay: int) -> None:
    @app.task
    async def task() -> None: ...

    job = task.using(delay=delay).enqueue()
    assert app.jobs.cancel(job.id, reason="a duplicate") == 1
    assert (job.refresh().state, job.reason, job.attempts) == ("cancelled", "a duplicate", ())
    with pytest.raises(JobCancelled, match=rf"^job {job.id} \(task\) was cancelled: a duplicate$"):
        job.get_result(DEADLINE)
    with pytest.raises(MoveNotAllowed) as raised:
        app.jobs.cancel(job.id)
    assert str(raised.value) == f"job {job.id} (task) is cancelled and cannot be cancelled: it has ended"


def test_a_running_coroutine_is_cancelled(app: Turnspit, events: EventLog) -> None:
    cleaned = threading.Event()

    @app.task
    async def task(job: JobContext) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            assert job.cancelled
            cleaned.set()

    with app.worker():
        job = task.enqueue()
        events.wait("started", job.id)
        assert app.jobs.cancel(job.id) == 1
        with pytest.raises(JobCancelled, match=r"\(task\) was cancelled: cancelled by a person$"):
            job.get_result(DEADLINE)
        assert events.wait("cancelled", job.id).error_type == "CancelledError"
    assert cleaned.is_set()
    assert (job.state, [each.outcome for each in job.attempts]) == (JobState.CANCELLED, ["cancelled"])


def test_a_running_thread_is_told_and_its_job_cancelled_when_it_gives_in(app: Turnspit, events: EventLog) -> None:
    gate = Gate()

    @app.task
    def gives_in(job: JobContext) -> None:
        gate.came.release()
        assert job.wait_cancelled(DEADLINE)
        job.raise_if_cancelled()

    @app.task
    def finishes(job: JobContext) -> str:
        gate.came.release()
        assert job.wait_cancelled(DEADLINE)
        return "the work was done"

    with app.worker():
        jobs = [gives_in.enqueue(), finishes.enqueue()]
        gate.wait_for(2)
        assert app.jobs.cancel(state="running") == 2
        with pytest.raises(JobCancelled):
            jobs[0].get_result(DEADLINE)
        assert jobs[1].get_result(DEADLINE) == "the work was done"  # type: ignore[func-returns-value]


def test_a_cleanup_is_not_interrupted_by_further_requests(app: Turnspit, events: EventLog) -> None:
    cleaning, may_end, cleaned = threading.Event(), threading.Event(), []

    @app.task
    async def task() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await asyncio.to_thread(may_end.wait, DEADLINE)
            cleaned.append(True)

    @app.task
    async def other() -> None:
        await asyncio.Event().wait()

    with app.worker():
        job = task.enqueue()
        events.wait("started", job.id)
        app.jobs.cancel(job.id)
        assert cleaning.wait(DEADLINE)
        assert app.jobs.cancel(job.id) == 0  # asked for already
        for _ in range(3):  # each request makes the worker look at all its cancelled jobs again
            another = other.enqueue()
            events.wait("started", another.id)
            app.jobs.cancel(another.id)
            events.wait("cancelled", another.id)
        may_end.set()
        events.wait("cancelled", job.id)
    assert cleaned == [True]


def test_a_job_over_its_time_that_still_cleans_up_when_its_worker_stops_has_failed(app: Turnspit) -> None:
    """The shutdown interrupts its clean-up, but is not why it ends: its attempt counts."""
    cleaning, interrupted = threading.Event(), []

    @app.task(timeout=0.05, retry=Retry(attempts=3, delay=60))
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            try:
                await asyncio.Event().wait()
            finally:
                interrupted.append(True)

    with app.worker(grace=0):
        job = slow.enqueue()
        assert cleaning.wait(DEADLINE)
    assert (job.refresh().state, job.attempt, interrupted) == ("scheduled", 1, [True])
    assert [attempt.error_type for attempt in job.attempts] == ["JobTimeout"]


def test_a_job_that_waits_in_a_workers_buffer_is_cancelled(app: Turnspit, events: EventLog) -> None:
    gate = Gate()
    ran = []

    @app.task
    def block() -> None:
        gate.pass_through()

    @app.task
    async def quick(number: int) -> None:
        ran.append(number)

    with app.worker(concurrency=1, lease=240, heartbeat=120):
        # Many quick jobs teach the worker to claim ahead; behind them one blocks, so that the rest waits in its buffer.
        ids = app.enqueue_many(
            [*(quick.new(number) for number in range(500)), block.new(), *(quick.new(1000 + n) for n in range(3))]
        )
        gate.wait_for()
        wait_until(lambda: app.jobs.count(state="running") == 4, "the claim ahead")
        assert [app.jobs.cancel(job) for job in ids[-3:]] == [1, 1, 1]
        wait_until(lambda: app.jobs.count(state="cancelled") == 3, "the cancellation")
        gate.open()
    assert not {number for number in ran if number >= 1000}


def test_a_job_that_snoozes_when_it_is_cancelled_is_cancelled(app: Turnspit, events: EventLog) -> None:
    @app.task
    async def task() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Snooze(60) from None

    with app.worker():
        job = task.enqueue()
        events.wait("started", job.id)
        app.jobs.cancel(job.id)
        events.wait("cancelled", job.id)
    assert job.refresh().state == "cancelled"


def test_a_job_is_cancelled_by_its_own_started_handler(app: Turnspit, events: EventLog) -> None:
    ran = []

    @app.task
    async def task() -> None:
        ran.append(True)
        await asyncio.Event().wait()

    release = asyncio.Event()

    @app.on("started")
    async def hold(event: object) -> None:
        await release.wait()

    with app.worker(concurrency=1):
        job = task.enqueue()
        events.wait("started", job.id)
        app.jobs.cancel(job.id)
        events.wait("cancelled", job.id)
        assert ran == []
        app.task(name="next")(_nothing)
        release.set()
        app.tasks["next"].enqueue().get_result(DEADLINE)  # the slot is free again


def _nothing() -> None: ...


def test_get_result_says_that_the_job_is_still_on_its_way(app: Turnspit, events: EventLog) -> None:
    @app.task(queue="mail")
    async def task() -> None:
        await asyncio.Event().wait()

    job = task.enqueue()
    with pytest.raises(ResultTimeout) as raised:
        job.get_result(timeout=0)
    assert str(raised.value) == (
        f"job {job.id} (task) is still ready after 0 s; is a worker running that serves the queue 'mail'?"
    )
    with app.worker(grace=0):
        events.wait("started", job.id)
        with pytest.raises(ResultTimeout) as raised:
            job.get_result(timeout=timedelta(milliseconds=20))
    assert str(raised.value) == f"job {job.id} (task) is still running after 0.02 s"


@pytest.mark.parametrize("verb", ["get_result", "aget_result"])
def test_who_waits_for_good_is_told_once_what_for(
    app: Turnspit, verb: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a worker, that is for ever."""
    monkeypatch.setattr(job_waiting, "_SILENT", 0.0)
    monkeypatch.setattr(job_waiting, "_told", set())

    @app.task(queue="mail")
    def task() -> int:
        return 7

    jobs = [task.enqueue() for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        if verb == "get_result":
            waiting = [threads.submit(job.get_result) for job in jobs]
        else:
            waiting = [threads.submit(asyncio.run, job.aget_result()) for job in jobs]
        wait_until(lambda: caplog.records, "a warning")
        with app.worker():
            assert [each.result(DEADLINE) for each in waiting] == [7, 7]
    [said] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert re.fullmatch(
        r"job [12] \(task\) is still ready after 0 s; is a worker running that serves the queue 'mail'\?", said
    )


@pytest.mark.parametrize("timeout", [0, 0.02])
def test_aget_result_waits_no_longer_than_its_time(app: Turnspit, timeout: float) -> None:
    @app.task
    async def task() -> None: ...

    async def wait() -> None:
        job = await task.aenqueue()
        async with asyncio.timeout(DEADLINE):
            await job.aget_result(timeout)

    with pytest.raises(ResultTimeout, match=f"is still ready after {timeout:g} s; is a worker running"):
        asyncio.run(wait())


def test_get_result_in_a_task_says_that_nothing_runs_meanwhile(app: Turnspit) -> None:
    @app.task
    async def inner() -> None: ...

    @app.task
    async def outer() -> str:
        job = await inner.aenqueue()
        with (
            pytest.warns(RuntimeWarning, match="a sync verb was called inside"),
            pytest.raises(ResultTimeout) as raised,
        ):
            job.get_result(timeout=0.05)
        return str(raised.value)

    with app.worker():
        said = outer.enqueue().get_result(DEADLINE)
    assert said.endswith("after 0.05 s; a worker in this event loop cannot run it meanwhile: await job.aget_result()")
