"""How verbs are run: transactions of their own, groups, snapshots, and the end of an engine."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.store import BOOM, Store
from turnspit.contract import Engine
from turnspit.contract.verbs import Statement, Verb
from turnspit.engines import open_engine
from turnspit.errors import EngineError
from turnspit.jobs import JobFilter
from turnspit.records import Ending, EndingMove, NewJob

pytestmark = pytest.mark.unprepared

NEW = NewJob("send", "default", "{}")
BAD = NewJob("send", "default", None)  # type: ignore[arg-type]


def count(engine: Engine) -> int:
    return engine.read(engine.count_jobs, JobFilter())


def store_then_fail(engine: Engine, error: Exception | None) -> Verb[int]:
    """A verb that fails after it has written."""
    inserted = yield from engine.insert_job(NEW)
    if error is not None:
        raise error
    return inserted.id


def test_a_verb_that_fails_leaves_nothing(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError, match="of its own"):
        engine.write(store_then_fail, engine, ZeroDivisionError("of its own"))
    with pytest.raises(EngineError):
        engine.write(engine.insert_jobs, [NEW, BAD])
    assert count(engine) == 0
    assert engine.write(store_then_fail, engine, None) > 0


def test_a_signal_handler_may_close_what_its_thread_is_closing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.write(engine.insert_job, NEW)
    pause = engine.wakeups.pause  # type: ignore[attr-defined]

    def handle_signal() -> None:
        monkeypatch.undo()
        engine.close()
        pause()

    monkeypatch.setattr(engine.wakeups, "pause", handle_signal)
    engine.close()
    assert count(engine) == 1


class Gate:
    """Keeps the writer busy, so that what is written meanwhile waits together."""

    def __init__(self, engine: Engine) -> None:
        self._entered, self._may_leave = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=engine.write, args=(self._hold,))
        self._thread.start()
        assert self._entered.wait(10)

    def _hold(self) -> Verb[None]:
        self._entered.set()
        assert self._may_leave.wait(20)
        return
        yield Statement("", ())

    def open(self) -> None:
        self._may_leave.set()
        self._thread.join()


async def write_together(engine: Engine, errors: list[Exception | None]) -> list[int | BaseException]:
    """These verbs wait behind a gate, in this order, and are then committed together."""
    gate = await asyncio.to_thread(Gate, engine)
    calls = [asyncio.ensure_future(engine.awrite(store_then_fail, engine, error)) for error in errors]
    await asyncio.sleep(0)  # each has been handed over
    await asyncio.to_thread(gate.open)
    return await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize("failing", [{0}, {3}, {9}, {0, 1, 2}, {2, 5, 8}, set(range(9)), set(range(10))])
def test_a_verb_that_fails_takes_no_other_of_its_group_with_it(engine: Engine, failing: set[int]) -> None:
    engine.write(engine.insert_job, NEW)
    errors = [ValueError(str(number)) if number in failing else None for number in range(10)]
    answers = asyncio.run(write_together(engine, errors))
    for number, answer in enumerate(answers):
        if number in failing:
            assert isinstance(answer, ValueError)
            assert str(answer) == str(number)
        else:
            assert isinstance(answer, int)
    stored = [answer for answer in answers if isinstance(answer, int)]
    assert len(set(stored)) == 10 - len(failing)
    assert {record.id for record in engine.read(engine.list_jobs, JobFilter(), 100, None)} == {1, *stored}


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)  # on PostgreSQL a second thread may help
def test_a_group_is_answered_in_the_order_of_its_calls(engine: Engine) -> None:
    engine.write(engine.insert_job, NEW)
    answers = asyncio.run(write_together(engine, [None] * 600))
    assert answers == list(range(2, 602))


def test_what_is_written_apart_waits_behind_no_other_call(engine: Engine) -> None:
    """As a worker's lease, in a process that produces a flood of jobs."""
    engine.write(engine.insert_job, NEW)

    def count_and_write() -> Verb[int]:
        yield from engine.insert_job(NEW)
        return (yield from engine.count_jobs(JobFilter()))

    async def main() -> int:
        gate = await asyncio.to_thread(Gate, engine)
        flood = [asyncio.ensure_future(engine.awrite(engine.insert_jobs, [NEW])) for _ in range(3000)]
        await asyncio.sleep(0)  # each has been handed over
        apart = asyncio.ensure_future(asyncio.to_thread(engine.write_apart, count_and_write))
        await asyncio.to_thread(gate.open)
        stored = await apart
        await asyncio.gather(*flood)
        return stored

    assert 2 <= asyncio.run(main()) < 3002
    assert count(engine) == 3002
    with pytest.raises(ZeroDivisionError):
        engine.write_apart(store_then_fail, engine, ZeroDivisionError())
    assert count(engine) == 3002


