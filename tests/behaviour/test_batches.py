"""Batch tasks: many jobs in one call, and an answer for each."""

import asyncio
import threading
from typing import Any

import pytest
from pydantic import BaseModel

from tests.behaviour.support import DEADLINE, SOON, EventLog, has_begun, wait_until
from turnspit import (
    Batch,
    Blueprint,
    ConfigurationError,
    GiveUp,
    InvalidArguments,
    JobDead,
    JobState,
    Retry,
    Snooze,
    Turnspit,
    TurnspitError,
)
from turnspit.records import NewJob


class Document(BaseModel):
    number: int


def test_jobs_are_run_together_and_answered_one_by_one(app: Turnspit) -> None:
    calls: list[int] = []

    @app.batch_task(size=100, wait=5)
    async def index(batch: Batch[Document]) -> None:
        calls.append(len(batch))
        for item in batch:
            item.complete(item.value.number * 2)

    ids = app.enqueue_many(index.new(Document(number=number)) for number in range(200))
    with app.worker(concurrency=2):
        results = [app.jobs.get(job).get_result(DEADLINE) for job in ids]
    assert results == [number * 2 for number in range(200)]
    assert sum(calls) == 200
    assert len(calls) <= 4, "a batch takes one slot, so that a hundred can gather in two"


def test_one_bad_item_fails_alone(app: Turnspit) -> None:
    seen: list[list[int]] = []

    @app.batch_task(size=3, wait=DEADLINE, retry=Retry(attempts=1))
    async def index(batch: Batch[int]) -> None:
        seen.append(batch.values)
        for item in batch:
            if item.value == 2:
                item.fail(ValueError("a bad document"))

    jobs = [index.enqueue(number) for number in (1, 2, 3)]
    with app.worker():
        assert jobs[0].get_result(DEADLINE) is jobs[2].get_result(DEADLINE) is None
        with pytest.raises(JobDead, match="ValueError: a bad document"):
            jobs[1].get_result(DEADLINE)
    assert seen == [[1, 2, 3]]


def test_what_is_not_full_goes_when_its_time_is_over(app: Turnspit) -> None:
    @app.batch_task(size=100, wait=0.02)
    async def index(batch: Batch[int]) -> None:
        for item in batch:
            item.complete(len(batch))

    with app.worker():
        assert index.enqueue(1).get_result(DEADLINE) == 1


def test_a_handler_that_raises_fails_those_that_it_has_not_answered(app: Turnspit) -> None:
    @app.batch_task(size=2, wait=DEADLINE, retry=Retry(attempts=1))
    async def index(batch: Batch[int]) -> None:
        batch[0].complete("done before")
        raise GiveUp("the index is gone")

    first, second = index.enqueue(1), index.enqueue(2)
    with app.worker():
        assert first.get_result(DEADLINE) == "done before"
        with pytest.raises(JobDead, match="the index is gone"):
            second.get_result(DEADLINE)


def test_each_job_has_its_own_retries_and_outcomes(app: Turnspit, events: EventLog) -> None:
    failed: set[str] = set()

    @app.batch_task(size=2, wait=0.05, retry=Retry(attempts=2, base=0))
    async def index(batch: Batch[str]) -> None:
        for item in batch:
            if item.value not in failed:
                item.fail(Snooze(0) if item.value == "snooze" else ValueError("once"))
                failed.add(item.value)

    jobs = [index.enqueue("retry"), index.enqueue("snooze")]
    with app.worker():
        for job in jobs:
            job.get_result(DEADLINE)
    assert [[attempt.outcome for attempt in job.attempts] for job in jobs] == [
        ["failed", "completed"],
        ["snoozed", "completed"],
    ]


