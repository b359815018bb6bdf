"""Many jobs in one call."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from turnspit import ConfigurationError, InvalidArguments, Turnspit
from turnspit.records import NewJob


@pytest.fixture
def send(app: Turnspit) -> Any:
    @app.task
    async def send(number: int) -> None: ...

    return send


def numbers(app: Turnspit) -> list[int]:
    """The arguments of all stored jobs, oldest first."""
    return [job.args["number"] for job in reversed(app.jobs.list(limit=1000))]


def test_the_ids_come_back_in_the_order_given(app: Turnspit, send: Any) -> None:
    ids = app.enqueue_many([send.new(number) for number in (5, 3, 4)])
    assert [app.jobs.get(job).args for job in ids] == [{"number": 5}, {"number": 3}, {"number": 4}]


def test_the_iterable_is_streamed_a_chunk_is_a_transaction_and_progress_is_told(app: Turnspit, send: Any) -> None:
    made, told = [], []

    def jobs() -> Iterator[NewJob[None]]:
        for number in range(25):
            made.append(number)
            yield send.new(number)

    def progress(stored: int) -> None:
        told.append((stored, len(made), app.jobs.count()))

    assert len(app.enqueue_many(jobs(), chunk=10, progress=progress)) == 25
    # The next chunk is made while the store works on the one before, and no more than that one.
    assert told == [(10, 20, 10), (20, 25, 20), (25, 25, 25)]


@pytest.mark.parametrize("is_async", [True, False])
def test_after_an_error_the_chunks_before_it_are_stored(app: Turnspit, send: Any, is_async: bool) -> None:
    def jobs() -> Iterator[NewJob[None]]:
        for number in range(7):
            yield send.new(number)
        yield send.new("seven")

    with pytest.raises(InvalidArguments, match=r"^send: number: Input should be a valid integer"):
        asyncio.run(app.aenqueue_many(jobs(), chunk=3)) if is_async else app.enqueue_many(jobs(), chunk=3)
    assert numbers(app) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("is_async", [False, True])
def test_what_progress_raises_ends_it_after_that_chunk(app: Turnspit, send: Any, is_async: bool) -> None:
    told, ended = [], []

    class Sending:
        def __init__(self, jobs: Sequence[NewJob[Any]]) -> None:
            self.jobs = jobs

        def end(self, ids: Sequence[int], error: BaseException | None) -> None:
            ended.append((list(ids), error))

    def progress(stored: int) -> None:
        told.append(stored)
        raise RuntimeError("enough")

    app.senders.append(Sending)
    jobs = [send.new(number) for number in range(6)]

    def enqueue() -> list[int]:
        if is_async:
            return asyncio.run(app.aenqueue_many(jobs, chunk=2, progress=progress))
        return app.enqueue_many(jobs, chunk=2, progress=progress)

    with pytest.raises(RuntimeError, match="enough"):
        enqueue()
    assert (told, ended, numbers(app)) == ([2], [([1, 2], None)], [0, 1])


def test_an_async_iterable_is_taken_by_the_async_twin(app: Turnspit, send: Any) -> None:
    told: list[int] = []

    async def jobs() -> AsyncIterator[NewJob[None]]:
        for number in range(5):
            await asyncio.sleep(0)
            yield send.new(number)

    ids = asyncio.run(app.aenqueue_many(jobs(), chunk=2, progress=told.append))
    assert (len(ids), told, numbers(app)) == (5, [2, 4, 5], [0, 1, 2, 3, 4])


def test_jobs_of_different_tasks_and_options_may_be_mixed(app: Turnspit, send: Any) -> None:
    @app.task(queue="slow")
    def other() -> None: ...

    ids = app.enqueue_many([send.new(1), other.new(), send.using(delay=60, priority=5, tags=["a"]).new(2)])
    jobs = [app.jobs.get(job) for job in ids]
    assert [(job.task, job.queue, job.state, job.priority, job.tags) for job in jobs] == [
        ("send", "default", "ready", 0, ()),
        ("other", "slow", "ready", 0, ()),
        ("send", "default", "scheduled", 5, ("a",)),
    ]


def test_nothing_is_nothing(app: Turnspit) -> None:
    assert app.enqueue_many([]) == []


def test_twenty_thousand_jobs_in_one_chunk(app: Turnspit, send: Any) -> None:
    ids = app.enqueue_many((send.new(number) for number in range(20_000)), chunk=20_000)
    assert ids == list(range(1, 20_001))
    assert app.jobs.count(state="ready") == 20_000


@pytest.mark.parametrize("chunk", [0, -1, 1.5])
def test_a_chunk_is_a_number_of_jobs(app: Turnspit, send: Any, chunk: Any) -> None:
    for run in (app.enqueue_many, lambda *args, **kw: asyncio.run(app.aenqueue_many(*args, **kw))):
        with pytest.raises(ConfigurationError, match=rf"^chunk is a whole number of at least 1, not {chunk}$"):
            run([send.new(1)], chunk=chunk)
    assert app.jobs.count() == 0


def test_what_is_not_a_new_job_is_refused_with_the_cure(app: Turnspit, send: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^enqueue_many takes what task.new\(...\) returns, not 5$"):
        app.enqueue_many([send.new(1), 5])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match=r"^new\(\) stores nothing, so it takes no tx=; give tx= to "):
        send.using(tx=object()).new(1)
    assert app.jobs.count() == 0
