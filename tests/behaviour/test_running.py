"""From an enqueue to a result, with a real worker."""

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, Json

from tests.behaviour.support import DEADLINE, EventLog, Gate, wait_until
from turnspit import Blueprint, ConfigurationError, JobContext, JobState, Retry, Turnspit, TurnspitError, current_job
from turnspit._runtime.collector import Collector


class Order(BaseModel):
    number: int
    lines: list[str] = []


def test_an_async_task_runs_on_the_loop_and_a_plain_one_in_a_thread(app: Turnspit) -> None:
    @app.task
    async def on_loop() -> str:
        asyncio.get_running_loop()
        return threading.current_thread().name

    @app.task
    def in_thread() -> str:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return threading.current_thread().name

    with app.worker():
        assert on_loop.enqueue().get_result(DEADLINE) == "turnspit-worker"
        assert in_thread.enqueue().get_result(DEADLINE).startswith("turnspit-job")


def test_a_job_is_ready_then_completed_with_its_result_and_its_times(app: Turnspit) -> None:
    @app.task(queue="mail", priority=3)
    async def greet(name: str, times: int = 1) -> str:
        return f"Hello {name}" * times

    job = greet.enqueue("Ada")
    assert (job.state, job.task, job.queue, job.priority, job.args) == ("ready", "greet", "mail", 3, {"name": "Ada"})
    assert (job.attempt, job.attempts, job.worker, job.finished_at) == (0, (), None, None)
    with app.worker():
        assert job.get_result(DEADLINE) == "Hello Ada"
    assert (job.state, job.attempt) == (JobState.COMPLETED, 1)
    [attempt] = job.attempts
    assert (attempt.number, attempt.outcome, attempt.error_type, attempt.traceback) == (1, "completed", None, None)
    assert attempt.worker == job.worker is not None
    times = [job.created_at, job.run_at, job.started_at, job.finished_at]
    assert times == sorted(times)  # type: ignore[type-var]
    assert repr(job) == "<Job 1 greet completed>"


def test_a_task_may_take_one_model(app: Turnspit) -> None:
    @app.task
    def double(order: Order) -> Order:
        return Order(number=order.number * 2, lines=order.lines * 2)

    with app.worker():
        result = double.enqueue(Order(number=2, lines=["a"])).get_result(DEADLINE)
    assert result == Order(number=4, lines=["a", "a"])


def test_from_async_code_everything_has_an_a_in_front(app: Turnspit) -> None:
    @app.task
    async def double(number: int) -> int:
        return number * 2

    async def main() -> list[Any]:
        async with app.worker():
            job = await double.aenqueue(21)
            result = await job.aget_result(DEADLINE)
            again = await app.jobs.aget(job.id)
            return [result, again.state, (await job.arefresh()).state, await again.aget_logs()]

    assert asyncio.run(main()) == [42, "completed", "completed", []]


def test_a_delayed_job_waits_and_then_runs(app: Turnspit) -> None:
    @app.task
    async def note() -> datetime:
        return datetime.now(UTC)

    with app.worker():
        job = note.using(delay=timedelta(milliseconds=300)).enqueue()
        assert job.state == "scheduled"
        assert (job.run_at - job.created_at) == timedelta(milliseconds=300)
        job.get_result(DEADLINE)
    assert job.started_at is not None
    assert job.run_at <= job.started_at


def test_a_job_for_a_moment_that_has_passed_is_ready_at_once(app: Turnspit) -> None:
    @app.task
    async def note() -> None: ...

    assert note.using(at=datetime(2020, 1, 1, tzinfo=UTC)).enqueue().state == "ready"
    later = note.using(at=datetime(2100, 1, 1, tzinfo=UTC)).enqueue()
    assert (later.state, later.run_at) == ("scheduled", datetime(2100, 1, 1, tzinfo=UTC))
    assert not later.is_retrying


def test_a_job_knows_itself_and_its_resources(app: Turnspit) -> None:
    @app.lifespan
    async def lifespan(given: Turnspit) -> AsyncIterator[dict[str, Any]]:
        assert given is app
        yield {"printer": "laser"}

    @app.task
    def describe(job: JobContext, number: int) -> list[Any]:
        assert current_job() is job
        return [job.id, job.task, job.queue, job.attempt, job.metadata, job.tags, job.resources["printer"], number]

    with app.worker():
        job = describe.using(metadata={"source": "web"}, tags=["a", "b"]).enqueue(5)
        expected = [job.id, "describe", "default", 1, {"source": "web"}, ["a", "b"], "laser", 5]
        assert job.get_result(DEADLINE) == expected
    assert (job.metadata, job.tags) == ({"source": "web"}, ("a", "b"))


