"""Claims whose answer was lost: the worker owns jobs that it knows nothing of."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE, Gate, change, count_no_more, wait_until
from turnspit import Concurrency, JobContext, Turnspit
from turnspit._runtime.worker import claimer
from turnspit._runtime.worker.settings import WorkerSettings
from turnspit._runtime.worker.worker import Worker
from turnspit.context import claim_of
from turnspit.errors import EngineUnavailable


def lose_an_answer(app: Turnspit, monkeypatch: pytest.MonkeyPatch, number: int = 1) -> list[int]:
    """Of the claims that come, those of this number are committed, and never heard of; their jobs."""
    original, claimed, lost = app.engine.awrite, [], []

    async def awrite(verb: Any, *arguments: Any, **options: Any) -> Any:
        answer = await original(verb, *arguments, **options)
        name = getattr(verb, "__name__", "")
        claims = answer[1] if name == "exchange" else answer.claims if name == "claim_jobs_at_once" else []
        if claims:
            claimed.append(True)
        if not lost and len(claimed) == number and claims:
            lost.extend(claim.id for claim in claims)
            raise EngineUnavailable("the answer was lost")
        return answer

    monkeypatch.setattr(app.engine, "awrite", awrite)
    return lost


def test_a_busy_worker_returns_them_too(app: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows that an exchange failed. (In a soak two jobs waited 57 seconds for the end of their worker.)"""
    lost = lose_an_answer(app, monkeypatch, 2)
    count_no_more(app, monkeypatch)

    @app.task
    async def task() -> int:
        return 1

    with app.worker() as worker:
        task.enqueue().get_result(DEADLINE)
        wait_until(lambda: not worker._worker._reconciler._is_in_doubt, "the look of a new worker")  # type: ignore[union-attr]
        job = task.enqueue()
        assert job.get_result(DEADLINE) == 1
    assert lost == [job.id]
    assert (job.attempt, job.crashes, [each.outcome for each in job.attempts]) == (1, 0, ["completed"])


