"""What becomes of a job whose attempt did not return."""

import asyncio
import logging
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE, EventLog
from turnspit import Cancel, Event, GiveUp, JobCancelled, JobContext, JobDead, Retry, RetryAfter, Snooze, Turnspit
from turnspit._runtime.worker import failures
from turnspit.records import NewJob
from turnspit.telemetry.logs import JobFilter
from turnspit.testing import TestStore, override


def test_a_failed_job_is_tried_again_until_it_succeeds_and_every_attempt_is_kept(
    app: Turnspit, events: EventLog
) -> None:
    @app.task(retry=Retry(attempts=5, delay=0.01))
    def flaky(job: JobContext) -> int:
        if job.attempt < 3:
            raise ConnectionError(f"try {job.attempt}")
        return job.attempt

    with app.worker():
        job = flaky.enqueue()
        assert job.get_result(DEADLINE) == 3
        events.wait("completed", job.id)
    assert events.names(job.id) == ["started", "failed", "started", "failed", "started", "completed"]
    kept = [(each.number, each.outcome, each.error_type, each.error_message) for each in job.attempts]
    assert kept == [
        (1, "failed", "ConnectionError", "try 1"),
        (2, "failed", "ConnectionError", "try 2"),
        (3, "completed", None, None),
    ]
    for attempt in job.attempts:
        assert attempt.worker == job.worker
        assert attempt.started_at is not None
        assert attempt.finished_at is not None
        assert attempt.started_at <= attempt.finished_at
    assert "in flaky" in (job.attempts[0].traceback or "")
    assert "ConnectionError: try 1" in (job.attempts[0].traceback or "")


def test_a_traceback_begins_with_the_job(t: TestStore) -> None:
    @t.app.task
    def plain() -> None:
        raise KeyError("order")

    @t.app.task
    async def awaited() -> None:
        raise KeyError("order")

    plain.enqueue()
    awaited.enqueue()
    for ran in t.drain():
        first, frame, *_ = (ran.attempts[0].traceback or "").splitlines()
        assert first == "Traceback (most recent call last):"
        assert frame.endswith(f"in {ran.task}"), ran.attempts[0].traceback


def test_a_retrying_job_says_so(t: TestStore) -> None:
    @t.app.task(retry=Retry(attempts=3, base=10, jitter="none"))
    async def flaky() -> None:
        raise ConnectionError("no route")

    job = flaky.enqueue()
    t.run_one(job)
    job.refresh()
    assert (job.state, job.is_retrying, job.attempt) == ("scheduled", True, 1)
    assert (job.error_type, job.reason) == ("ConnectionError", "no route")
    assert (job.run_at - t.now).total_seconds() == 10
    t.advance(10)
    assert job.refresh().state == "ready"
    t.run_one(job)
    assert (job.refresh().run_at - t.now).total_seconds() == 20


def test_a_job_out_of_attempts_is_a_dead_letter(t: TestStore) -> None:
    @t.app.task(retry=Retry(attempts=2, delay=0))
    async def hopeless() -> None:
        raise ValueError("card declined")

    job = hopeless.enqueue()
    t.drain(recursive=True)
    job.refresh()
    assert (job.state, job.attempt, job.error_type, job.reason) == ("dead", 2, "ValueError", "card declined")
    assert [each.outcome for each in job.attempts] == ["failed", "dead"]
    with pytest.raises(JobDead, match=rf"^job {job.id} \(hopeless\) is dead: ValueError: card declined$"):
        job.get_result()


