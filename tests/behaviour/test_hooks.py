"""Lifespan, middleware and events around the jobs."""

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE, EventLog, change, wait_until
from turnspit import ConfigurationError, Event, Job, JobContext, JobDead, Retry, Turnspit
from turnspit.records import ClaimRequest, NewWorker

CallNext = Callable[[JobContext], Awaitable[Any]]

user: ContextVar[str] = ContextVar("user", default="nobody")


def test_lifespans_open_in_order_and_close_in_reverse_once_a_worker(app: Turnspit) -> None:
    said = []

    @app.lifespan
    async def first(_: Turnspit) -> AsyncIterator[dict[str, Any]]:
        said.append("first opens")
        yield {"a": 1, "b": 1}
        said.append("first closes")

    @app.lifespan
    @asynccontextmanager
    async def second(_: Turnspit) -> AsyncIterator[dict[str, Any]]:
        said.append("second opens")
        yield {"b": 2}
        said.append("second closes")

    @app.lifespan
    async def third(_: Turnspit) -> AsyncIterator[None]:
        yield

    @app.task
    def task(job: JobContext) -> dict[str, Any]:
        return dict(job.resources)

    with app.worker():
        assert [task.enqueue().get_result(DEADLINE) for _ in range(2)] == [{"a": 1, "b": 2}] * 2
    assert said == ["first opens", "second opens", "second closes", "first closes"]


def test_a_lifespan_that_fails_is_raised_where_the_worker_starts_and_closes_what_was_open(app: Turnspit) -> None:
    closed = []

    @app.lifespan
    async def opens(_: Turnspit) -> AsyncIterator[None]:
        yield
        closed.append(True)

    @app.lifespan
    async def fails(_: Turnspit) -> AsyncIterator[None]:
        raise ConnectionError("no printer")
        yield

    with pytest.raises(ConnectionError, match="no printer"), app.worker():
        pass

    async def main() -> None:
        async with app.worker():
            pass

    with pytest.raises(ConnectionError, match="no printer"):
        asyncio.run(main())
    with pytest.raises(ConnectionError, match="no printer"):
        app.run_worker()
    assert closed == [True] * 3


def test_a_lifespan_that_fails_at_its_end_is_logged_and_the_worker_has_stopped(
    app: Turnspit, caplog: pytest.LogCaptureFixture
) -> None:
    @app.lifespan
    async def fails(_: Turnspit) -> AsyncIterator[None]:
        yield
        raise ConnectionError("the printer is gone")

    @app.task
    async def task() -> int:
        return 1

    with caplog.at_level(logging.ERROR, "turnspit"), app.worker():
        assert task.enqueue().get_result(DEADLINE) == 1
    assert "a lifespan failed at its end" in caplog.text
    assert "the printer is gone" in caplog.text


@pytest.mark.parametrize("is_async", [True, False])
def test_middleware_wraps_every_run_the_first_one_outermost(app: Turnspit, is_async: bool) -> None:
    said: list[str] = []

    @app.middleware
    async def outer(job: JobContext, call_next: CallNext) -> Any:
        said.append(f"outer begins {job.task}")
        user.set("ada")
        try:
            return await call_next(job) + ["outer"]
        finally:
            said.append("outer ends")

    @app.middleware
    async def inner(job: JobContext, call_next: CallNext) -> Any:
        said.append("inner begins")
        result = await call_next(job)
        said.append("inner ends")
        return [*result, "inner"]

    def plain() -> list[str]:
        said.append("task")
        return [user.get()]

    async def on_loop() -> list[str]:
        return plain()

    task = app.task(name="task")(on_loop if is_async else plain)  # type: ignore[arg-type]
    with app.worker():
        assert task.enqueue().get_result(DEADLINE) == ["ada", "inner", "outer"]
    assert said == ["outer begins task", "inner begins", "task", "inner ends", "outer ends"]


