"""Several event loops, sync calls inside one, and what may leak from job to job."""

import asyncio
import inspect
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE
from turnspit import JobContext, Turnspit, TurnspitError, current_job

user: ContextVar[str] = ContextVar("user", default="nobody")


@pytest.fixture
def double(app: Turnspit) -> Any:
    @app.task
    async def double(number: int) -> int:
        return number * 2

    return double


async def enqueue_and_wait(task: Any, number: int) -> int:
    job = await task.aenqueue(number)
    return int(await job.aget_result(DEADLINE))


def test_aenqueue_works_after_a_second_asyncio_run(app: Turnspit, double: Any) -> None:
    with app.worker():
        assert [asyncio.run(enqueue_and_wait(double, number)) for number in range(5)] == [0, 2, 4, 6, 8]


def test_aenqueue_works_from_several_loops_at_once(app: Turnspit, double: Any) -> None:
    async def many(first: int) -> list[int]:
        return await asyncio.gather(*(enqueue_and_wait(double, number) for number in range(first, first + 20)))

    with app.worker(), ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda first: asyncio.run(many(first)), (0, 20, 40, 60)))
    assert [each for part in results for each in part] == [number * 2 for number in range(80)]


def test_a_worker_may_run_in_one_loop_after_another(app: Turnspit, double: Any) -> None:
    async def main(number: int) -> int:
        async with app.worker():
            return await enqueue_and_wait(double, number)

    assert [asyncio.run(main(number)) for number in range(3)] == [0, 2, 4]


def test_a_loop_that_was_closed_while_a_call_waited_harms_nobody(app: Turnspit, double: Any) -> None:
    async def hasty() -> None:
        job = await double.aenqueue(1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(job.aget_result(DEADLINE), 0.05)

    asyncio.run(hasty())  # no worker: the result never comes
    with app.worker():
        assert app.jobs.get(1).get_result(DEADLINE) == 2
        assert asyncio.run(enqueue_and_wait(double, 2)) == 4


def test_sync_verbs_inside_a_running_loop_work_and_warn_once_at_the_callers_line(app: Turnspit, double: Any) -> None:
    async def main() -> list[int]:
        line.append(inspect.currentframe().f_lineno + 1)  # type: ignore[union-attr]
        first = double.enqueue(1)
        second = double.using(priority=1).enqueue(2)
        app.enqueue_many([double.new(3)])
        return [first.get_result(DEADLINE), second.get_result(DEADLINE), len(app.jobs.list())]

    line: list[int] = []
    with app.worker(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert asyncio.run(main()) == [2, 4, 3]
    [warning] = caught
    assert str(warning.message) == (
        "a sync verb was called inside a running event loop, which waits for the store meanwhile: "
        "use the verb with an a in front, as in await task.aenqueue(...)"
    )
    assert (warning.category, warning.filename, warning.lineno) == (RuntimeWarning, __file__, line[0])


@pytest.mark.parametrize("options", [{}, {"priority": 1}])
def test_the_warning_points_at_the_caller_whatever_the_verb(app: Turnspit, double: Any, options: Any) -> None:
    async def main() -> None:
        if options:
            double.using(**options).enqueue(1)
        else:
            app.enqueue_many([double.new(1)])

    with pytest.warns(RuntimeWarning, match="a sync verb was called") as caught:
        asyncio.run(main())
    assert [warning.filename for warning in caught] == [__file__]


def test_a_sync_enqueue_inside_the_worker_s_own_loop_does_not_deadlock(app: Turnspit, double: Any) -> None:
    @app.task
    async def outer(number: int) -> int:
        return int(double.enqueue(number).id)

    async def main() -> int:
        async with app.worker():
            job = await outer.aenqueue(5)
            inner = await app.jobs.aget(await job.aget_result(DEADLINE))
            return int(await inner.aget_result(DEADLINE))

    with pytest.warns(RuntimeWarning, match="a sync verb was called"):
        assert asyncio.run(main()) == 10


def test_a_thread_job_may_enqueue_and_wait_for_another(app: Turnspit, double: Any) -> None:
    @app.task
    def outer(number: int) -> int:
        return int(double.enqueue(number).get_result(DEADLINE))

    with app.worker(concurrency=2):
        assert outer.enqueue(5).get_result(DEADLINE) == 10


def test_two_embedded_workers_of_two_apps_live_side_by_side(app: Turnspit, double: Any, folder: Any) -> None:
    other = Turnspit(f"sqlite:///{folder}/other.db")

    @other.task
    def triple(number: int) -> int:
        return number * 3

    with other, other.worker(), app.worker():
        assert (double.enqueue(2).get_result(DEADLINE), triple.enqueue(2).get_result(DEADLINE)) == (4, 6)


@pytest.mark.parametrize("is_async", [True, False])
def test_context_variables_do_not_leak_from_job_to_job(app: Turnspit, is_async: bool) -> None:
    def plain(name: str) -> list[str]:
        before = user.get()
        user.set(name)
        return [before, user.get()]

    async def on_loop(name: str) -> list[str]:
        return plain(name)

    task = app.task(name="task")(on_loop if is_async else plain)  # type: ignore[arg-type]
    user.set("the program")
    with app.worker(concurrency=1):
        results = [task.enqueue(name).get_result(DEADLINE) for name in ("ada", "bob", "eve")]
    assert [after for _, after in results] == ["ada", "bob", "eve"]
    assert {before for before, _ in results} <= {"the program", "nobody"}
    assert user.get() == "the program"
    with pytest.raises(TurnspitError):
        current_job()


def test_neither_does_the_current_job(app: Turnspit) -> None:
    together = threading.Barrier(4)

    @app.task
    def task(job: JobContext) -> bool:
        together.wait(DEADLINE)
        return current_job() is job

    with app.worker(concurrency=4):
        jobs = [task.enqueue() for _ in range(4)]
        assert [job.get_result(DEADLINE) for job in jobs] == [True] * 4