def test_a_return_that_fails_is_tried_again(app: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_an_answer(app, monkeypatch, 2)
    count_no_more(app, monkeypatch)
    original, failures = app.engine.return_unanswered_claims, [1, 2]

    def return_unanswered_claims(*arguments: Any) -> Any:
        if failures:
            failures.pop()
            raise EngineUnavailable("away")
        return (yield from original(*arguments))

    monkeypatch.setattr(app.engine, "return_unanswered_claims", return_unanswered_claims)

    @app.task
    async def task() -> int:
        return 1

    with app.worker():
        task.enqueue().get_result(DEADLINE)
        wait_until(lambda: not failures, "the look of a new worker")
        failures += [1, 2]
        job = task.enqueue()
        assert job.get_result(DEADLINE) == 1
    assert failures == []


def test_what_was_handed_back_without_an_answer_does_not_begin(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be another worker's by now. Jobs that were claimed ahead and wait behind a slow one go back."""
    monkeypatch.setattr(claimer, "_STALE", 60.0)
    original, ran, gate = app.engine.awrite, Counter[int](), Gate()
    returned: set[int] = set()

    async def awrite(verb: Any, *arguments: Any, **options: Any) -> Any:
        answer = await original(verb, *arguments, **options)
        if verb == app.engine.return_jobs and not gate.is_open:
            returned.update(job for job, _ in arguments[0])
            raise EngineUnavailable("the answer was lost")
        return answer

    monkeypatch.setattr(app.engine, "awrite", awrite)

    @app.task
    async def quick(job: JobContext) -> None:
        ran[job.id] += 1

    @app.task
    def slow() -> None:
        gate.pass_through()

    new = [*(quick.new() for _ in range(500)), slow.new(), *(quick.new() for _ in range(5))]
    ids = app.enqueue_many(new)
    with app.worker(concurrency=1):
        gate.wait_for()
        monkeypatch.setattr(claimer, "_STALE", 0.0)  # before, a busy machine is slow to the quick ones
        wait_until(lambda: returned, "the return of what waits")
        gate.open()
        wait_until(lambda: app.jobs.count(state="completed") == len(ids), "the end of all")
    assert set(returned) <= set(ids[501:])
    assert set(ran.values()) == {1}, "none ran twice"
    assert "was no longer current" not in caplog.text


def test_an_orderly_stop_leaves_none_behind(app: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rescued after its worker had gone, they would count a crash."""
    lost = lose_an_answer(app, monkeypatch)

    @app.task
    async def task() -> None: ...

    async def main() -> None:
        worker = Worker(app.worker_parts(), WorkerSettings(grace=0))
        worker.services.clear()  # nobody looks
        job = await task.aenqueue()
        await worker.start()
        async with asyncio.timeout(DEADLINE):
            while not lost:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.01)
        assert (await job.arefresh()).state == "running"
        await worker.stop()
        await job.arefresh()
        assert (job.state, job.attempt, job.crashes, job.attempts) == ("ready", 0, 0, ())

    asyncio.run(main())


def test_who_is_declared_dead_in_its_look_returns_nothing(app: Turnspit) -> None:
    """Its jobs run on, and are not held any more: a rescue returns them, and counts the crash."""
    gate = Gate()

    @app.task
    def task() -> None:
        gate.pass_through()

    async def main() -> None:
        worker = Worker(app.worker_parts(), WorkerSettings(heartbeat=0.05))
        worker.services.clear()  # nobody else looks

        async def die(number: int) -> None:
            await asyncio.to_thread(change, app, "UPDATE {workers} SET stopped_at = 1")
            await asyncio.to_thread(wait_until, lambda: worker.registration.id > number, "its return")

        worker._reconciler._stop_cancelled = die  # type: ignore[method-assign]
        job = await task.aenqueue()
        await worker.start()
        await asyncio.to_thread(gate.wait_for)
        await worker._reconciler.run_once()
        record = await app.engine.aread(app.engine.get_job, job.id)
        assert record is not None
        assert (record.state, record.fence) == ("running", 1)
        gate.open()
        await worker.stop()

    asyncio.run(main())


@pytest.mark.parametrize("concurrency", [None, Concurrency(1)], ids=["plain", "limited"])
def test_who_is_declared_dead_in_its_claim_begins_nothing_of_it(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch, concurrency: Concurrency | None
) -> None:
    """As after a suspension, when the claim's answer is read last. It began beside the run of the job's next claim."""
    original, gate, ran, held = app.engine.awrite, Gate(), list[int](), list[int]()

    async def awrite(verb: Any, *arguments: Any, **options: Any) -> Any:
        answer = await original(verb, *arguments, **options)
        if not held and getattr(answer, "claims", ()):
            held.extend(claim.fence for claim in answer.claims)
            await asyncio.to_thread(gate.pass_through)
        return answer

    monkeypatch.setattr(app.engine, "awrite", awrite)

    @app.task(concurrency=concurrency)
    async def task(job: JobContext) -> None:
        ran.append(claim_of(job).fence)

    async def main() -> None:
        worker = Worker(app.worker_parts(), WorkerSettings(heartbeat=0.05))
        job = await task.aenqueue()
        await worker.start()
        await asyncio.to_thread(gate.wait_for)
        number = worker.registration.id
        await asyncio.to_thread(worker.rescuer.declare_dead, number)
        await asyncio.to_thread(wait_until, lambda: worker.registration.id > number, "its return")
        gate.open()
        await job.aget_result(DEADLINE)
        await worker.stop()

    asyncio.run(main())
    assert (held, ran) == ([1], [2])


def test_what_a_stop_has_interrupted_is_not_taken_for_a_lost_claim(
    app: Turnspit, caplog: pytest.LogCaptureFixture
) -> None:
    """While another job cleans up, the store knows of one more than runs here. It had begun, and does not expire."""
    began, cleaning, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @app.task
    async def cleans_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await may_end.wait()

    @app.task
    async def ends() -> None:
        began.set()
        await asyncio.Event().wait()

    async def main() -> None:
        worker = Worker(app.worker_parts(), WorkerSettings(grace=0))
        jobs = [await cleans_up.aenqueue(), await ends.using(expires=3600).aenqueue()]
        await worker.start()
        async with asyncio.timeout(DEADLINE):
            await began.wait()
            stopping = asyncio.create_task(worker.stop())
            await cleaning.wait()
            while len(worker.executor.running) > 1:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0)
            worker._reconciler.doubt()
            await worker._reconciler.run_once()
            may_end.set()
            await stopping
        for job in jobs:
            await job.arefresh()
            assert (job.state, job.attempt, job.expires_at) == ("ready", 0, None)

    asyncio.run(main())
    assert "answer was lost" not in caplog.text
