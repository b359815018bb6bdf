"""Another process is stopped, by SIGSTOP or Ctrl-Z, at the worst moment: who comes to the store for the first time
hears of it by its deadline, is told which process it is, and works as soon as that goes on.
"""

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.behaviour.support import wait_until
from tests.faults.fork import in_child
from tests.faults.program import Program
from turnspit import EngineUnavailable, Turnspit
from turnspit.engines import open_engine
from turnspit.engines.migrations import Execute
from turnspit.engines.sqlite.engine import SqliteEngine
from turnspit.engines.sqlite.errors import translate
from turnspit.engines.sqlite.locks import is_busy
from turnspit.engines.sqlite.turnstile import _turnstiles
from turnspit.jobs import JobFilter
from turnspit.records import NewJob

NEW = NewJob("send", "default", "{}")
DEADLINE = 0.3


@pytest.fixture
def engine(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteEngine]:
    """Not used yet. It has time, except where ``hurried``."""
    monkeypatch.setattr("turnspit.engines.calls._JOIN_TIMEOUT", DEADLINE)
    monkeypatch.setattr("turnspit.engines.shared_runs._JOIN_TIMEOUT", DEADLINE)
    engine = open_engine(url, deadline=20)
    assert isinstance(engine, SqliteEngine)
    yield engine
    engine.close()


@contextlib.contextmanager
def hurried(engine: SqliteEngine) -> Iterator[None]:
    engine.deadline = DEADLINE
    yield
    engine.deadline = 20


@pytest.fixture
def store(url: str) -> None:
    """There is one already."""
    engine = open_engine(url)
    engine.migrate()
    engine.close()


@contextlib.contextmanager
def stopped(url: str, point: str) -> Iterator[Program]:
    """Another process that stopped itself there."""
    with Program("-m", "tests.faults.stopping", url, point) as program:
        how = os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert how is not None
        assert how.si_code == os.CLD_STOPPED, program.rest()
        yield program


def go_on(program: Program) -> None:
    program.signal(signal.SIGCONT)
    program.wait_for("went on")


def said_of(program: Program) -> str:
    """What is said of it: what happened, who does it, and what to do."""
    pid = program.pid
    return (
        rf"jobs.db did not answer within 0.3 s \(python\S*, process {pid}, holds its write lock and is stopped: "
        rf"`kill -CONT {pid}` lets it go on, or end it\): the call was not carried out"
    )


def insert(engine: SqliteEngine) -> int:
    return engine.write(engine.insert_job, NEW).id


def count(engine: SqliteEngine) -> int:
    return engine.read(engine.count_jobs, JobFilter())


def runs(engine: SqliteEngine) -> int:
    """How many threads wait to open its store."""
    return len(engine._runs._runs)


def test_the_first_use_of_a_store_that_is_being_made(engine: SqliteEngine, url: str) -> None:
    with stopped(url, "in a migration") as other:
        with hurried(engine):
            for use in (insert, count, insert):
                with pytest.raises(EngineUnavailable, match=said_of(other)):
                    use(engine)
            assert runs(engine) == 1, "who tries again waits for the same"
            with pytest.raises(EngineUnavailable, match="the migration was not carried out so far"):
                engine.migrate()
        go_on(other)
    assert insert(engine) == 1
    wait_until(lambda: not runs(engine), "nobody waits any longer")


def test_the_first_use_by_async_code_leaves_the_loop_alone(engine: SqliteEngine, url: str) -> None:
    """Nor does it take the threads that the application has for ``to_thread``."""
    said: list[str] = []

    async def enqueue() -> None:
        with pytest.raises(EngineUnavailable, match=said_of(other)):
            await engine.awrite(engine.insert_job, NEW)
        said.append("late")

    async def work() -> None:
        asyncio.get_running_loop().call_later(DEADLINE / 10, said.append, "loop")
        await asyncio.gather(*(enqueue() for _ in range(40)))

    with stopped(url, "in a migration") as other:
        before = threads_for_loops()
        with hurried(engine):
            asyncio.run(work())
        assert said == ["loop", *["late"] * 40]
        assert runs(engine) == 1
        assert threads_for_loops() == before
        go_on(other)
    assert asyncio.run(engine.awrite(engine.insert_job, NEW)).id == 1


def threads_for_loops() -> int:
    return sum(thread.name.startswith("asyncio") for thread in threading.enumerate())


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("point", ["in a write", "in its turn"])
def test_the_first_use_of_a_store_that_is_there(engine: SqliteEngine, url: str, point: str) -> None:
    """Reading needs no turn."""
    with stopped(url, point) as other:
        assert count(engine) == 0
        with hurried(engine):
            with pytest.raises(EngineUnavailable, match=said_of(other)):
                insert(engine)
            with pytest.raises(EngineUnavailable, match=said_of(other)):
                asyncio.run(engine.awrite(engine.insert_job, NEW))
        go_on(other)
    insert(engine)
    assert count(engine) == 1 + (point == "in a write")


@pytest.mark.usefixtures("store")
def test_the_first_use_of_a_store_that_is_being_recovered(engine: SqliteEngine, url: str) -> None:
    """Nobody can read either, and SQLite waits for ten seconds before it speaks of a locking protocol."""
    with stopped(url, "in a recovery") as other:
        with hurried(engine):
            for use in (count, insert):
                with pytest.raises(EngineUnavailable, match=said_of(other)):
                    use(engine)
        go_on(other)
    assert insert(engine) == 1


def test_a_locking_protocol_is_a_lock() -> None:
    error = sqlite3.OperationalError("locking protocol")
    error.sqlite_errorcode = sqlite3.SQLITE_PROTOCOL
    assert is_busy(error)
    said = translate(error, "jobs.db")
    assert isinstance(said, EngineUnavailable)
    assert str(said) == (
        "store jobs.db is locked by another process that opens or recovers it and does not get on (locking protocol)"
    )


