"""The claim that an idle worker has ready: sent by the thread that hears of a job, and received before any other."""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.behaviour.support import DEADLINE, Gate, count_no_more, has_a_claim_ready, idle_worker, url_of, wait_until
from turnspit import EngineUnavailable, Turnspit
from turnspit._runtime.worker.settings import WorkerSettings
from turnspit._runtime.worker.standing_claim import Sent, StandingClaim
from turnspit._runtime.worker.wake_listener import WakeListener
from turnspit._runtime.worker.worker import Worker
from turnspit.contract import Engine
from turnspit.contract.verbs import Wake, WakeKind
from turnspit.records import ClaimAtOnce, ClaimRequest

Answered = Callable[[ClaimAtOnce | None], ClaimAtOnce | None]
REQUEST = ClaimRequest(1, 10, frozenset({"double"}))


@pytest.fixture
def producer(app: Turnspit) -> Iterator[Turnspit]:
    """Another app on the same store, whose wakes come from outside, as another process's do."""
    with Turnspit(url_of(app)) as producer:
        for each in (app, producer):
            each.task(name="double")(_double)
        yield producer


async def _double(number: int) -> int:
    return number * 2


def when_sent(engine: Engine, monkeypatch: pytest.MonkeyPatch, answered: Answered) -> None:
    """Let each standing claim have this answer in place of the store's."""
    original = engine.try_write
    monkeypatch.setattr(engine, "try_write", lambda *arguments: answered(original(*arguments)))


