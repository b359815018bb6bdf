"""Somebody else holds the file's write lock: for a moment, for long, or because they wait for us."""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.behaviour.support import wait_until
from tests.faults.program import Program, lock_held, release
from tests.outages import outlive
from turnspit import EngineUnavailable, Turnspit
from turnspit.contract import Engine
from turnspit.engines import open_engine
from turnspit.jobs import JobFilter
from turnspit.records import NewJob

NEW = NewJob("send", "default", "{}")


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """It has time, except where ``hurried``."""
    engine = open_engine(url, deadline=20)
    yield engine
    engine.close()


@contextlib.contextmanager
def hurried(engine: Engine) -> Iterator[None]:
    engine.deadline = 0.6  # type: ignore[attr-defined]
    yield
    engine.deadline = 20  # type: ignore[attr-defined]


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """Another connection of this process."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    yield connection
    connection.close()


def insert(engine: Engine) -> int:
    return engine.write(engine.insert_job, NEW).id


def count(engine: Engine) -> int:
    return engine.read(engine.count_jobs, JobFilter())


@contextlib.contextmanager
def released_after(seconds: float, holder: Program) -> Iterator[None]:
    """Another thread does it, and has heard of it at the end."""
    timer = threading.Timer(seconds, release, [holder])
    timer.start()
    try:
        yield
    finally:
        timer.join()


def test_a_lock_held_beyond_the_deadline_fails_the_call_and_stores_nothing(engine: Engine, path: Path) -> None:
    """Sync and async, and the message says that it was not carried out, which is so for good."""
    insert(engine)

    async def enqueue() -> None:
        await asyncio.gather(*(engine.awrite(engine.insert_job, NEW) for _ in range(5)))

    with lock_held(path) as holder:
        with hurried(engine):
            said = r"jobs.db did not answer within 0.6 s.*: the call was not carried"
            with pytest.raises(EngineUnavailable, match=said):
                insert(engine)
            with pytest.raises(EngineUnavailable, match="was not carried out"):
                asyncio.run(enqueue())
        assert count(engine) == 1, "reading goes on"
        release(holder)
    assert insert(engine) == 2
    assert count(engine) == 2


def test_a_lock_held_for_a_moment_is_waited_for(engine: Engine, path: Path) -> None:
    insert(engine)
    with lock_held(path) as holder, released_after(0.2, holder):
        assert insert(engine) == 2


def test_a_store_locked_for_long_is_opened_all_the_same(engine: Engine, path: Path) -> None:
    insert(engine)
    engine.close()
    with lock_held(path):
        assert count(engine) == 1
        with hurried(engine), pytest.raises(EngineUnavailable, match="was not carried out"):
            insert(engine)


def test_a_new_store_waits_for_whoever_makes_it(engine: Engine, path: Path) -> None:
    """A file of the application in SQLite's old journal mode, which changes only when nobody uses the file."""
    with sqlite3.connect(path) as old:
        old.execute("CREATE TABLE orders (id)")
    old.close()
    with lock_held(path, mode="EXCLUSIVE") as holder, released_after(0.3, holder):
        assert insert(engine) == 1


def test_a_worker_outlives_a_store_that_is_locked_for_longer_than_its_lease(shop: Turnspit, path: Path) -> None:
    """It says so, starts nothing new meanwhile, and goes on by itself."""
    shop.tasks["quick"].enqueue(0)
    with shop.worker(lease=0.6, heartbeat=0.2, concurrency=2):
        with lock_held(path) as holder:
            until = time.monotonic() + 1.5
            wait_until(lambda: time.monotonic() > until, "locked for long")
            release(holder)
        jobs = [shop.tasks["quick"].enqueue(number) for number in range(5)]
        assert [job.get_result(timeout=10) for job in jobs] == list(range(5))


def test_workers_outlive_a_lock_longer_than_their_lease(url: str, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    @contextlib.contextmanager
    def locked() -> Iterator[None]:
        with lock_held(path):
            yield

    outlive(url, locked, caplog, is_whole=True)


def self_lock(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")


def test_waiting_for_oneself_fails_fast_and_says_what_to_do(engine: Engine, connection: sqlite3.Connection) -> None:
    insert(engine)
    self_lock(connection)
    with pytest.raises(EngineUnavailable, match=r"locked by another connection of this very process: pass .* as tx="):
        insert(engine)
    connection.execute("COMMIT")
    assert insert(engine) == 2


def test_waiting_for_oneself_at_the_very_first_use(engine: Engine, connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE orders (id)")
    self_lock(connection)
    connection.execute("INSERT INTO orders VALUES (1)")
    with pytest.raises(EngineUnavailable, match=r"locked by another connection of this very process: pass .* as tx="):
        insert(engine)
    connection.execute("COMMIT")
    assert insert(engine) == 1


@pytest.mark.parametrize("journal_mode", ["WAL", "DELETE"])
def test_a_new_store_gets_its_schema_in_the_transaction_that_it_is_first_used_in(
    engine: Engine, connection: sqlite3.Connection, journal_mode: str
) -> None:
    connection.execute(f"PRAGMA journal_mode = {journal_mode}")
    connection.execute("CREATE TABLE orders (id)")
    self_lock(connection)
    connection.execute("INSERT INTO orders VALUES (1)")
    assert engine.write_in(connection, engine.insert_job, NEW).id == 1
    assert engine.write_in(connection, engine.insert_job, NEW).id == 2
    connection.execute("ROLLBACK")
    assert engine.schema_status().current == 0
    self_lock(connection)
    engine.write_in(connection, engine.insert_job, NEW)
    connection.execute("COMMIT")
    assert count(engine) == 1
    assert insert(engine) == 2


def test_a_busy_application_is_not_mistaken_for_one_that_waits_for_us(
    engine: Engine, connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread holds the lock whenever one looks, but it commits in between."""
    monkeypatch.setattr("turnspit.engines.sqlite.locks._SELF_LOCK_PATIENCE", 0.2)
    insert(engine)
    connection.execute("CREATE TABLE orders (id)")
    began = threading.Event()

    def write_four_times() -> None:
        for _ in range(4):
            connection.execute("BEGIN IMMEDIATE")
            began.set()
            connection.execute("INSERT INTO orders VALUES (1)")
            threading.Event().wait(0.4)
            connection.execute("COMMIT")

    writer = threading.Thread(target=write_four_times)
    writer.start()
    began.wait()
    assert insert(engine) == 2
    writer.join()
