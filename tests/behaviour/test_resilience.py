"""What jobs, listeners and programs do wrong, and a worker that goes on."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE, EventLog, Gate, change, url_of, wait_until
from turnspit import EngineUnavailable, JobContext, JobDead, Retry, Turnspit
from turnspit._runtime.worker import worker as worker_module
from turnspit._runtime.worker.settings import WorkerSettings
from turnspit._runtime.worker.worker import Worker


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def mistakes() -> list[BaseException]:
    """What a task may raise without meaning to."""
    return [
        KeyboardInterrupt(),
        SystemExit(1),
        GeneratorExit(),
        Mute(),
        asyncio.CancelledError(),
        ExceptionGroup("g", [ValueError()]),
    ]


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("error", mistakes(), ids=lambda error: type(error).__name__)
def test_whatever_a_task_raises_ends_its_attempt_and_nothing_else(
    app: Turnspit, is_async: bool, error: BaseException
) -> None:
    def plain() -> None:
        raise error

    async def on_loop() -> None:
        raise error

    task = app.task(name="task", retry=Retry(attempts=1))(on_loop if is_async else plain)  # type: ignore[arg-type]

    @app.task
    async def fine() -> int:
        return 1

    with app.worker(concurrency=1):
        with pytest.raises(JobDead, match=rf"^job 1 \(task\) is dead: {type(error).__name__}"):
            task.enqueue().get_result(DEADLINE)
        assert fine.enqueue().get_result(DEADLINE) == 1


@pytest.mark.parametrize("is_async", [True, False])
def test_stop_iteration_is_an_error_like_any_other(app: Turnspit, is_async: bool) -> None:
    def plain() -> None:
        raise StopIteration

    async def on_loop() -> None:
        raise StopIteration

    task = app.task(name="task", retry=Retry(attempts=1))(on_loop if is_async else plain)  # type: ignore[arg-type]
    with app.worker(concurrency=1), pytest.raises(JobDead, match=r"RuntimeError: .*raised StopIteration"):
        task.enqueue().get_result(DEADLINE)


def test_a_coroutine_that_nobody_awaits_is_no_success(app: Turnspit) -> None:
    async def work() -> None: ...

    @app.task
    def forgets() -> Any:
        return work()

    with app.worker(), pytest.raises(JobDead) as raised:
        forgets.enqueue().get_result(DEADLINE)
    assert str(raised.value) == (
        "job 1 (forgets) is dead: GiveUp: forgets returned a coroutine that nobody awaited: declare the task with "
        "async def, and await what it calls"
    )


def test_a_job_that_is_stopped_before_its_first_step_frees_its_slot(app: Turnspit) -> None:
    ran = []

    @app.task
    async def task(number: int) -> None:
        ran.append(number)

    async def main() -> None:
        ids = await app.aenqueue_many(task.new(number) for number in range(2))
        worker = Worker(app.worker_parts(), WorkerSettings(concurrency=1))
        add = worker.executor.add

        def add_and_stop(claims: list[Any]) -> None:
            add(claims)
            for running in worker.executor.running.values():
                if running.claim.id == ids[0]:
                    running.stop("cancelled")

        worker.executor.add = add_and_stop  # type: ignore[method-assign]
        await worker.start()
        for job in ids:
            with pytest.raises(Exception, match="cancelled") if job == ids[0] else _nothing():
                await (await app.jobs.aget(job)).aget_result(DEADLINE)
        await worker.stop()

    asyncio.run(main())
    assert ran == [1]


class _nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def test_a_worker_with_full_slots_waits_quietly(app: Turnspit) -> None:
    gate, poll, rounds = Gate(), 0.05, 10

    @app.task
    def task() -> None:
        gate.pass_through()

    async def main() -> float:
        await task.aenqueue()
        await task.aenqueue()
        worker = Worker(app.worker_parts(), WorkerSettings(concurrency=1, poll=poll))
        await worker.start()
        await asyncio.to_thread(gate.wait_for)
        looked = 0
        enough = asyncio.Event()
        look = worker.claimer._request

        def count() -> Any:
            nonlocal looked
            looked += 1
            if looked == rounds:
                enough.set()
            return look()

        worker.claimer._request = count  # type: ignore[method-assign]
        began = time.monotonic()
        await asyncio.wait_for(enough.wait(), DEADLINE)
        took = time.monotonic() - began
        gate.open()
        await worker.stop()
        return took

    assert asyncio.run(main()) > 0.5 * poll * rounds


def test_a_wake_holds_up_no_exchange_with_the_store(app: Turnspit) -> None:
    async def main() -> int:
        worker = Worker(app.worker_parts(), WorkerSettings(heartbeat=3600, lease=7200))
        await worker.start()
        reconciler = worker.services["reconciler"]
        for _ in range(2):  # the first round looks for claims whose answer was lost, and then not for an hour
            reconciler.wake()
            await reconciler.wait_round()
        looked, look = 0, app.engine.return_unanswered_claims

        def count(*args: Any) -> Any:
            nonlocal looked
            looked += 1
            return look(*args)

        app.engine.return_unanswered_claims = count  # type: ignore[method-assign]
        for _ in range(5):
            reconciler.wake()
            await reconciler.wait_round()
        before_its_end = looked  # a stop looks, too
        await worker.stop()
        return before_its_end

    assert asyncio.run(main()) == 0


def _one() -> int:
    return 1


@pytest.mark.usefixtures("wakes_alone")
def test_the_app_may_be_closed_while_its_worker_runs(app: Turnspit) -> None:
    @app.task
    async def task() -> int:
        return 1

    elsewhere = Turnspit(url_of(app))
    elsewhere.task(name="task")(_one)
    with app.worker(), elsewhere:
        for its_app in (app, elsewhere, app, elsewhere):
            assert task.enqueue().get_result(DEADLINE) == 1
            app.close()
            app.jobs.count()
            assert its_app.tasks["task"].using(delay=0.01).enqueue().get_result(DEADLINE) == 1


def test_a_worker_that_cannot_begin_says_why_and_leaves_nothing(app: Turnspit, folder: Path) -> None:
    threads = threading.active_count()
    app.configure(f"sqlite:///{folder}/missing/shop.db")

    async def main() -> None:
        async with app.worker():
            pass

    for begin in (lambda: app.worker().__enter__(), lambda: asyncio.run(main()), app.run_worker):
        with pytest.raises(EngineUnavailable, match="its folder does not exist; create"):
            begin()
    wait_until(lambda: threading.active_count() <= threads, "the end of the threads")


def test_one_that_is_told_to_stop_while_its_store_is_away_just_stops(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor that stops meanwhile would take the error for a bad end."""

    async def live() -> None:
        worker = Worker(app.worker_parts(), WorkerSettings())

        async def register(*_: Any) -> int:
            worker.request_stop()
            raise EngineUnavailable("away")

        monkeypatch.setattr(app.engine, "awrite", register)
        await worker.start()
        assert worker.id == 0
        assert not await worker.stop()

    asyncio.run(live())


