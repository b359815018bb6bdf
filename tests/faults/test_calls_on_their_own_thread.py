"""A sync call that is alone runs on its caller's thread: what can go wrong there, and what must not follow from it."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.behaviour.support import DEADLINE
from turnspit.contract.verbs import Statement, Verb
from turnspit.engines.sqlite.engine import SqliteEngine
from turnspit.errors import EngineUnavailable
from turnspit.jobs import JobFilter
from turnspit.records import NewJob

JOB: NewJob[None] = NewJob("deliver", "default", "{}")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[SqliteEngine]:
    engine = SqliteEngine(tmp_path / "store.db", deadline=DEADLINE)
    engine.write(engine.insert_job, JOB)  # the first call is handed over; from now on this thread is alone
    yield engine
    engine.close()


def count(engine: SqliteEngine) -> int:
    return engine.read(engine.count_jobs, JobFilter())


def thread_of_a_call(engine: SqliteEngine) -> int:
    def verb() -> Verb[int]:
        yield Statement("SELECT 1", ())
        return threading.get_ident()

    return engine.write(verb)


def test_a_thread_that_is_alone_runs_its_own_calls(engine: SqliteEngine) -> None:
    assert thread_of_a_call(engine) == threading.get_ident()


def test_the_call_of_another_thread_is_handed_over(engine: SqliteEngine) -> None:
    seen: list[tuple[int, int]] = []
    other = threading.Thread(target=lambda: seen.append((thread_of_a_call(engine), threading.get_ident())))
    other.start()
    other.join()
    [(ran_on, called_on)] = seen
    assert ran_on != called_on


def test_threads_that_call_together_lose_nothing(engine: SqliteEngine) -> None:
    def enqueue() -> None:
        for _ in range(50):
            engine.write(engine.insert_job, JOB)

    threads = [threading.Thread(target=enqueue) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(engine) == 1 + 8 * 50


def test_ctrl_c_in_the_middle_stores_nothing_and_leaves_the_store_usable(engine: SqliteEngine) -> None:
    def interrupted() -> Verb[None]:
        yield from engine.insert_job(JOB)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.write(interrupted)
    with closing(sqlite3.connect(engine.path, timeout=DEADLINE)) as other, other:
        other.execute("DELETE FROM turnspit_jobs")  # the thread has left no lock behind
    engine.write(engine.insert_job, JOB)
    assert count(engine) == 1


def test_a_verb_that_fails_stores_nothing_and_leaves_the_store_usable(engine: SqliteEngine) -> None:
    def failing() -> Verb[None]:
        yield from engine.insert_job(JOB)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        engine.write(failing)
    engine.write(engine.insert_job, JOB)
    assert count(engine) == 2


def test_a_signal_handler_that_calls_in_the_middle_is_told_so_at_once(engine: SqliteEngine) -> None:
    def verb() -> Verb[None]:
        yield Statement("SELECT 1", ())
        engine.write(engine.insert_job, JOB)  # as a handler would that runs between two statements

    with pytest.raises(EngineUnavailable, match="signal handler in the middle of another call"):
        engine.write(verb)
    engine.write(engine.insert_job, JOB)
    assert count(engine) == 2


def test_a_lock_held_by_others_does_not_hold_the_caller_beyond_the_deadline(engine: SqliteEngine) -> None:
    turnstile = engine._new_turnstile()
    turnstile.enter()
    engine.deadline = 0.5
    try:
        with pytest.raises(EngineUnavailable, match=r"did not answer within 0\.5 s"):
            engine.write(engine.insert_job, JOB)
    finally:
        turnstile.leave()
        turnstile.close()
    engine.deadline = DEADLINE
    engine.write(engine.insert_job, JOB)
    assert count(engine) == 2


def test_a_lock_held_by_others_is_waited_for_until_the_deadline(engine: SqliteEngine) -> None:
    turnstile = engine._new_turnstile()
    turnstile.enter()
    timer = threading.Timer(0.2, turnstile.leave)
    timer.start()
    engine.write(engine.insert_job, JOB)
    timer.join()
    turnstile.close()
    assert count(engine) == 2