def test_a_second_writer_does_not_wait_for_the_first(engine: Engine) -> None:
    """A busy worker stores what ended and claims at the same time, where the store can do both."""

    async def main() -> bool:
        gate = await asyncio.to_thread(Gate, engine)
        beside = asyncio.ensure_future(engine.awrite_beside(engine.insert_job, NEW))
        is_beside = engine.has_two_writers and (await beside).created
        await asyncio.to_thread(gate.open)
        await beside
        return is_beside

    assert asyncio.run(main()) == engine.has_two_writers
    with pytest.raises(ZeroDivisionError):
        asyncio.run(_fail_beside(engine))
    assert count(engine) == 1


async def _fail_beside(engine: Engine) -> None:
    await engine.awrite_beside(store_then_fail, engine, ZeroDivisionError())


def test_a_write_is_tried_on_the_calling_thread_and_waits_for_nobody(engine: Engine) -> None:
    assert engine.try_write(engine.insert_job, NEW) is None, "the store is not open yet"
    threads: list[int] = []

    def note_thread() -> Verb[int]:
        threads.append(threading.get_ident())
        return (yield from store_then_fail(engine, None))

    engine.write(engine.insert_job, NEW)
    assert engine.try_write(note_thread) is not None
    assert threads == [threading.get_ident()]
    gate = Gate(engine)
    assert engine.try_write(note_thread) is None, "another call uses the connection"
    gate.open()
    with pytest.raises(ZeroDivisionError):
        engine.try_write(store_then_fail, engine, ZeroDivisionError())
    assert count(engine) == 2
    engine.close()
    assert engine.try_write(note_thread) is None
    assert count(engine) == 2


def test_writers_of_many_kinds_at_once(store: Store) -> None:
    """Threads, coroutines and another engine write beside each other, and nothing is lost or done twice."""
    engine = store.engine
    claims = store.claim(40) if store.insert_many(40) else []

    def end(number: int) -> None:
        claim = claims[number]
        ending = Ending(claim.id, claim.fence, EndingMove.DEAD, BOOM)
        assert engine.write(engine.finish_jobs, [ending]).lost == []

    async def enqueue() -> None:
        await asyncio.gather(*(engine.awrite(engine.insert_job, NEW) for _ in range(100)))

    with ThreadPoolExecutor(8) as threads:
        work = [threads.submit(end, number) for number in range(40)]
        work += [threads.submit(asyncio.run, enqueue()) for _ in range(3)]
        work += [threads.submit(engine.write, engine.insert_jobs, [NEW] * 10) for _ in range(10)]
        for each in work:
            each.result()
    assert (store.count(state="dead"), store.count(state="ready")) == (40, 400)
    ids = store.ids(limit=1000)
    assert len(ids) == len(set(ids)) == 440


def test_what_was_written_is_read(engine: Engine) -> None:
    """Also by the very next call, and from another engine."""
    for expected in range(1, 30):
        engine.write(engine.insert_job, NEW)
        assert count(engine) == expected


def test_a_read_sees_one_snapshot(engine: Engine, url: str) -> None:
    engine.write(engine.insert_job, NEW)
    other = open_engine(url, durability="relaxed")

    def look_twice() -> Verb[tuple[int, int]]:
        before = yield from engine.count_jobs(JobFilter())
        other.write(other.insert_job, NEW)
        after = yield from engine.count_jobs(JobFilter())
        return before, after

    assert engine.read(look_twice) == (1, 1)
    assert count(engine) == 2
    other.close()