def test_one_embedded_worker_can_be_used_again(app: Turnspit) -> None:
    @app.task
    async def task() -> int:
        return 1

    worker = app.worker()
    for _ in range(3):
        with worker:
            assert task.enqueue().get_result(DEADLINE) == 1
    with app.worker(until_empty=True) as empty:
        empty.wait()
        empty.wait()


def test_an_exception_in_the_program_stops_the_worker_in_order(app: Turnspit) -> None:
    gate = Gate()

    @app.task
    def task() -> str:
        gate.pass_through()
        return "done"

    def program() -> None:
        with app.worker():
            task.enqueue()
            gate.wait_for()
            gate.open()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        program()
    assert app.jobs.get(1).get_result(0) == "done"


def test_a_job_taken_away_and_claimed_again_here_is_done_once_for_the_store(app: Turnspit, events: EventLog) -> None:
    gates = [Gate(), Gate()]
    runs: list[int] = []

    @app.task
    def task() -> str:
        run = len(runs)
        runs.append(run)
        gates[run].pass_through()
        return f"run {run}"

    with app.worker(lease=1.0, heartbeat=0.1, concurrency=2):
        job = task.enqueue()
        gates[0].wait_for()
        change(app, "UPDATE {workers} SET stopped_at = 1")  # what another worker's rescue does
        events.wait("rescued", job.id)
        assert len(runs) == 1  # it runs alone in its process, and here its first run is still under way
        gates[0].open()
        events.wait("lost", job.id)
        gates[1].wait_for()
        gates[1].open()
        assert job.get_result(DEADLINE) == "run 1"
    assert (job.attempt, job.crashes, [each.outcome for each in job.attempts]) == (1, 1, ["crashed", "completed"])