def test_the_traceback_of_a_dead_letter_is_made_once(t: TestStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is most of the work that a failed job makes."""
    made: list[BaseException] = []
    make = failures.format_traceback
    monkeypatch.setattr(failures, "format_traceback", lambda error: made.append(error) or make(error))

    @t.app.task(retry=Retry(attempts=1))
    def doomed() -> None:
        raise KeyError("order")

    doomed.enqueue()
    [ran] = t.drain()
    assert (ran.state, len(made)) == ("dead", 1)


@pytest.mark.usefixtures("wakes_alone")
@pytest.mark.parametrize("delay", [0, 0.001])
def test_a_retry_without_a_delay_wakes_a_worker_at_once(app: Turnspit, delay: float) -> None:
    @app.task(retry=Retry(attempts=4, delay=delay))
    async def flaky(job: JobContext) -> None:
        if job.attempt < 4:
            raise ValueError

    with app.worker():
        job = flaky.enqueue()
        job.get_result(DEADLINE)
    assert job.attempt == 4


def _give_up() -> None:
    raise GiveUp("the order does not exist")


def _cancel() -> None:
    raise Cancel("the customer has cancelled")


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize(
    ("end", "state", "outcome", "error", "message"),
    [
        (_give_up, "dead", "dead", JobDead, "job 1 (task) is dead: GiveUp: the order does not exist"),
        (_cancel, "cancelled", "cancelled", JobCancelled, "job 1 (task) was cancelled: the customer has cancelled"),
    ],
)
def test_a_task_may_end_its_job_for_good(
    app: Turnspit,
    events: EventLog,
    is_async: bool,
    end: Callable[[], None],
    state: str,
    outcome: str,
    error: type[Exception],
    message: str,
) -> None:
    async def on_loop() -> None:
        end()

    task = app.task(name="task")(on_loop if is_async else end)  # type: ignore[arg-type]
    with app.worker():
        job = task.enqueue()
        with pytest.raises(error) as raised:
            job.get_result(DEADLINE)
        events.wait(state, job.id)
    assert str(raised.value) == message
    assert (job.state, job.attempt, [each.outcome for each in job.attempts]) == (state, 1, [outcome])


def test_a_snooze_costs_no_attempt(t: TestStore) -> None:
    snoozes = 3

    @t.app.task(retry=Retry(attempts=1))
    def print_it(job: JobContext) -> int:
        nonlocal snoozes
        if snoozes:
            snoozes -= 1
            raise Snooze(300, "the printer is busy")
        return job.attempt

    job = print_it.enqueue()
    for _ in range(3):
        t.run_one(job)
        job.refresh()
        assert (job.state, job.attempt, job.reason) == ("scheduled", 0, "the printer is busy")
        assert (job.run_at - t.now).total_seconds() == 300
        t.advance(300)
    assert t.run_one(job).get_result() == 1
    assert [(each.number, each.outcome) for each in job.refresh().attempts] == [(1, "snoozed")] * 3 + [(1, "completed")]


def test_a_snoozed_job_runs_again_by_itself(app: Turnspit, events: EventLog) -> None:
    asked = []

    @app.task
    async def task(job: JobContext) -> None:
        asked.append(job.attempt)
        if len(asked) < 4:
            raise Snooze(0.01 if len(asked) > 1 else 0)

    with app.worker():
        job = task.enqueue()
        job.get_result(DEADLINE)
        events.wait("snoozed", job.id, count=3)
    assert asked == [1, 1, 1, 1]


def test_retry_after_sets_the_delay_and_counts(t: TestStore) -> None:
    @t.app.task(retry=Retry(attempts=3, on=KeyError))
    async def call_partner() -> None:
        raise RetryAfter(77, "429 Too Many Requests")

    job = call_partner.enqueue()
    for attempt in (1, 2):
        t.run_one(job)
        job.refresh()
        assert (job.state, job.attempt) == ("scheduled", attempt)
        assert (job.run_at - t.now).total_seconds() == 77
        t.advance(77)
    t.run_one(job)
    assert (job.refresh().state, job.reason, job.error_type) == ("dead", "429 Too Many Requests", "RetryAfter")


def test_only_the_named_errors_are_tried_again(t: TestStore) -> None:
    @t.app.task(retry=Retry(on=ConnectionError))
    async def task(kind: str) -> None:
        raise {"broken": BrokenPipeError, "value": ValueError}[kind]

    jobs = [task.enqueue("broken"), task.enqueue("value")]
    t.drain()
    assert [job.refresh().state for job in jobs] == ["scheduled", "dead"]


def test_the_retry_policy_is_the_jobs_else_the_tasks_else_the_apps() -> None:
    app = Turnspit("sqlite:////nonexistent/turnspit.db", retry=Retry(attempts=4, delay=0))
    of_app = app.task(name="of_app")(_always_fails)
    of_task = app.task(name="of_task", retry=Retry(attempts=3, delay=0))(_always_fails)
    with override(app) as t:
        jobs = [of_app.enqueue(), of_task.enqueue(), of_task.using(retry=Retry(attempts=2, delay=0)).enqueue()]
        t.drain(recursive=True)
        assert [job.refresh().attempt for job in jobs] == [4, 3, 2]
        assert {job.state for job in jobs} == {"dead"}


def _always_fails() -> None:
    raise ValueError("always")


@pytest.mark.parametrize("failure", [ZeroDivisionError, SystemExit])
def test_a_retry_policy_that_fails_itself_buries_the_job_with_its_own_error(
    t: TestStore, caplog: pytest.LogCaptureFixture, failure: type[BaseException]
) -> None:
    def decide(attempt: int, error: BaseException) -> float:
        raise failure

    task = t.app.task(name="task", retry=Retry(delay=decide))(_always_fails)
    job = task.enqueue()
    t.run_one(job)
    assert (job.refresh().state, job.error_type) == ("dead", "ValueError")
    assert "the retry policy of task failed for job 1" in caplog.text


def test_on_dead_is_told_with_the_jobs_context_and_its_last_error(app: Turnspit, events: EventLog) -> None:
    told: list[Any] = []

    def plain(job: JobContext, error: BaseException) -> None:
        told.append((job.id, job.metadata, repr(error)))
        refund.enqueue(job.id)  # a sync verb: it is not on the event loop

    async def on_loop(job: JobContext, error: BaseException) -> None:
        told.append((job.id, repr(error)))
        await refund.aenqueue(job.id)

    def failing(job: JobContext, error: BaseException) -> None:
        raise RuntimeError("no")

    @app.task
    def refund(number: int) -> int:
        return number

    tasks = [
        app.task(name=f"task{number}", retry=Retry(attempts=1), on_dead=hook)(_always_fails)
        for number, hook in enumerate((plain, on_loop, failing))
    ]
    with app.worker():
        jobs = [task.using(metadata={"n": 1}).enqueue() for task in tasks]
        for job in jobs:
            events.wait("dead", job.id)
    assert sorted(told, key=len) == [
        (jobs[1].id, "ValueError('always')"),
        (jobs[0].id, {"n": 1}, "ValueError('always')"),
    ]
    assert sorted(job.args["number"] for job in app.jobs.list(task="refund")) == [1, 2]


@pytest.mark.on_sqlite
@pytest.mark.parametrize("error", [StopIteration(), SystemExit(1), asyncio.CancelledError()], ids=repr)
@pytest.mark.parametrize("is_async", [False, True])
def test_whatever_on_dead_raises_the_next_ones_are_told(
    app: Turnspit, events: EventLog, caplog: pytest.LogCaptureFixture, error: BaseException, is_async: bool
) -> None:
    def plain(job: JobContext, _: BaseException) -> None:
        raise error

    async def on_loop(job: JobContext, _: BaseException) -> None:
        raise error

    task = app.task(name="task", retry=Retry(attempts=1), on_dead=on_loop if is_async else plain)(_always_fails)
    with caplog.at_level(logging.ERROR, "turnspit"), app.worker():
        jobs = [task.enqueue() for _ in range(2)]
        for job in jobs:
            events.wait("dead", job.id)
    assert [f"on_dead of task failed for job {job.id}" in caplog.text for job in jobs] == [True, True]


class Busy(Snooze):
    def __init__(self) -> None:
        Exception.__init__(self, "busy")


class TooMany(RetryAfter):
    def __init__(self) -> None:
        Exception.__init__(self, "too many")


@pytest.mark.parametrize("error", [Busy(), TooMany(), SyntaxError("no", ("file", 3, "1", "text", 1, 1))], ids=repr)
def test_what_cannot_be_read_of_an_error_does_not_run_its_job_for_ever(t: TestStore, error: Exception) -> None:
    """An outcome without its delay, and an exception that Python's own traceback cannot format."""

    @t.app.task(retry=Retry(attempts=2, delay=0))
    async def task() -> None:
        raise error

    job = task.enqueue()
    t.drain(recursive=True)
    assert (job.refresh().state, job.attempt, job.error_type) == ("dead", 2, type(error).__name__)


def test_an_error_of_a_cancelled_helper_is_an_error_of_the_job(t: TestStore) -> None:
    @t.app.task(retry=Retry(attempts=1))
    async def task() -> None:
        helper = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        helper.cancel()
        await helper

    job = task.enqueue()
    t.run_one(job)
    assert (job.refresh().state, job.error_type) == ("dead", "CancelledError")


def test_a_filter_of_the_log_that_raises_loses_no_job(app: Turnspit, capsys: pytest.CaptureFixture[str]) -> None:
    """It raises in ``logger.info``, as where the end of an attempt is decided: the job came back again and again. A
    worker did not even start.
    """

    def refuse(record: logging.LogRecord) -> bool:
        raise KeyError("tenant")

    @app.on("failed")
    def hear(event: Event) -> None:
        raise RuntimeError("a handler of an event is logged, too")

    attempts: list[int] = []

    @app.task(retry=Retry(attempts=2, delay=0))
    async def fail(job: JobContext) -> None:
        attempts.append(job.attempt)
        raise ValueError("no")

    @app.task(retry=Retry(attempts=2, delay=0))
    def fit(number: int) -> None: ...

    job = fail.enqueue()
    misfit = app.engine.write(app.engine.insert_job, NewJob("fit", "default", '{"number": "x"}')).id
    logger = logging.getLogger("turnspit")
    logger.addFilter(refuse)
    try:
        with app.worker(), pytest.raises(JobDead):
            job.get_result(DEADLINE)
    finally:
        logger.removeFilter(refuse)
    assert attempts == [1, 2]
    assert "KeyError: 'tenant'" in capsys.readouterr().err
    assert app.jobs.get(misfit).error_type == "InvalidPayload"


def test_what_another_program_stored_as_metadata_harms_no_job(app: Turnspit) -> None:
    @app.task
    def greet(job: JobContext) -> tuple[int, int]:
        return len(job.metadata), len(job.tags)

    new = NewJob("greet", "default", "{}", metadata="[1]", tags="[7]")
    job = app.jobs.get(app.engine.write(app.engine.insert_job, new).id)
    assert (job.metadata, job.tags) == ({}, (7,))
    handler = logging.StreamHandler(StringIO())
    handler.addFilter(JobFilter())
    logging.getLogger("turnspit").addHandler(handler)
    try:
        with app.worker():
            assert job.get_result(DEADLINE) == (0, 1)
    finally:
        logging.getLogger("turnspit").removeHandler(handler)