def test_a_cancelled_job_leaves_its_batch(app: Turnspit) -> None:
    sizes: list[int] = []

    @app.batch_task(size=3, wait=DEADLINE)
    async def index(batch: Batch[int]) -> None:
        sizes.append(len(batch))

    first = index.enqueue(1)
    with app.worker() as worker:
        wait_until(lambda: has_begun(worker, first), "it gathers")
        app.jobs.cancel(first.id)
        wait_until(lambda: first.refresh().state is JobState.CANCELLED, "it was cancelled")
        for number in (2, 3, 4):
            index.enqueue(number)
        wait_until(lambda: sizes == [3], "the others went together")


def test_a_batch_over_its_time_is_stopped(app: Turnspit) -> None:
    stopped = asyncio.Event()

    @app.batch_task(size=2, wait=0.01, timeout=SOON, retry=Retry(attempts=1))
    async def index(batch: Batch[int]) -> None:
        try:
            await asyncio.sleep(DEADLINE)
        except asyncio.CancelledError:
            stopped.set()
            raise

    jobs = [index.enqueue(1), index.enqueue(2)]
    with app.worker():
        for job in jobs:
            with pytest.raises(JobDead, match="over its time-out"):
                job.get_result(DEADLINE)
    assert stopped.is_set()


def test_a_worker_that_stops_runs_what_has_gathered(app: Turnspit) -> None:
    @app.batch_task(size=100, wait=DEADLINE)
    async def index(batch: Batch[int]) -> None: ...

    job = index.enqueue(1)
    with app.worker() as worker:
        wait_until(lambda: has_begun(worker, job), "it gathers")
    assert job.refresh().state is JobState.COMPLETED


def test_arguments_are_checked_as_those_of_one_job(app: Turnspit) -> None:
    @app.batch_task(size=10)
    async def index(batch: Batch[Document]) -> None: ...

    with pytest.raises(InvalidArguments, match="item"):
        index.enqueue("no document")  # type: ignore[arg-type]
    assert index.enqueue(Document(number=7)).args == {"item": {"number": 7}}


def test_an_item_is_answered_once(app: Turnspit) -> None:
    errors: list[str] = []

    @app.batch_task(size=1)
    async def index(batch: Batch[int]) -> None:
        [item] = batch
        item.complete(1)
        with pytest.raises(TurnspitError) as raised:
            item.fail(ValueError())
        errors.append(str(raised.value))

    with app.worker():
        assert index.enqueue(1).get_result(DEADLINE) == 1
    assert "answered for already" in errors[0]


async def takes_a_list(batch: list[int]) -> None: ...
async def takes_two(batch: Batch[int], other: int) -> None: ...
async def takes_a_batch(batch: Batch[int]) -> None: ...


@pytest.mark.parametrize(
    ("function", "options", "said"),
    [
        (takes_a_list, {}, r"batch: Batch\[int\]"),
        (takes_two, {}, "takes one argument"),
        (takes_a_batch, {"size": 0}, "size is from 1"),
        (takes_a_batch, {"wait": -1}, "wait"),
    ],
)
def test_what_cannot_be_a_batch_task_is_refused(function: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Blueprint("b").batch_task(**options)(function)


def test_a_batch_task_without_parentheses_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"with parentheses, as in @app.batch_task\(size=100\)"):
        Blueprint("b").batch_task(takes_a_batch)  # type: ignore[arg-type]


def test_a_batch_of_jobs_that_have_an_old_name_takes_one_slot(app: Turnspit) -> None:
    entered, may_leave = threading.Event(), threading.Event()

    @app.batch_task(size=2, wait=DEADLINE, aliases=["old"])
    async def index(batch: Batch[int]) -> None:
        entered.set()
        await asyncio.to_thread(may_leave.wait, DEADLINE)

    @app.task
    async def another() -> str:
        return "beside it"

    for _ in range(2):
        app.engine.write(app.engine.insert_job, NewJob("old", "default", '{"item":1}'))
    with app.worker(concurrency=2):
        assert entered.wait(DEADLINE)
        assert another.enqueue().get_result(DEADLINE) == "beside it"
        may_leave.set()
