"""What still runs when an embedded worker has ended: nobody can end a thread, and its job must not run beside it."""

import asyncio
import contextlib
import logging
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE, SOON, EventLog, Gate, change, url_of, wait_until
from turnspit import EngineUnavailable, Job, JobContext, Retry, Turnspit
from turnspit._runtime.worker import embedded, suspects, worker
from turnspit._runtime.worker.settings import WorkerSettings
from turnspit._runtime.worker.worker import Worker
from turnspit.contract.verbs import Verb
from turnspit.errors import EngineError
from turnspit.tasks import Task

ROOT = Path(__file__).parents[2]


def wait_in_the_bank(gate: Gate) -> None:
    gate.pass_through()


def worker_of(job: Job[Any]) -> int:
    """The number of the worker that has it now."""
    return int((job.refresh().worker or "#0").rpartition("#")[2])


def renewals(app: Turnspit, number: int) -> int:
    [record] = [each for each in app.engine.read(app.engine.list_workers) if each.id == number]
    return record.renewed_at


def is_retired(app: Turnspit, number: int) -> bool:
    return any(each.id == number and each.stopped_at for each in app.engine.read(app.engine.list_workers))


def test_the_job_of_a_thread_stays_its_workers_until_it_ends(app: Turnspit, caplog: pytest.LogCaptureFixture) -> None:
    gate, runs = Gate(), []

    @app.task
    def charge() -> str:
        runs.append(True)
        wait_in_the_bank(gate)
        return "charged"

    with caplog.at_level(logging.WARNING, "turnspit"), app.worker(grace=0, lease=1.5, heartbeat=0.1):
        job = charge.enqueue()
        gate.wait_for()
    assert "worker 1 has stopped, but what follows did not end in time" in caplog.text
    assert f"job {job.id} (charge), in a thread that is in" in caplog.text
    assert "wait_in_the_bank" in caplog.text

    with app.worker(lease=1.5, heartbeat=0.1) as another:
        wait_until(lambda: another._worker.registration.may_rescue, "another worker that may rescue")  # type: ignore[union-attr]
        last = renewals(app, 1)
        wait_until(lambda: renewals(app, 1) > last + 2_000_000, "a lease kept up")
        assert (worker_of(job), job.state) == (1, "running")
        gate.open()
        assert job.get_result(DEADLINE) == "charged"
        assert (job.attempt, job.crashes, [each.outcome for each in job.attempts]) == (1, 0, ["completed"])
        wait_until(lambda: is_retired(app, 1), "the end of the first worker")
    assert runs == [True]


def without_end(app: Turnspit) -> tuple[Task[[], None], asyncio.Event]:
    """A task that ends only if it is cancelled, and what says that it has begun."""
    begun = asyncio.Event()

    @app.task
    async def charge() -> None:
        begun.set()
        await asyncio.Event().wait()

    return charge, begun


def test_who_is_cancelled_again_at_the_end_of_its_worker_leaves_nothing_behind(app: Turnspit) -> None:
    """It kept its lease, and its jobs, until the program ended: as where a time-out runs around a cancelled task."""

    async def go() -> None:
        charge, begun = without_end(app)
        job = await charge.aenqueue()
        ending = app.worker(grace=DEADLINE * 5)

        async def live() -> None:
            async with ending:
                await asyncio.Event().wait()

        living = asyncio.create_task(live())
        await begun.wait()
        living.cancel()
        assert ending._worker is not None
        await ending._worker.stopping.wait()
        living.cancel()
        with pytest.raises(asyncio.CancelledError):
            await living
        assert ((await job.arefresh()).state, job.attempt) == ("ready", 0)

    asyncio.run(asyncio.wait_for(go(), DEADLINE))
    assert is_retired(app, 1)


