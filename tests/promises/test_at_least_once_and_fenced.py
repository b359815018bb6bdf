"""3. Every accepted job reaches a final state; a write from a claim that is not current changes nothing and says so."""

import asyncio
import threading
from collections import Counter
from typing import Any

from turnspit import Event, JobContext, Retry, Turnspit
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb
from turnspit.records import ClaimRequest, Completion, NewWorker


def steal(engine: Engine, job: int) -> Verb[None]:
    """What happens to a worker that was held to be dead: its job is returned, claimed and completed by another."""
    record = yield from engine.get_job(job)
    assert record is not None
    assert (yield from engine.return_jobs([(job, record.fence)])) == [job]
    thief = yield from engine.register_worker(NewWorker("thief", 1, "", None, frozenset({record.task}), 1, 10**9))
    [claim] = yield from engine.claim_jobs(ClaimRequest(thief, 1, frozenset({record.task}), job=job))
    yield from engine.finish_jobs([Completion(job, claim.fence, '"by the other"')])


def test_at_least_once_and_fenced(app: Turnspit) -> None:
    """The handler whose claim was lost is told so, and neither its progress nor its end is stored."""
    begun, go_on, lost = threading.Event(), threading.Event(), threading.Event()
    events: list[Event] = []

    @app.task
    def work(job: JobContext) -> str:
        begun.set()
        assert go_on.wait(10)
        job.progress(0.9, "too late")
        job.log("too late")
        return "by the first"

    @app.on("lost", "completed")
    def remember(event: Event) -> None:
        events.append(event)
        if event.name == "lost":
            lost.set()

    with app.worker(concurrency=2):
        job = work.enqueue()
        assert begun.wait(10)
        app.engine.write(steal, app.engine, job.id)
        go_on.set()
        assert lost.wait(10)
        assert job.get_result(timeout=10) == "by the other"
    job.refresh()
    assert (job.progress, job.get_logs()) == (None, [])
    assert [event.name for event in events if event.job_id == job.id] == ["lost"]
    assert [attempt.outcome for attempt in job.attempts] == ["completed"]


def test_a_failure_of_a_lost_claim_changes_nothing(app: Turnspit) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @app.task(retry=Retry(attempts=1))
    def work() -> str:
        begun.set()
        assert go_on.wait(10)
        raise ValueError("too late")

    with app.worker(concurrency=2):
        job = work.enqueue()
        assert begun.wait(10)
        app.engine.write(steal, app.engine, job.id)
        go_on.set()
        assert job.get_result(timeout=10) == "by the other"
    assert [attempt.outcome for attempt in job.refresh().attempts] == ["completed"]


def test_every_accepted_job_reaches_a_final_state(app: Turnspit) -> None:
    """Some fail at first, some never succeed, some snooze, some give up: all end, and each handler ran for it."""
    ran: Counter[int] = Counter()

    @app.task(retry=Retry(attempts=3, delay=0))
    async def work(number: int) -> int:
        ran[number] += 1
        if number % 5 == 0 or (number % 5 == 1 and ran[number] < 3):
            raise ValueError(number)
        await asyncio.sleep(0)
        return number

    jobs: list[Any] = [work.enqueue(number) for number in range(200)]
    with app.worker(until_empty=True) as first, app.worker(until_empty=True) as second:
        first.wait()
        second.wait()
    assert app.jobs.count(state="completed") == 160
    assert app.jobs.count(state="dead") == 40
    assert Counter(ran.values()) == Counter({3: 80, 1: 120})
    assert {job.refresh().state for job in jobs} == {"completed", "dead"}


def test_the_id_is_the_same_for_every_attempt(app: Turnspit) -> None:
    """An effect outside the store may happen twice after a crash: this is the key that makes it one."""
    keys: list[str] = []

    @app.task(retry=Retry(attempts=3, delay=0))
    def pay(job: JobContext) -> None:
        keys.append(job.idempotency_key)
        if job.attempt < 3:
            raise ConnectionError

    with app.worker():
        job = pay.enqueue()
        job.get_result(timeout=10)
        app.jobs.replay(job.id, state="completed")
        job.get_result(timeout=10)
    assert len(keys) >= 3
    assert set(keys) == {f"turnspit-pay-{job.id}"}
