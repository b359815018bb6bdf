"""What ``@app.metadata`` adds to the jobs of a request."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE
from turnspit import ConfigurationError, Every, InvalidPayload, JobContext, Turnspit
from turnspit.records import NewJob

request: ContextVar[str | None] = ContextVar("request", default=None)


@pytest.fixture
def carried(app: Turnspit) -> Iterator[Turnspit]:
    @app.metadata
    def of_request() -> dict[str, str] | None:
        return None if (now := request.get()) is None else {"request": now}

    @app.middleware
    async def restore(job: JobContext, call_next: Callable[[JobContext], Awaitable[Any]]) -> Any:
        request.set(job.metadata.get("request"))
        return await call_next(job)

    token = request.set("r-1")
    yield app
    request.reset(token)


def metadata_of(app: Turnspit) -> list[dict[str, Any]]:
    return [job.metadata for job in app.jobs.list()]


def test_every_way_to_store_a_job_adds_it(carried: Turnspit) -> None:
    app = carried

    @app.task
    def task(numbers: list[int]) -> None: ...

    async def in_async_code() -> None:
        await task.aenqueue([1])
        await app.aenqueue_many([task.new([1]), task.new([2])])
        async with app.workflow("two") as flow:
            flow.add(task.new([1]))

    task.enqueue([1])
    app.enqueue_many(task.new([number]) for number in range(3))
    app.enqueue_message({"task": "task", "args": {"numbers": [1]}})
    task.map(range(4), chunk=2)
    with app.workflow("one") as flow:
        flow.add(task.new([1]))
    asyncio.run(in_async_code())
    assert metadata_of(app) == [{"request": "r-1"}] * 12


def test_what_the_call_gives_wins_and_without_a_request_there_is_nothing(carried: Turnspit) -> None:
    @carried.task
    def task() -> None: ...

    assert task.using(metadata={"request": "mine", "shop": 7}).enqueue().metadata == {"request": "mine", "shop": 7}
    assert task.using(metadata={"shop": 7}).enqueue().metadata == {"request": "r-1", "shop": 7}
    request.set(None)
    assert task.enqueue().metadata == {}


def test_several_functions_add_to_each_other(carried: Turnspit) -> None:
    @carried.metadata
    def of_shop() -> dict[str, Any]:
        return {"shop": 7, "request": "of the second"}

    @carried.task
    def task() -> None: ...

    assert task.enqueue().metadata == {"shop": 7, "request": "r-1"}


@pytest.mark.parametrize("is_async", [True, False])
def test_a_job_passes_it_on_to_what_it_enqueues(carried: Turnspit, *, is_async: bool) -> None:
    app = carried

    @app.task
    def last(job: JobContext) -> Any:
        return job.metadata["request"]

    if is_async:

        @app.task
        async def first() -> Any:
            return (await last.aenqueue()).id
    else:

        @app.task
        def first() -> Any:
            return last.enqueue().id

    job = first.enqueue()
    request.set(None)
    with app.worker():
        assert app.jobs.get(job.get_result(DEADLINE)).get_result(DEADLINE) == "r-1"


def test_the_job_that_a_workflow_ends_with_has_it_too(carried: Turnspit) -> None:
    app = carried

    @app.task
    def task() -> None: ...

    with app.workflow("one", on_success=task.using(metadata={"shop": 7}).new()) as flow:
        flow.add(task.new())
    with app.worker(until_empty=True) as worker:
        worker.wait()
    assert metadata_of(app) == [
        {"request": "r-1", "shop": 7, "workflow": flow.id, "hook": "on_success"},
        {"request": "r-1"},
    ]


def test_a_schedule_has_no_request(carried: Turnspit) -> None:
    @carried.task
    def task() -> None: ...

    carried.schedules.create("often", task, Every(minutes=5))
    job = carried.jobs.get(carried.schedules.run_now("often"))
    assert "request" not in job.metadata


@pytest.mark.parametrize("answer", ["r-1", {"request": object()}, KeyError("request")], ids=["text", "object", "error"])
def test_nothing_is_stored_where_it_cannot_be_made(app: Turnspit, answer: Any) -> None:
    errors: list[BaseException | None] = []

    class Watched:
        def __init__(self, jobs: Sequence[NewJob[Any]]) -> None:
            self.jobs = jobs

        def end(self, ids: Sequence[int], error: BaseException | None) -> None:
            errors.append(error)

    app.senders.append(Watched)

    @app.metadata
    def of_request() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    @app.task
    def task() -> None: ...

    for enqueue in (task.enqueue, lambda: app.enqueue_many([task.new()])):
        with pytest.raises((ConfigurationError, InvalidPayload, KeyError), match="request") as caught:
            enqueue()
        assert errors.pop() is caught.value  # who began before hears of it
    assert app.jobs.count() == 0


def test_a_function_that_cannot_be_called_is_refused(app: Turnspit) -> None:
    async def later() -> dict[str, str]:
        return {}

    def of(job: object) -> dict[str, str]:
        return {}

    with pytest.raises(ConfigurationError, match=r"also added by sync code: write def later\(\)"):
        app.metadata(later)  # type: ignore[type-var]
    with pytest.raises(
        ConfigurationError, match=r"takes nothing, as in def of\(\): missing a required argument: 'job'"
    ):
        app.metadata(of)  # type: ignore[type-var]