def test_a_worker_whose_start_is_interrupted_ends(app: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no ``with`` that would end it: it went on to claim jobs for as long as the program lived."""

    class Interrupted(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(embedded, "Future", Interrupted)
    starting = app.worker()
    with pytest.raises(KeyboardInterrupt), starting:
        pass
    monkeypatch.setattr(Interrupted, "result", Future.result)
    assert starting._thread is not None
    starting._thread.join(DEADLINE)
    assert is_retired(app, 1)


def test_the_lease_ends_with_an_event_loop_that_ends_in_it(app: Turnspit) -> None:
    async def go() -> None:
        charge, begun = without_end(app)
        await charge.aenqueue()

        async def live() -> None:
            async with app.worker(grace=DEADLINE * 5) as ending:
                workers.append(ending)
                await begun.wait()

        living.append(asyncio.create_task(live()))
        await begun.wait()
        await workers[0]._worker.stopping.wait()

    workers: list[Any] = []
    living: list[asyncio.Task[None]] = []
    asyncio.run(go())
    assert living[0].cancelled()
    assert not workers[0]._worker.registration._heartbeat._thread.is_alive()


def test_its_end_is_offered_until_the_store_takes_it(app: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever keeps the store from it: the lease goes on until then, and nobody else would have the job."""
    gate, original = Gate(), app.engine.write
    failures = [EngineUnavailable("away"), OSError(24, "Too many open files")]

    def write(verb: Any, *arguments: Any, **options: Any) -> Any:
        if failures and verb == app.engine.finish_jobs:
            raise failures.pop(0)
        return original(verb, *arguments, **options)

    monkeypatch.setattr(app.engine, "write", write)

    @app.task
    def charge() -> str:
        gate.pass_through()
        return "charged"

    with app.worker(grace=0):
        job = charge.enqueue()
        gate.wait_for()
    gate.open()
    assert job.get_result(DEADLINE) == "charged"
    wait_until(lambda: is_retired(app, 1), "the end of its worker")
    assert failures == []


def test_a_thread_that_gives_in_later_hands_its_job_back_then(app: Turnspit) -> None:
    gate = Gate()

    @app.task
    def charge(job: JobContext) -> None:
        gate.pass_through()
        job.raise_if_cancelled()

    with app.worker(grace=0):
        job = charge.enqueue()
        gate.wait_for()
    assert job.refresh().state == "running"
    gate.open()
    wait_until(lambda: job.refresh().state == "ready", "the return")
    assert (job.attempt, job.crashes, job.attempts) == (0, 0, ())


def test_a_thread_over_its_time_out_that_fails_after_its_worker_has_failed(app: Turnspit, events: EventLog) -> None:
    """Its attempt counts, as it would have with the worker still there."""
    told, gate = threading.Event(), Gate()

    @app.task(timeout=SOON, retry=Retry(attempts=3, delay=60))
    def charge(job: JobContext) -> None:
        job.wait_cancelled(DEADLINE)
        told.set()
        gate.pass_through()
        raise ConnectionError("the bank hung up")

    with app.worker(grace=0):
        job = charge.enqueue()
        assert told.wait(DEADLINE)
    assert job.refresh().state == "running"
    gate.open()
    wait_until(lambda: job.refresh().state == "scheduled", "the retry")
    [attempt] = job.attempts
    assert (job.attempt, attempt.error_type) == (1, "JobTimeout")
    assert "the bank hung up" in (attempt.traceback or "")


def test_the_loop_of_the_worker_may_be_gone(app: Turnspit) -> None:
    gate = Gate()

    @app.task
    def charge() -> str:
        gate.pass_through()
        return "charged"

    async def main() -> int:
        async with app.worker(grace=0):
            job = await charge.aenqueue()
            await asyncio.to_thread(gate.wait_for)
        return job.id

    job = app.jobs.get(asyncio.run(main()))
    assert job.state == "running"
    gate.open()
    assert job.get_result(DEADLINE) == "charged"
    wait_until(lambda: is_retired(app, 1), "the end of its worker")


def test_coroutines_that_end_together_after_their_worker_are_all_completed(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_CANCEL_TIME", 0.01)

    async def main() -> list[int]:
        go, began = asyncio.Event(), asyncio.Semaphore(0)

        @app.task
        async def charge() -> str:
            began.release()
            with contextlib.suppress(asyncio.CancelledError):
                await go.wait()
            await go.wait()
            return "charged"

        async with app.worker(grace=0):
            jobs = [await charge.aenqueue() for _ in range(2)]
            for _ in jobs:
                await began.acquire()
        go.set()
        for job in jobs:
            assert await job.aget_result(DEADLINE) == "charged"
        return [job.attempt for job in jobs]

    assert asyncio.run(main()) == [1, 1]
    wait_until(lambda: is_retired(app, 1), "the end of their worker")


@pytest.mark.skipif(
    (3, 12, 0) <= sys.version_info < (3, 12, 2),
    reason="Python 3.12.0 and 3.12.1 start no thread once the main one has ended (gh-113964): its job runs again",
)
def test_a_program_that_ends_waits_for_its_thread_and_stores_the_end(app: Turnspit) -> None:
    app.migrate()
    program = (
        "import sys, threading, turnspit\n"
        "app, began = turnspit.Turnspit(sys.argv[1]), threading.Event()\n"
        "@app.task\n"
        "def charge():\n"
        "    began.set()\n"
        "    sys.stdin.readline()\n"
        "    return 'charged'\n"
        "with app, app.worker(grace=0):\n"
        "    charge.enqueue()\n"
        "    assert began.wait(20)\n"
        "print('left', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, url_of(app)],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "left\n"
            assert app.jobs.get(1).state == "running"
            process.communicate("\n", timeout=DEADLINE)
        finally:
            process.kill()
    job = app.jobs.get(1)
    assert (process.returncode, job.state, job.attempt) == (0, "completed", 1)
    assert is_retired(app, 1)


def test_a_job_that_came_back_to_its_process_waits_for_its_earlier_run(
    app: Turnspit, events: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long that takes; meanwhile its worker does other work."""
    monkeypatch.setattr(suspects, "_ALONE", 0.01)
    gates, runs = [Gate(), Gate()], []

    @app.task
    def charge() -> str:
        run = len(runs)
        runs.append(run)
        gates[run].pass_through()
        return f"run {run}"

    @app.task
    async def quick() -> None: ...

    with app.worker(lease=1.0, heartbeat=0.1, concurrency=3):
        job = charge.enqueue()
        gates[0].wait_for()
        change(app, "UPDATE {workers} SET stopped_at = 1")  # what another worker's rescue does
        wait_until(lambda: worker_of(job) == 2, "a new claim of the same job")
        for _ in range(3):
            quick.enqueue().get_result(DEADLINE)
        assert (job.refresh().state, len(runs)) == ("running", 1)
        gates[0].open()
        gates[1].wait_for()
        gates[1].open()
        assert job.get_result(DEADLINE) == "run 1"


@pytest.mark.parametrize("end", ["cancel", "stop"])
def test_what_waits_for_its_earlier_run_can_be_cancelled_and_is_handed_back(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(suspects, "_ALONE", 0.01)
    gate = Gate()

    @app.task
    def charge() -> None:
        gate.pass_through()

    with app.worker(lease=1.0, heartbeat=0.1, grace=0):
        job = charge.enqueue()
        gate.wait_for()
        change(app, "UPDATE {workers} SET stopped_at = 1")
        wait_until(lambda: worker_of(job) == 2, "a new claim of the same job")
        if end == "cancel":
            app.jobs.cancel(job.id)
            wait_until(lambda: job.refresh().state == "cancelled", "the cancellation")
    assert job.refresh().state == ("cancelled" if end == "cancel" else "running")
    gate.open()
    wait_until(lambda: job.refresh().state == ("cancelled" if end == "cancel" else "ready"), "the return")
    assert (job.attempt, job.crashes) == (0, 1)


def test_a_job_that_the_store_will_not_take_back_keeps_back_no_other(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate, give_back = Gate(), app.engine.return_jobs
    refused = 0

    def return_jobs(claims: Any, begun: Any) -> Verb[list[int]]:
        returned = yield from give_back(claims)
        if refused in returned:
            raise EngineError("not this one")
        return returned

    @app.task
    def charge() -> None:
        gate.pass_through()

    async def main() -> None:
        nonlocal refused
        worker = Worker(app.worker_parts(), WorkerSettings(grace=0))
        await worker.start()
        jobs = [await charge.aenqueue() for _ in range(5)]
        await asyncio.to_thread(gate.wait_for, 5)
        monkeypatch.setattr(app.engine, "return_jobs", return_jobs)
        refused = jobs[1].id
        left = await worker.stop()
        await left.hand_back()
        assert [(await job.arefresh()).state for job in jobs] == ["ready", "running", "ready", "ready", "ready"]
        assert {job.attempt for job in jobs if job.id != refused} == {0}
        gate.open()

    asyncio.run(main())
    assert is_retired(app, 1)
    assert "not this one; others rescue it" in caplog.text