@pytest.mark.usefixtures("wakes_alone")
def test_an_idle_worker_claims_on_the_thread_that_hears_of_a_job(
    app: Turnspit, producer: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[str] = set()

    def answered(answer: ClaimAtOnce | None) -> ClaimAtOnce | None:
        if answer is not None and answer.claims:
            threads.add(threading.current_thread().name)
        return answer

    def is_claimed() -> bool:  # mostly at the first time; something else may use the connection just then
        assert producer.tasks["double"].enqueue(4).get_result(DEADLINE) == 8
        return bool(threads)

    when_sent(app.engine, monkeypatch, answered)
    with idle_worker(app):
        wait_until(is_claimed, "a claim by the standing one")
    assert threads == {"turnspit-wakeups"}


@pytest.mark.usefixtures("wakes_alone")
def test_where_it_would_have_to_wait_the_worker_claims_as_ever(
    app: Turnspit, producer: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.engine, "try_write", lambda *_: None)
    with idle_worker(app):
        assert producer.tasks["double"].enqueue(4).get_result(DEADLINE) == 8


@pytest.mark.usefixtures("wakes_alone")
def test_a_task_that_is_made_meanwhile_is_claimed_too(app: Turnspit, producer: Turnspit) -> None:
    """The claim that is ready does not name it."""
    triple = producer.task(name="triple")(_double)
    with idle_worker(app):
        app.task(name="triple")(_double)
        assert triple.enqueue(3).get_result(DEADLINE) == 6


@pytest.mark.usefixtures("wakes_alone")
def test_a_worker_that_runs_a_job_has_none(app: Turnspit, producer: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its event loop may be busy for long with a task that computes; others could begin meanwhile."""
    tried: list[Any] = []
    begun, end = Gate(), asyncio.Event()

    @app.task
    async def computes() -> None:
        begun.came.release()
        await end.wait()

    with idle_worker(app) as worker:
        job = computes.enqueue()
        begun.wait_for()
        monkeypatch.setattr(app.engine, "try_write", lambda *arguments: tried.append(arguments))
        assert producer.tasks["double"].enqueue(4).get_result(DEADLINE) == 8
        assert not tried
        worker._loop.call_soon_threadsafe(end.set)
        job.get_result(DEADLINE)


@pytest.mark.usefixtures("wakes_alone")
def test_when_it_brings_all_that_it_asked_for_more_is_claimed(app: Turnspit, producer: Turnspit) -> None:
    with idle_worker(app, concurrency=2):
        producer.enqueue_many(producer.tasks["double"].new(number) for number in range(50))
        wait_until(lambda: app.jobs.count(state="completed") == 50, "the end of all")


@pytest.mark.usefixtures("wakes_alone")
def test_it_asks_for_as_many_as_can_begin_at_once(
    app: Turnspit, producer: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the worker was so fast with before is no measure of what comes next, and others may be idle too."""
    limits: list[int] = []
    prepare = StandingClaim.prepare

    def note_limit(claim: StandingClaim, request: ClaimRequest) -> None:
        limits.append(request.limit)
        prepare(claim, request)

    monkeypatch.setattr(StandingClaim, "prepare", note_limit)
    with idle_worker(app, concurrency=2) as worker:
        producer.enqueue_many(producer.tasks["double"].new(number) for number in range(2000))
        wait_until(lambda: app.jobs.count(state="completed") == 2000, "the end of all")
        wait_until(lambda: has_a_claim_ready(worker), "a standing claim")
    assert set(limits) == {2}


def hear_of_a_job(worker: Worker) -> None:
    worker._engine.wakeups._listeners.tell_of_others([Wake(WakeKind.READY)])  # type: ignore[attr-defined]


@pytest.fixture
def tried(app: Turnspit, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What standing claims have asked the store for."""
    tried: list[Any] = []
    monkeypatch.setattr(app.engine, "try_write", lambda *arguments: tried.append(arguments))
    return tried


@pytest.mark.usefixtures("producer")
def test_a_worker_on_an_event_loop_with_other_code_sends_none(app: Turnspit, tried: list[Any]) -> None:
    """A request that blocks the loop of a web app would hold up a job that others could begin."""

    async def main() -> None:
        async with app.worker() as embedded:
            worker = embedded._worker
            assert worker is not None
            await asyncio.to_thread(wait_until, lambda: has_a_claim_ready(worker), "a standing claim")
            hear_of_a_job(worker)

    asyncio.run(main())
    assert not tried


@pytest.mark.usefixtures("producer")
def test_a_worker_whose_event_loop_has_ended_sends_none(app: Turnspit) -> None:
    """Its lease is still kept: nobody would run what it claims."""

    async def main() -> Worker:
        worker = Worker(app.worker_parts(), WorkerSettings())
        await worker.start()
        await asyncio.to_thread(wait_until, lambda: has_a_claim_ready(worker), "a standing claim")
        return worker

    worker = asyncio.run(main())
    assert not worker.claimer.standing_claim.send()
    assert worker._stop_listening is not None
    worker._stop_listening()
    worker.registration.let_go()


def test_a_worker_whose_event_loop_stands_still_sends_none(app: Turnspit, tried: list[Any]) -> None:
    loop = asyncio.new_event_loop()
    claimer = SimpleNamespace(standing_claim=StandingClaim(app.engine, lambda _: True))
    claimer.standing_claim.prepare(REQUEST)
    listener = WakeListener(loop, cast("Any", claimer), cast("Any", None), {})
    listener.hear_of_others(Wake(WakeKind.READY))
    loop.close()
    listener.hear_of_others(Wake(WakeKind.READY))
    assert not tried


@pytest.mark.usefixtures("producer")
def test_while_its_answer_is_not_received_the_worker_does_not_take_its_queues_for_empty(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()

    def hold(*_: Any) -> ClaimAtOnce:
        gate.pass_through()
        return ClaimAtOnce([], is_partial=False)

    monkeypatch.setattr(app.engine, "try_write", hold)
    with idle_worker(app) as worker:
        claimer = worker.claimer
        wait_until(lambda: claimer.found_nothing, "that it found nothing")

        def send() -> None:
            while not claimer.standing_claim.send():  # something else may withdraw it just then
                claimer.standing_claim.prepare(claimer._request_for(10))

        sending = threading.Thread(target=send)
        sending.start()
        gate.wait_for()
        assert not claimer.found_nothing
        gate.open()
        sending.join()
        worker._loop.call_soon_threadsafe(claimer.signal)
        wait_until(lambda: claimer.found_nothing, "the receipt of the answer")


def test_one_whose_answer_is_lost_costs_no_attempt(
    app: Turnspit, producer: Turnspit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lost: list[int] = []

    def lose(answer: ClaimAtOnce | None) -> ClaimAtOnce | None:
        if answer is not None and answer.claims and not lost:
            lost.extend(claim.id for claim in answer.claims)
            raise EngineUnavailable("the answer was lost")
        return answer

    def is_lost() -> bool:
        job = producer.tasks["double"].enqueue(4)
        assert job.get_result(DEADLINE) == 8
        assert (job.attempt, job.crashes) == (1, 0)
        return bool(lost)

    when_sent(app.engine, monkeypatch, lose)
    count_no_more(app, monkeypatch)
    with idle_worker(app):
        wait_until(is_lost, "a lost answer")
    assert "the answer was lost" in caplog.text
    assert "the store answers again" in caplog.text


def test_what_it_brings_to_a_worker_that_stops_goes_back(
    app: Turnspit, producer: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, brought, unanswered = Gate(), list[int](), list[int]()
    return_unanswered = app.engine.return_unanswered_claims

    def note_unanswered(*arguments: Any) -> Any:
        unanswered.append((yield from return_unanswered(*arguments)))
        return unanswered[-1]

    def hold(answer: ClaimAtOnce | None) -> ClaimAtOnce | None:
        if answer is not None and answer.claims and not brought:
            brought.extend(claim.id for claim in answer.claims)
            gate.pass_through()
        return answer

    async def main() -> None:
        worker = Worker(app.worker_parts(), WorkerSettings(grace=0))
        await worker.start()
        while not brought:
            await asyncio.to_thread(wait_until, lambda: has_a_claim_ready(worker), "a standing claim")
            job = await producer.tasks["double"].aenqueue(4)
            await asyncio.to_thread(wait_until, lambda job=job: job.refresh().state != "ready", "its claim")
        stopping = asyncio.create_task(worker.stop())
        await asyncio.to_thread(gate.wait_for)
        assert not stopping.done()
        gate.open()
        await stopping
        await job.arefresh()
        assert brought == [job.id]
        assert (job.state, job.attempt, job.crashes, job.attempts) == ("ready", 0, 0, ())

    when_sent(app.engine, monkeypatch, hold)
    monkeypatch.setattr(app.engine, "return_unanswered_claims", note_unanswered)
    asyncio.run(main())
    assert not any(unanswered), "the stop waited for what it brought"


def test_one_that_was_withdrawn_is_not_sent(app: Turnspit) -> None:
    claim = StandingClaim(app.engine, lambda _: True)
    assert not claim.send(), "none was prepared"
    claim.prepare(REQUEST)
    assert asyncio.run(claim.withdraw()) is None
    assert not claim.send()


def test_it_is_sent_once_and_not_by_a_worker_whose_lease_ran_out(app: Turnspit) -> None:
    claim = StandingClaim(app.engine, lambda _: False)
    claim.prepare(REQUEST)
    assert claim.send()
    assert not claim.send()
    assert asyncio.run(claim.withdraw()) == Sent(REQUEST, None)
    assert asyncio.run(claim.withdraw()) is None


async def begin_both(claim: StandingClaim, gate: Gate) -> tuple["asyncio.Task[bool]", "asyncio.Task[Sent | None]"]:
    """The claim is sent and stands at the gate in the store, and somebody waits for what it brings."""
    claim.prepare(REQUEST)
    sending = asyncio.create_task(asyncio.to_thread(claim.send))
    await asyncio.to_thread(gate.wait_for)
    waiting = asyncio.create_task(claim.withdraw())
    await asyncio.sleep(0)  # it waits
    return sending, waiting


def test_who_is_cancelled_while_it_waits_leaves_the_answer_to_the_next(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, answer = Gate(), ClaimAtOnce([], is_partial=False)

    def wait(*_: Any) -> ClaimAtOnce:
        gate.pass_through()
        return answer

    async def main() -> Sent | None:
        sending, waiting = await begin_both(claim, gate)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.open()
        assert await sending
        return await claim.withdraw()

    monkeypatch.setattr(app.engine, "try_write", wait)
    claim = StandingClaim(app.engine, lambda _: True)
    assert asyncio.run(main()) == Sent(REQUEST, answer)


def test_the_error_of_the_store_is_raised_and_said_nowhere_else(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()

    def fail(*_: Any) -> None:
        gate.pass_through()
        raise EngineUnavailable("the answer was lost")

    async def main() -> None:
        sending, waiting = await begin_both(claim, gate)
        gate.open()
        with pytest.raises(EngineUnavailable, match="the answer was lost"):
            await waiting
        assert await sending
        assert await claim.withdraw() is None

    monkeypatch.setattr(app.engine, "try_write", fail)
    claim = StandingClaim(app.engine, lambda _: True)
    asyncio.run(main())
    gc.collect()  # an error that nobody has seen is logged with its future's end
    assert not caplog.text


def test_a_store_that_does_not_answer_it_holds_up_nobody_beyond_the_deadline(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()

    async def main() -> None:
        claim.prepare(REQUEST)
        sending = asyncio.create_task(asyncio.to_thread(claim.send))
        await asyncio.to_thread(gate.wait_for)
        with pytest.raises(EngineUnavailable, match=r"within 0.01 s: the call may or may not have been carried out"):
            await claim.withdraw()
        assert await claim.withdraw() is None
        gate.open()
        assert await sending

    monkeypatch.setattr(app.engine, "deadline", 0.01)
    monkeypatch.setattr(app.engine, "try_write", lambda *_: gate.pass_through())
    claim = StandingClaim(app.engine, lambda _: True)
    asyncio.run(main())