def test_an_error_of_a_read_is_that_reads_alone(engine: Engine) -> None:
    def broken() -> Verb[int]:
        yield Statement("SELECT nonsense FROM nowhere", ())
        return 1

    engine.write(engine.insert_job, NEW)
    with pytest.raises(EngineError, match="nowhere"):
        engine.read(broken)
    assert count(engine) == 1


def test_several_event_loops_one_after_another_and_beside_each_other(engine: Engine) -> None:
    async def enqueue() -> int:
        return (await engine.awrite(engine.insert_job, NEW)).id

    assert [asyncio.run(enqueue()) for _ in range(3)] == [1, 2, 3]
    with ThreadPoolExecutor(4) as threads:
        ids = list(threads.map(lambda _: asyncio.run(enqueue()), range(20)))
    assert sorted(ids) == list(range(4, 24))


def test_a_call_whose_caller_gave_up_while_it_waited_is_not_carried_out(engine: Engine) -> None:
    async def give_up() -> None:
        gate = await asyncio.to_thread(Gate, engine)
        call = asyncio.ensure_future(engine.awrite(engine.insert_job, NEW))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        kept = asyncio.ensure_future(engine.awrite(engine.insert_job, NEW))
        await asyncio.sleep(0)
        await asyncio.to_thread(gate.open)
        await kept

    engine.write(engine.insert_job, NEW)
    asyncio.run(give_up())
    assert count(engine) == 2


def test_a_read_whose_caller_gave_up_stops_no_other_read(engine: Engine) -> None:
    async def give_up() -> int:
        entered, may_leave = threading.Event(), threading.Event()

        def slow() -> Verb[None]:
            entered.set()
            assert may_leave.wait(20)
            return
            yield Statement("", ())

        first = asyncio.ensure_future(engine.aread(slow))
        assert await asyncio.to_thread(entered.wait, 20)
        second = asyncio.ensure_future(engine.aread(engine.count_jobs, JobFilter()))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        may_leave.set()
        await first
        return await engine.aread(engine.count_jobs, JobFilter())

    engine.write(engine.insert_job, NEW)
    assert asyncio.run(give_up()) == 1


def test_an_engine_opens_itself_again_after_close(engine: Engine) -> None:
    engine.close()
    for expected in (1, 2, 3):
        assert engine.write(engine.insert_job, NEW).id == expected
        engine.close()
        engine.close()
        assert count(engine) == expected


def test_close_finishes_what_waits(engine: Engine) -> None:
    async def close_meanwhile() -> list[int]:
        gate = await asyncio.to_thread(Gate, engine)
        calls = [asyncio.ensure_future(engine.awrite(store_then_fail, engine, None)) for _ in range(20)]
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(asyncio.to_thread(engine.close))
        await asyncio.to_thread(gate.open)
        await closing
        return await asyncio.gather(*calls)

    engine.write(engine.insert_job, NEW)
    assert len(asyncio.run(close_meanwhile())) == 20
    assert count(engine) == 21


def test_close_by_another_thread_fails_no_call(engine: Engine) -> None:
    """Whoever comes while it is closed opens it again."""
    done = threading.Event()

    def close_again_and_again() -> None:
        while not done.is_set():
            engine.close()

    async def aenqueue() -> None:
        for _ in range(20):
            await engine.awrite(engine.insert_job, NEW)
            await engine.aread(engine.count_jobs, JobFilter())

    closer = threading.Thread(target=close_again_and_again)
    closer.start()
    with ThreadPoolExecutor(3) as threads:
        work = [threads.submit(lambda: [engine.write(engine.insert_job, NEW) for _ in range(20)]) for _ in range(2)]
        work.append(threads.submit(asyncio.run, aenqueue()))
        for each in work:
            each.result()
    done.set()
    closer.join()
    assert count(engine) == 60


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_store_in_a_folder_that_does_not_exist_is_named(url: str) -> None:
    engine = open_engine(url.replace("jobs.db", "nowhere/jobs.db"))
    with pytest.raises(
        EngineError, match=r"nowhere/jobs.db cannot be made: its folder does not exist; create .*nowhere"
    ):
        engine.write(engine.insert_job, NEW)
