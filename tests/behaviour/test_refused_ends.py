"""Ends that the store refuses, or whose answer is lost: they hold up no other, and are told as they were stored."""

import asyncio
import contextlib
import logging
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE, EventLog
from tests.writes import after_writes
from turnspit import EngineUnavailable, JobContext, JobDead, Retry, RetryAfter, Turnspit
from turnspit._runtime.worker import finisher as finisher_module
from turnspit._runtime.worker.finisher import Ended
from turnspit._runtime.worker.settings import WorkerSettings
from turnspit._runtime.worker.worker import Worker
from turnspit.context import claim_of
from turnspit.contract.verbs import Verb
from turnspit.errors import EngineError
from turnspit.records import Completion, FinishReport


class Busy(RetryAfter):
    """A class of the user's own that does not call ours."""

    def __init__(self, delay: Any) -> None:
        self.delay = delay


@pytest.mark.parametrize("delay", [5.5, -5, 10**30, "soon", True])
def test_a_delay_of_the_users_own_class_holds_up_no_other_end(app: Turnspit, events: EventLog, delay: Any) -> None:
    @app.task(retry=Retry(attempts=2, delay=0))
    async def busy() -> None:
        raise Busy(delay)

    @app.task
    async def fine() -> int:
        return 1

    with app.worker():
        job = busy.enqueue()
        with pytest.raises(JobDead):
            job.get_result(DEADLINE)
        assert fine.enqueue().get_result(DEADLINE) == 1


class Refusing:
    """A store that refuses the ends and the progress of one job, as where a trigger raises."""

    def __init__(self, app: Turnspit, monkeypatch: pytest.MonkeyPatch, error: type[Exception] = EngineError) -> None:
        self.job: int | None = None
        self._error = error
        for name in ("finish_jobs", "finish_jobs_at_once", "record_progress"):
            monkeypatch.setattr(app.engine, name, self._wrapped(getattr(app.engine, name)))

    def _wrapped(self, verb: Any) -> Any:
        def refusing(parts: Any) -> Verb[Any]:
            answer = yield from verb(parts)
            if any(each.id == self.job for each in parts):
                raise self._error("not this one")
            return answer

        return refusing