def test_a_migration_that_takes_longer_than_the_deadline_is_finished(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By who asked for it, and may end right after. A call with a deadline is told, and finds it done later."""
    original = engine._file.schema.migrate

    def migrate(execute: Execute, location: str = "") -> tuple[str, ...]:
        assert long_enough.wait(20)
        return original(execute, location)

    long_enough = threading.Event()
    monkeypatch.setattr(engine._file.schema, "migrate", migrate)
    with hurried(engine):
        with pytest.raises(EngineUnavailable, match="was not carried out"):
            insert(engine)
        threading.Timer(3 * DEADLINE, long_enough.set).start()
        assert engine.migrate() == ()
        engine.prepare()
    assert insert(engine) == 1


@pytest.mark.usefixtures("store")
def test_letting_go_waits_for_nobody_who_gave_up(
    engine: SqliteEngine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer stands in the lock for a call that its caller has taken back, and ends when it gets out of there."""
    monkeypatch.setattr("turnspit.engines.calls._JOIN_TIMEOUT", 50)
    before = threading.enumerate()
    with stopped(url, "in a write") as other:
        with hurried(engine):
            for write in (engine.write, engine.write_apart):
                with pytest.raises(EngineUnavailable, match=said_of(other)):
                    write(engine.insert_job, NEW)
        began = time.monotonic()
        engine.close()
        assert time.monotonic() - began < 20
        go_on(other)
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread not in before], "all ended")
    assert insert(engine) == 2


@pytest.mark.parametrize("verb", ["close", "migrate", "async with"])
def test_a_long_wait_leaves_the_loop_alone(url: str, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    app, loop_ran = Turnspit(url), threading.Event()
    name = "migrate" if verb == "migrate" else "close"
    monkeypatch.setattr(app.engine, name, lambda: loop_ran.wait(20) or pytest.fail("the loop stood still"))

    async def use() -> None:
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, loop_ran.set)
        if verb == "async with":
            async with app:
                pass
        else:
            await getattr(app, f"a{verb}")()

    asyncio.run(use())
    assert loop_ran.is_set()


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("point", ["in a read", "while it listens"])
def test_one_that_only_reads_or_listens_keeps_nobody_from_writing(engine: SqliteEngine, url: str, point: str) -> None:
    """More wake-ups than its socket has room for."""
    with stopped(url, point) as other:
        assert [insert(engine) for _ in range(500)] == list(range(1, 501))
        go_on(other)


def test_ctrl_c_ends_the_first_use(engine: SqliteEngine, url: str) -> None:
    engine.deadline = 3 * DEADLINE  # longer than what follows waits: Ctrl-C after that would end the tests

    def interrupt() -> None:
        wait_until(lambda: runs(engine), "waiting")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with stopped(url, "in a migration") as other:
            thread = threading.Thread(target=interrupt)
            thread.start()
            with pytest.raises(KeyboardInterrupt):
                insert(engine)
            thread.join()
            go_on(other)
    finally:
        signal.signal(signal.SIGINT, before)
    assert insert(engine) == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_while_the_first_use_waits(engine: SqliteEngine, url: str) -> None:
    """The child has no part in the parent's turn, and does not wait for locks that nobody gives back."""
    with stopped(url, "in a migration") as other:
        with hurried(engine), pytest.raises(EngineUnavailable):
            insert(engine)
        assert set(in_child(lambda: [each._fd for each in _turnstiles])) == {None}
        with pytest.raises(AssertionError, match="it was forked while a call of its parent waited"):
            in_child(lambda: insert(engine))
        go_on(other)
    assert insert(engine) == 1
    assert in_child(lambda: insert(engine)) == 2


def turnspit(folder: Path, deadline: float, *words: str) -> "subprocess.CompletedProcess[str]":
    """The command line."""
    (folder / "shop.py").write_text(
        "from turnspit import Turnspit\n"
        f"app = Turnspit('sqlite:///jobs.db', deadline={deadline})\n"
        "@app.task\ndef send() -> None: ...\n"
    )
    command = [sys.executable, "-m", "turnspit", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=40, check=False)


@pytest.mark.usefixtures("store")
def test_the_command_line_beside_one_that_is_stopped_in_a_write(url: str, folder: Path) -> None:
    with stopped(url, "in its turn") as other:
        listed = turnspit(folder, 20, "jobs", "list", "shop")
        assert (listed.returncode, listed.stdout) == (0, "")
        assert f"no jobs at {folder / 'jobs.db'}" in listed.stderr
        looked = turnspit(folder, 20, "doctor", "shop")
        assert looked.returncode == 1
        assert f"process {other.pid}, holds its write lock and is stopped" in " ".join(looked.stdout.split())
        lock = asyncio.run(open_engine(url).afind_lock())
        assert lock is not None
        assert f"`kill -CONT {other.pid}` lets it go on" in lock.cure
        go_on(other)
    assert asyncio.run(open_engine(url).afind_lock()) is None


@pytest.mark.parametrize(("command", "code"), [("migrate", 1), ("worker", 2)])
def test_the_command_line_beside_one_that_is_stopped_in_a_migration(
    command: str, code: int, url: str, folder: Path
) -> None:
    with stopped(url, "in a migration") as other:
        ended = turnspit(folder, DEADLINE, command, "shop")
        assert ended.returncode == code
        assert f"`kill -CONT {other.pid}` lets it go on" in " ".join(ended.stderr.split())
        go_on(other)
    assert turnspit(folder, 20, "jobs", "list", "shop").returncode == 0