def test_current_job_is_found_below_the_task(app: Turnspit) -> None:
    def deep_inside() -> int:
        return current_job().id

    @app.task
    async def outer() -> int:
        return await asyncio.to_thread(deep_inside)

    @app.task
    def inner() -> int:
        return deep_inside()

    with app.worker():
        for job in (outer.enqueue(), inner.enqueue()):
            assert job.get_result(DEADLINE) == job.id
    with pytest.raises(TurnspitError, match=r"^current_job\(\) was called outside a job$"):
        deep_inside()


def test_a_task_called_inside_a_job_gets_that_jobs_context(app: Turnspit) -> None:
    @app.task
    def inner(job: JobContext, number: int) -> list[int]:
        return [job.id, number]

    @app.task
    def outer() -> list[int]:
        return inner(7)

    with app.worker():
        job = outer.enqueue()
        assert job.get_result(DEADLINE) == [job.id, 7]


def test_progress_and_log_lines_are_seen_while_the_job_runs(app: Turnspit) -> None:
    gate = Gate()

    @app.task
    def render(job: JobContext) -> None:
        job.progress(0.25, "first page")
        job.log("began")
        job.progress(0.5, "second page")
        gate.pass_through()
        job.log("nearly there", "warning")

    with app.worker():
        job = render.enqueue()
        gate.wait_for()
        wait_until(lambda: job.refresh().progress == 0.5, "progress")
        assert job.progress_message == "second page"
        assert [line.message for line in job.get_logs()] == ["began"]
        gate.open()
        job.get_result(DEADLINE)
    lines = [(line.attempt, line.level, line.message) for line in job.get_logs()]
    assert lines == [(1, "info", "began"), (1, "warning", "nearly there")]
    assert all(line.at is not None for line in job.get_logs())


def test_the_last_words_of_an_async_job_are_kept(app: Turnspit) -> None:
    @app.task
    async def talk(job: JobContext, number: int) -> None:
        job.log(f"line {number}")
        job.progress(1.0, "done")

    with app.worker(concurrency=50):
        jobs = [app.jobs.get(job) for job in app.enqueue_many(talk.new(number) for number in range(200))]
        for job in jobs:
            job.get_result(DEADLINE)
    for number, job in enumerate(jobs):
        assert [line.message for line in job.get_logs()] == [f"line {number}"]
        assert job.progress == 1.0


def test_what_a_database_cannot_keep_is_made_storable(app: Turnspit) -> None:
    @app.task
    async def talk(job: JobContext) -> None:
        job.log("nul \0 surrogate \udc80")
        job.progress(0.5, {"not": "text"})  # type: ignore[arg-type]
        job.log(7)  # type: ignore[arg-type]

    with app.worker():
        job = talk.enqueue()
        job.get_result(DEADLINE)
    assert [line.message for line in job.get_logs()] == ["nul \\0 surrogate ?", "7"]
    assert job.progress_message == "{'not': 'text'}"


def test_jobs_of_a_blueprint_run(app: Turnspit) -> None:
    reports = Blueprint("reports")

    @reports.task
    def build(month: str) -> str:
        return f"report of {month}"

    app.include(reports)
    with app.worker():
        assert build.enqueue("2026-01").get_result(DEADLINE) == "report of 2026-01"


def test_a_foreign_message_becomes_a_job(app: Turnspit) -> None:
    @app.task(aliases=["old_name"])
    async def double(order: Order, labels: Json[list[str]] = []) -> int:  # noqa: B006
        return order.number * 2 + len(labels)

    with app.worker():
        job = app.enqueue_message({"task": "old_name", "args": {"order": {"number": "4"}}})
        assert (job.task, job.get_result(DEADLINE)) == ("double", 8)
        text = '{"task": "double", "args": {"order": {"number": 4}, "labels": "[\\"a\\", \\"b\\"]"}}'
        assert asyncio.run(app.aenqueue_message(text)).get_result(DEADLINE) == 10


def test_a_worker_serves_only_its_queues(app: Turnspit, events: EventLog) -> None:
    @app.task
    async def task() -> None: ...

    other = task.using(queue="other").enqueue()
    mine = task.using(queue="mine").enqueue()
    with app.worker(queues=["mine", "empty"]):
        mine.get_result(DEADLINE)
    assert other.refresh().state == "ready"
    assert events.names(other.id) == []


def test_concurrency_is_how_many_run_at_once(app: Turnspit) -> None:
    gate, most = Gate(), 0
    running: set[int] = set()

    @app.task
    def task(job: JobContext) -> None:
        nonlocal most
        running.add(job.id)
        most = max(most, len(running))
        gate.pass_through()
        running.discard(job.id)

    with app.worker(concurrency=3):
        jobs = [task.enqueue() for _ in range(7)]
        gate.wait_for(3)
        assert app.jobs.count(state="running") >= 3
        gate.open()
        for job in jobs:
            job.get_result(DEADLINE)
    assert most == 3