def test_a_plain_middleware_wraps_plain_tasks_inside_their_thread(app: Turnspit) -> None:
    said: list[tuple[str, int]] = []

    @app.middleware
    def outer(job: JobContext, call_next: Callable[[JobContext], Any]) -> Any:
        said.append((f"outer {job.task}", threading.get_ident()))
        return [*call_next(job), "outer"]

    @app.middleware
    def inner(job: JobContext, call_next: Callable[[JobContext], Any]) -> Any:
        said.append(("inner", threading.get_ident()))
        return [*call_next(job), "inner"]

    @app.task
    def plain() -> list[str]:
        said.append(("task", threading.get_ident()))
        return []

    @app.task
    async def on_loop() -> list[str]:
        return ["untouched"]

    with app.worker():
        assert plain.enqueue().get_result(DEADLINE) == ["inner", "outer"]
        assert on_loop.enqueue().get_result(DEADLINE) == ["untouched"]
    assert [what for what, _ in said] == ["outer plain", "inner", "task"]
    assert len({thread for _, thread in said}) == 1


def test_middleware_sees_the_error_and_may_change_it(app: Turnspit) -> None:
    @app.middleware
    async def translate(job: JobContext, call_next: CallNext) -> Any:
        try:
            return await call_next(job)
        except KeyError as error:
            raise LookupError(f"no {error.args[0]}") from error

    @app.task(retry=Retry(attempts=1))
    def task() -> None:
        raise KeyError("order")

    with app.worker():
        job = task.enqueue()
        with pytest.raises(JobDead, match="is dead: LookupError: no order"):
            job.get_result(DEADLINE)
    assert "KeyError: 'order'" in (job.attempts[0].traceback or "")


def test_middleware_that_fails_or_answers_by_itself_decides(app: Turnspit) -> None:
    ran = []

    @app.middleware
    async def guard(job: JobContext, call_next: CallNext) -> Any:
        if job.metadata["user"] == "mallory":
            raise PermissionError("not you")
        return "cached" if job.metadata["user"] == "bob" else await call_next(job)

    @app.task(retry=Retry(attempts=1))
    async def task() -> str:
        ran.append(True)
        return "fresh"

    with app.worker():
        jobs = [task.using(metadata={"user": name}).enqueue() for name in ("mallory", "bob", "ada")]
        with pytest.raises(JobDead, match="PermissionError: not you"):
            jobs[0].get_result(DEADLINE)
        assert [job.get_result(DEADLINE) for job in jobs[1:]] == ["cached", "fresh"]
    assert ran == [True]


def test_middleware_may_run_the_job_twice(app: Turnspit) -> None:
    @app.middleware
    async def again(job: JobContext, call_next: CallNext) -> Any:
        return [await call_next(job), await call_next(job)]

    @app.task
    def task(number: int, /, *, other: int = 2) -> int:
        return number + other

    with app.worker():
        assert task.enqueue(1).get_result(DEADLINE) == [3, 3]  # type: ignore[comparison-overlap]


def test_every_event_says_what_happened(app: Turnspit, events: EventLog) -> None:
    @app.task(queue="mail", retry=Retry(attempts=2, delay=0))
    async def task() -> None:
        raise ValueError("order 7 is bad")

    with app.worker():
        job = task.enqueue()
        events.wait("dead", job.id)
    failed, dead = events.wait("failed", job.id), events.wait("dead", job.id)
    expected = Event("failed", job.id, "task", "mail", 1, "ValueError", "order 7 is bad", failed.seconds)
    assert failed == expected
    assert (dead.name, dead.attempt, dead.error_message) == ("dead", 2, "order 7 is bad")
    assert failed.seconds is not None
    assert 0 <= failed.seconds < DEADLINE


