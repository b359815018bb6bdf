"""``task.map`` and ``job.iterate``."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE, Gate, wait_until
from turnspit import ConfigurationError, InvalidArguments, JobContext, JobState, Retry, Turnspit, TurnspitError


def test_large_work_is_fanned_out_in_chunks(app: Turnspit) -> None:
    seen: list[tuple[int, list[int]]] = []

    @app.task
    async def add(numbers: list[int], tenant_id: int) -> None:
        seen.append((tenant_id, numbers))

    async def numbers() -> AsyncIterator[int]:
        for number in range(5):
            yield number

    flow = add.map(iter(range(2500)), chunk=1000, tenant_id=7)
    other = asyncio.run(add.amap(numbers(), chunk=2, name="few", tenant_id=8))
    with app.worker():
        assert app.workflows.wait_ended(flow, DEADLINE).completed == 3
        assert app.workflows.wait_ended(other, DEADLINE).name == "few"
    assert sorted(number for tenant, part in seen if tenant == 7 for number in part) == list(range(2500))
    assert sorted(part for tenant, part in seen if tenant == 8) == [[0, 1], [2, 3], [4]]


def test_what_cannot_be_fanned_out_is_refused(app: Turnspit) -> None:
    @app.task
    async def nothing() -> None: ...

    @app.task
    async def add(numbers: list[int]) -> None: ...

    @app.task
    async def greet(name: str) -> None: ...

    with pytest.raises(ConfigurationError, match="takes no arguments"):
        nothing.map([1])  # type: ignore[misc,arg-type]
    with pytest.raises(ConfigurationError, match="chunk is a whole number"):
        add.map([1], chunk=0)
    with pytest.raises(InvalidArguments, match="numbers"):
        add.map(["one"])  # type: ignore[list-item]
    with pytest.raises(InvalidArguments, match=r"name: .*map\(\) gives the first argument a list of items"):
        greet.map(["Ada"])  # type: ignore[misc,arg-type]
    with pytest.raises(InvalidArguments, match="multiple values for argument 'numbers'; it takes \\(numbers\\)"):
        add.map([1], numbers=[2])  # type: ignore[call-arg]
    assert app.workflows.list() == []


def behind(after: int | None) -> Iterator[int]:
    return iter(range(0 if after is None else after + 1, 10))


async def abehind(after: int | None) -> AsyncIterator[int]:
    for number in behind(after):
        yield number


@pytest.mark.parametrize("kind", ["async for", "for", "a list", "async for over a list"])
def test_an_iteration_goes_on_where_it_failed(app: Turnspit, kind: str) -> None:
    done: list[int] = []
    source: Any = {"async for": abehind, "for": behind}.get(kind, list(range(10)))

    def step(number: int) -> None:
        if number == 4 and done.count(3) == 1 and "failed" not in failed:
            failed.add("failed")
            raise ValueError("a bad row")
        done.append(number)

    failed: set[str] = set()

    @app.task(retry=Retry(attempts=2, base=0))
    async def with_async(job: JobContext) -> int:
        async for number in job.iterate(source, key=lambda number: number):
            step(number)
        return len(done)

    @app.task(retry=Retry(attempts=2, base=0))
    def plain(job: JobContext) -> int:
        for number in job.iterate(source, key=lambda number: number):
            step(number)
        return len(done)

    with app.worker():
        task = with_async if "async" in kind else plain
        assert task.enqueue().get_result(DEADLINE) == 10
    assert done == list(range(10))


def test_a_worker_that_stops_hands_an_iteration_on(app: Turnspit) -> None:
    gate = Gate()
    done: list[int] = []
    again: list[bool] = []

    @app.task
    def go_through(job: JobContext) -> None:
        for number in job.iterate(behind, key=lambda number: number):
            done.append(number)
            if number == 3 and job.attempt == 1 and not again:
                gate.came.release()
                while not job.should_yield:
                    job.wait_cancelled(0.01)

    job = go_through.enqueue()
    with app.worker():
        gate.wait_for()
    again.append(True)
    assert (done, job.refresh().state) == ([0, 1, 2, 3], JobState.READY)
    with app.worker():
        job.get_result(DEADLINE)
    assert done == list(range(10))
    assert [attempt.outcome for attempt in job.attempts] == ["snoozed", "completed"]


def test_a_job_may_have_several_iterations(app: Turnspit) -> None:
    done: list[tuple[str, int]] = []

    @app.task(retry=Retry(attempts=2, base=0))
    async def both(job: JobContext) -> None:
        async for number in job.iterate([1, 2], key=lambda number: number, name="first"):
            done.append(("first", number))
        async for number in job.iterate([1, 2], key=lambda number: number, name="second"):
            done.append(("second", number))
        if job.attempt == 1:
            raise ValueError("at the end")
        with pytest.raises(TurnspitError, match="iterates over 'first' twice"):
            job.iterate([1], key=str, name="first")

    with app.worker():
        both.enqueue().get_result(DEADLINE)
    assert done == [("first", 1), ("first", 2), ("second", 1), ("second", 2)]


def test_a_replay_begins_anew(app: Turnspit) -> None:
    done: list[int] = []

    @app.task
    async def go_through(job: JobContext) -> None:
        async for number in job.iterate([1, 2], key=lambda number: number):
            done.append(number)

    job = go_through.enqueue()
    with app.worker():
        job.get_result(DEADLINE)
        app.jobs.replay(job.id)
        job.get_result(DEADLINE)
    assert done == [1, 2, 1, 2]


def test_progress_carries_data(app: Turnspit) -> None:
    gate = Gate()

    @app.task
    def report(job: JobContext) -> None:
        job.progress(0.4, "page 4 of 10", data={"page": 4})
        gate.pass_through()

    job = report.enqueue()
    with app.worker():
        gate.wait_for()
        wait_until(lambda: job.refresh().progress == 0.4, "progress is stored")
        assert (job.progress_message, job.progress_data) == ("page 4 of 10", {"page": 4})
        gate.open()
        job.get_result(DEADLINE)
    assert job.progress_data == {"page": 4}