class Heard(logging.Handler):
    """Set once the program logs these words; on the event loop that is running now."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words
        self.event = asyncio.Event()
        logging.getLogger("turnspit").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if self._words in record.getMessage():
            self.event.set()

    async def wait(self) -> None:
        await asyncio.wait_for(self.event.wait(), DEADLINE)
        logging.getLogger("turnspit").removeHandler(self)


@pytest.mark.parametrize("fails", [False, True])
def test_one_end_that_the_store_refuses_keeps_back_no_other(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    monkeypatch.setattr(finisher_module, "_REFUSED_AGAIN", 0.2)
    store, runs = Refusing(app, monkeypatch), list[int]()
    all_began, may_end = asyncio.Event(), asyncio.Event()

    @app.task(retry=Retry(attempts=1))
    async def task(job: JobContext) -> None:
        runs.append(job.id)
        if len(runs) == 20:
            all_began.set()
        await may_end.wait()
        if fails:
            raise ValueError

    async def main() -> None:
        async with app.worker(concurrency=20):
            jobs = [await task.aenqueue() for _ in range(20)]
            await asyncio.wait_for(all_began.wait(), DEADLINE)
            refused, heard = jobs.pop(7), Heard("the store refuses that")
            store.job = refused.id
            may_end.set()
            for job in jobs:
                await _ended(job)
            await heard.wait()
            assert (await refused.arefresh()).state == "running"
            store.job = None
            await _ended(refused)

    asyncio.run(main())
    assert sorted(runs) == sorted(set(runs))


async def _ended(job: Any) -> None:
    with contextlib.suppress(JobDead):
        await job.aget_result(DEADLINE)


def test_progress_that_the_store_refuses_keeps_back_no_end(app: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Refusing(app, monkeypatch)

    @app.task
    async def reports(job: JobContext) -> None:
        store.job, heard = job.id, Heard("reported of the progress")
        job.progress(0.5)
        await heard.wait()
        store.job = None

    with app.worker():
        reports.enqueue().get_result(DEADLINE)


def test_a_claim_that_the_store_refuses_keeps_back_no_end(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch, events: EventLog
) -> None:
    def refusing(request: Any) -> Verb[Any]:
        yield from claim(request)
        raise EngineError("no claim")

    claim, claim_at_once = app.engine.claim_jobs, app.engine.claim_jobs_at_once

    @app.task
    async def task() -> None:
        monkeypatch.setattr(app.engine, "claim_jobs", refusing)
        monkeypatch.setattr(app.engine, "claim_jobs_at_once", refusing)
        await task.aenqueue()

    with app.worker(concurrency=1):
        events.wait("completed", task.enqueue().id)
        monkeypatch.setattr(app.engine, "claim_jobs", claim)
        monkeypatch.setattr(app.engine, "claim_jobs_at_once", claim_at_once)


def test_a_dead_letter_whose_answer_was_lost_is_told(app: Turnspit, events: EventLog) -> None:
    told: list[int] = []
    lost: list[Any] = []

    def lose(verb: Any, arguments: tuple[Any, ...], answer: Any) -> None:
        if verb.__name__ == "exchange" and arguments[1].ended and not lost:
            lost.append(answer)
            raise EngineUnavailable("the call may or may not have been carried out")

    @app.task(retry=Retry(attempts=1), on_dead=lambda job, error: told.append(job.id))
    async def fails() -> None:
        raise ValueError

    after_writes(app, lose)
    with app.worker():
        job = fails.enqueue()
        events.wait("dead", job.id)
    assert lost
    assert told == [job.id]


def test_a_worker_stops_in_order_whatever_the_store_says_of_an_end(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Refusing(app, monkeypatch, OverflowError)
    all_began = asyncio.Event()

    @app.task
    async def task(job: JobContext) -> None:
        if job.id == 2:
            all_began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if job.id != 1:  # which is done before it hears that it should stop
                raise

    async def main() -> None:
        worker = Worker(app.worker_parts(), WorkerSettings(grace=0))
        await worker.start()
        jobs = [await task.aenqueue() for _ in range(2)]
        await asyncio.wait_for(all_began.wait(), DEADLINE)
        store.job = jobs[0].id
        await worker.stop()
        assert [((await job.arefresh()).state, job.attempt) for job in jobs] == [("ready", 0)] * 2
        assert [each.stopped_at is not None for each in await app.engine.aread(app.engine.list_workers)] == [True]

    asyncio.run(main())


def test_progress_that_did_not_go_along_with_the_search_for_a_refused_end_is_stored_soon(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited until its job reported again, or another one ended."""
    monkeypatch.setattr(finisher_module, "_PROGRESS_DELAY", 0.0)
    claims = [claim_of(JobContext.detached())._replace(id=number, fence=1) for number in range(3)]

    async def main() -> None:
        due = asyncio.Event()
        finisher = finisher_module.Finisher(app.worker_parts(), is_idle=lambda: False, signal=due.set)
        for claim in claims[1:]:
            finisher.add(Ended(Completion(claim.id, claim.fence), claim, JobContext.detached(), 0.0))
        assert finisher.refuse(finisher.take(), EngineError("one of them"), is_alone=True)
        finisher.report_progress(claims[0], 0.5, None, None)
        for _ in range(2):
            portion = finisher.take()
            assert (len(portion.ended), portion.reports) == (1, {})
            finisher.settle(portion, FinishReport())
        due.clear()
        async with asyncio.timeout(DEADLINE):
            await due.wait()
        assert [update.progress for update in finisher.take().updates] == [0.5]

    asyncio.run(main())