def test_a_slow_listener_delays_no_job(app: Turnspit) -> None:
    may_end, heard = threading.Event(), []

    @app.on("completed")
    async def slow(event: Event) -> None:
        await asyncio.to_thread(may_end.wait, DEADLINE)
        heard.append(event.job_id)

    @app.task
    async def task() -> None: ...

    with app.worker(concurrency=1):
        jobs = [task.enqueue() for _ in range(5)]
        for job in jobs:
            job.get_result(DEADLINE)
        assert heard == []
        timer = threading.Timer(0.3, may_end.set)
        timer.start()
    timer.join()
    assert heard == [job.id for job in jobs]  # told before the worker has stopped


def test_a_listener_may_wait_for_another_job_of_its_worker(app: Turnspit, events: EventLog) -> None:
    answers: list[str] = []

    async def compensate(job: JobContext, error: BaseException) -> None:
        refund_job = await refund.aenqueue()
        answers.append(await refund_job.aget_result(DEADLINE))

    @app.task
    async def refund() -> str:
        return "refunded"

    @app.task(retry=Retry(attempts=1), on_dead=compensate)
    async def charge() -> None:
        raise ValueError

    with app.worker(concurrency=1):
        events.wait("dead", charge.enqueue().id)
    assert answers == ["refunded"]


def test_every_event_is_told_before_the_worker_has_stopped(app: Turnspit) -> None:
    heard = []

    @app.on("completed")
    async def slow(event: Event) -> None:
        heard.append(event.job_id)
        await asyncio.sleep(0)

    @app.task
    async def task(number: int) -> None: ...

    ids = app.enqueue_many(task.new(number) for number in range(3000))
    with app.worker(until_empty=True) as worker:
        worker.wait()
    assert sorted(heard) == ids


def test_what_a_handler_does_wrong_is_not_the_jobs_fault(
    app: Turnspit, events: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    @app.on("started", "completed")
    def failing(event: Event) -> None:
        raise SystemExit(f"{event.name} handler")

    @app.task
    async def task() -> int:
        return 1

    with caplog.at_level(logging.ERROR, "turnspit"), app.worker():
        for _ in range(2):
            job = task.enqueue()
            assert job.get_result(DEADLINE) == 1
            events.wait("completed", job.id)
    assert caplog.text.count("handler") >= 4


async def yields_a_list(_: Turnspit) -> AsyncIterator[list[int]]:
    yield [1]


@pytest.mark.parametrize(
    ("lifespan", "message"),
    [
        (yields_a_list, "a lifespan yields a dict of resources or nothing, not [1]"),
        (vars, "a lifespan is an async generator that yields its resources: this one returned dict"),
    ],
)
def test_a_lifespan_that_yields_no_dict(app: Turnspit, lifespan: Any, message: str) -> None:
    app.lifespan(lifespan)
    with pytest.raises(ConfigurationError, match=re.escape(message)), app.worker():
        pass


def test_an_on_dead_that_hangs_holds_up_no_rescue(app: Turnspit) -> None:
    called, answer = threading.Event(), threading.Event()

    def on_dead(job: JobContext, error: BaseException) -> None:
        called.set()
        answer.wait(3 * DEADLINE)

    @app.task(on_dead=on_dead)
    async def send() -> None: ...

    def enqueue_and_die() -> Job[None]:
        engine, tasks = app.engine, frozenset(app.tasks)
        job = send.enqueue()
        worker = engine.write(engine.register_worker, NewWorker("host", 4711, "0.1.0", None, tasks, 1, 1))
        engine.write(engine.claim_jobs, ClaimRequest(worker, 1, tasks))
        return job

    app._max_crashes = 1
    jobs = [enqueue_and_die()]
    change(app, "UPDATE {jobs} SET crashes = 1")
    with app.worker(queues=["other"], lease=1.0, heartbeat=0.1):
        assert called.wait(DEADLINE)
        jobs.append(enqueue_and_die())
        wait_until(lambda: jobs[1].refresh().state == "ready", "the rescue of the second job")
        answer.set()
    assert jobs[0].refresh().state == "dead"