def test_a_thread_that_outlives_its_worker_may_go_on_talking(app: Turnspit) -> None:
    gate, said = Gate(), []

    @app.task
    def task(job: JobContext) -> None:
        gate.pass_through()
        job.log("nobody listens")
        job.progress(1)
        said.append(True)

    with app.worker(grace=0) as worker:
        job = task.enqueue()
        gate.wait_for()
    assert worker._thread is not None
    worker._thread.join(DEADLINE)
    gate.open()
    assert job.get_result(DEADLINE) is None
    assert said


def test_thousands_of_jobs_leave_nothing_behind_in_the_worker(app: Turnspit) -> None:
    @app.task(timeout=30, retry=Retry(base=3600, cap=3600))  # so that none is due again at the end
    async def task(job: JobContext, number: int) -> None:
        job.progress(0.5)
        if number % 100 == 0:
            raise ValueError

    async def main() -> list[int]:
        await app.aenqueue_many(task.new(number) for number in range(5000))
        async with app.worker(until_empty=True) as embedded:
            worker = embedded._worker
            assert worker is not None
            await embedded.await_end()
            loop = asyncio.get_running_loop()
            return [
                len(asyncio.all_tasks()),
                len(loop._scheduled),  # type: ignore[attr-defined]
                len(worker.executor.running) + len(worker.executor.buffer) + len(worker.finisher.unstored),
            ]

    tasks, timers, jobs = asyncio.run(main())
    assert tasks < 15
    assert timers < 150
    assert jobs == 0


def test_an_error_of_the_store_that_nobody_foresaw_does_not_end_the_worker(
    app: Turnspit, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task
    async def task() -> int:
        return 1

    async def main() -> int:
        worker = Worker(app.worker_parts(), WorkerSettings())
        await worker.start()
        write, failures = app.engine.awrite, 2

        async def failing(*args: Any, **kwargs: Any) -> Any:
            nonlocal failures
            if failures and getattr(args[0], "__name__", "") == "exchange":
                failures -= 1
                raise UnicodeEncodeError("utf-8", "x", 0, 1, "nobody foresaw it")
            return await write(*args, **kwargs)

        app.engine.awrite = failing  # type: ignore[method-assign]
        job = await task.aenqueue()
        result = await job.aget_result(DEADLINE)
        await worker.stop()
        return result

    with caplog.at_level(logging.WARNING, "turnspit"):
        assert asyncio.run(main()) == 1
    assert "nobody foresaw it; trying again in" in caplog.text


def test_an_embedded_coroutine_that_will_not_end_does_not_hang_the_program(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "_CANCEL_TIME", 0.1)
    began = threading.Event()
    release: list[Callable[[], object]] = []

    @app.task
    async def stubborn() -> None:
        end = asyncio.Event()
        loop = asyncio.get_running_loop()
        release.append(lambda: loop.call_soon_threadsafe(end.set))
        began.set()
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue

    with app.worker(grace=0):
        job = stubborn.enqueue()
        assert began.wait(DEADLINE)
    assert job.refresh().state == "running", "it must not run beside itself"
    release[0]()
    assert job.get_result(DEADLINE) is None