def test_until_empty_ends_when_everything_is_done(app: Turnspit) -> None:
    done = []

    @app.task
    async def task(number: int) -> None:
        done.append(number)
        if number < 50:
            await task.aenqueue(number + 50)

    app.enqueue_many(task.new(number) for number in range(50))
    with app.worker(until_empty=True) as worker:
        worker.wait()
    assert sorted(done) == list(range(100))
    assert app.run_worker(until_empty=True) == 0


@pytest.mark.parametrize("kind", ["process", "thread", "coroutine"])
def test_until_empty_says_at_its_end_what_waits_for_a_retry_or_for_later(
    app: Turnspit, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task(retry=Retry(base=7200, jitter="none"))
    async def fail() -> None:
        raise ValueError

    async def work_on_the_loop() -> None:
        async with app.worker(until_empty=True) as worker:
            await worker.await_end()

    def work() -> list[str]:
        caplog.clear()
        if kind == "process":
            app.run_worker(until_empty=True)
        elif kind == "coroutine":
            asyncio.run(work_on_the_loop())
        else:
            with app.worker(until_empty=True) as worker:
                worker.wait()
        return [each for each in caplog.messages if each.startswith("jobs that are left")]

    caplog.set_level(logging.INFO, "turnspit")
    assert work() == []
    fail.enqueue()
    later = fail.using(delay=3600).enqueue()
    due = later.run_at.strftime("%Y-%m-%d %H:%M:%S UTC")
    assert work() == [f"jobs that are left, for a retry or for later: 2; the next one is due at {due}"]


def test_a_worker_s_process_does_not_look_for_garbage_in_the_program_itself(app: Turnspit) -> None:
    @app.task
    async def frozen() -> int:
        return gc.get_freeze_count()

    job = frozen.enqueue()
    app.run_worker(until_empty=True)
    assert job.get_result(DEADLINE) > 10_000
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize(("usual", "busy"), [(700, 10_000), (2000, 10_000), (5000, 5000), (0, 0)])
def test_a_process_with_many_jobs_in_flight_looks_for_garbage_less_often(usual: int, busy: int) -> None:
    before = gc.get_threshold()
    gc.set_threshold(usual, 11, 12)
    try:
        collector = Collector()
        collector.follow(10)
        assert gc.get_threshold() == (usual, 11, 12)
        collector.follow(2000)
        assert gc.get_threshold() == (busy, 11, 12)
        collector.restore()
        assert gc.get_threshold() == (usual, 11, 12)
    finally:
        gc.set_threshold(*before)


def test_a_worker_s_process_follows_how_many_jobs_are_in_flight(app: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    followed: list[int] = []
    monkeypatch.setattr(Collector, "follow", lambda _, jobs: followed.append(jobs))

    @app.task
    async def nothing() -> None: ...

    app.enqueue_many(nothing.new() for _ in range(2000))
    before = gc.get_threshold()
    app.run_worker(until_empty=True)
    assert max(followed) > 10
    assert gc.get_threshold() == before


def test_who_waits_for_a_worker_that_does_not_run_is_told(app: Turnspit) -> None:
    with pytest.raises(ConfigurationError, match=r"inside `with app.worker\(until_empty=True\) as worker:`"):
        app.worker(until_empty=True).wait()

    async def waits_in_its_own_loop() -> None:
        with pytest.raises(ConfigurationError, match=r"inside `async with app\.worker"):
            await app.worker().await_end()
        async with app.worker() as worker:
            with pytest.raises(ConfigurationError, match=r"write await worker.await_end\(\)"):
                worker.wait()

    asyncio.run(waits_in_its_own_loop())


@pytest.mark.parametrize("kind", ["thread", "coroutine"])
def test_a_job_that_starts_a_worker_until_nothing_runs_is_told_that_it_would_wait_for_itself(
    app: Turnspit, kind: str
) -> None:
    message = (
        r"^job 1 \(start\) starts a worker with until_empty=True, which would wait for the end of that job too: "
        "start it outside of a job, or leave until_empty out and await the results of the jobs it is for$"
    )

    def start() -> None:
        with pytest.raises(ConfigurationError, match=message):
            app.worker(until_empty=True)
        with app.worker(until_empty=True, queues=["other"]) as other:  # where it is not
            other.wait()

    async def start_on_the_loop() -> None:
        start()

    task = app.task(name="start")(start if kind == "thread" else start_on_the_loop)
    job = task.enqueue()
    with app.worker(concurrency=1):
        job.get_result(DEADLINE)
