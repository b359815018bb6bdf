"""What can go wrong while verbs are committed together, one after another."""

import asyncio
import contextlib
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.support import wait_until
from turnspit import EngineUnavailable
from turnspit.contract.verbs import Statement, Verb
from turnspit.engines.sqlite.engine import SqliteEngine, _Open
from turnspit.errors import EngineError
from turnspit.jobs import JobFilter
from turnspit.records import NewJob, UniqueRule

NEW: NewJob[None] = NewJob("send", "default", "{}")


class BreakableConnection(sqlite3.Connection):
    """A real connection that fails at chosen statements, as a disk does."""

    fail_at: Callable[[str], bool] = staticmethod(lambda sql: False)
    rolls_back = False

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if self.fail_at(sql):
            if self.rolls_back and self.in_transaction:
                super().execute("ROLLBACK")
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return super().execute(sql, *args)

    def executemany(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if self.fail_at(sql):
            raise sqlite3.OperationalError("disk I/O error")
        return super().executemany(sql, *args)


@pytest.fixture
def engine(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteEngine]:
    """Its writer's connection is breakable."""
    connect = sqlite3.connect

    def connect_breakable(*args: Any, **options: Any) -> sqlite3.Connection:
        return connect(*args, factory=BreakableConnection, **options)

    monkeypatch.setattr("turnspit.engines.sqlite.connection.sqlite3.connect", connect_breakable)
    engine = SqliteEngine(path, deadline=5)
    engine.write(engine.insert_job, NEW)
    yield engine
    engine.close()


def break_writer(engine: SqliteEngine, fail_at: Callable[[str], bool], *, rolls_back: bool = False) -> None:
    connection = engine._opened().writer.connection
    assert isinstance(connection, BreakableConnection)
    connection.rolls_back = rolls_back
    connection.fail_at = fail_at


def once(text: str, number: int = 1) -> Callable[[str], bool]:
    """Fail at one statement that begins so: the first, or another."""
    seen = [0]

    def fail_at(sql: str) -> bool:
        seen[0] += sql.startswith(text)
        return sql.startswith(text) and seen[0] == number

    return fail_at


def with_key(number: int) -> NewJob[None]:
    """A new job that is stored by statements of its own."""
    return NEW._replace(unique_key=str(number), unique_rule=UniqueRule("ready"))


def insert_together(engine: SqliteEngine, count: int, make: Callable[[int], NewJob[None]] = with_key) -> list[Any]:
    """All of these wait while the writer is busy, and are then taken as one group."""

    async def insert() -> list[Any]:
        entered, may_leave = threading.Event(), threading.Event()

        def hold() -> Verb[None]:
            entered.set()
            assert may_leave.wait(20)
            return
            yield Statement("", ())

        # An async call is never run on its caller's thread.
        holding = asyncio.ensure_future(engine.awrite(hold))
        assert await asyncio.to_thread(entered.wait, 20)
        calls = [asyncio.ensure_future(engine.awrite(engine.insert_job, make(number))) for number in range(count)]
        await asyncio.sleep(0)
        may_leave.set()
        await asyncio.gather(holding, return_exceptions=True)
        return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(insert())


def stored(engine: SqliteEngine) -> list[int]:
    return sorted(record.id for record in engine.read(engine.list_jobs, JobFilter(), 1000, None))


def still_works(engine: SqliteEngine) -> None:
    before = stored(engine)
    job = engine.write(engine.insert_job, NEW).id
    assert stored(engine) == [*before, job]


def test_new_jobs_that_wait_are_stored_by_one_statement(engine: SqliteEngine) -> None:
    seen: list[str] = []
    break_writer(engine, lambda sql: bool(seen.append(sql)))  # type: ignore[func-returns-value]
    answers = insert_together(engine, 10, lambda _: NEW)
    assert sum(sql.startswith("INSERT") for sql in seen) == 1
    assert [answer.id for answer in answers] == list(range(2, 12))
    assert {(answer.state, answer.created) for answer in answers} == {("ready", True)}


@pytest.mark.parametrize("alike", [True, False])
def test_a_trigger_that_leaves_jobs_out_makes_no_id_wrong(engine: SqliteEngine, alike: bool) -> None:
    """Somebody else's trigger, as on PostgreSQL (tests/on_postgres/test_unexpected_answers.py)."""
    with contextlib.closing(sqlite3.connect(engine.path)) as connection:
        connection.execute(
            "CREATE TRIGGER own BEFORE INSERT ON turnspit_jobs WHEN new.args = '[]' BEGIN SELECT RAISE(IGNORE); END"
        )
    left_out = NEW._replace(args="[]")
    others = [NEW._replace(args=f"[{number}]", priority=0 if alike else number) for number in range(1, 4)]
    ids = engine.write(engine.insert_jobs, [*others, left_out])
    assert [engine.read(engine.get_job, job).args for job in ids] == [each.args for each in others]  # type: ignore[union-attr]
    assert engine.write(engine.insert_jobs, [left_out] * 2) == []
    new = [left_out, *others]
    first, *stored_together = insert_together(engine, 4, new.__getitem__)
    assert isinstance(first, Exception)
    assert stored(engine) == [1, *ids, *(answer.id for answer in stored_together)]


def test_new_jobs_that_cannot_be_stored_together_are_stored_each_alone(engine: SqliteEngine) -> None:
    break_writer(engine, once("INSERT INTO turnspit_jobs"))
    answers = insert_together(engine, 10, lambda _: NEW)
    assert stored(engine) == [1, *(answer.id for answer in answers)]
    bad: NewJob[None] = NEW._replace(args=None)  # type: ignore[arg-type]
    answers = insert_together(engine, 3, lambda number: bad if number == 1 else NEW)
    assert [type(answer).__name__ for answer in answers] == ["Inserted", "EngineError", "Inserted"]
    still_works(engine)


def test_the_failure_of_the_first_call_takes_no_new_jobs_with_it(engine: SqliteEngine) -> None:
    """It was taken while the write lock was somebody else's; the new jobs came meanwhile, and are stored before it."""

    def refused() -> Verb[None]:
        raise LookupError("refused")
        yield Statement("", ())

    async def call_together() -> list[Any]:
        with contextlib.closing(sqlite3.connect(engine.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            first = asyncio.ensure_future(engine.awrite(refused))
            await asyncio.to_thread(wait_until, lambda: writer._last_taken and writer._queue.is_empty, "the first one")
            new = [asyncio.ensure_future(engine.awrite(engine.insert_job, NEW)) for _ in range(2)]
            await asyncio.to_thread(wait_until, lambda: len(writer._queue.waiting) == 2, "the new jobs")
            other.execute("ROLLBACK")
        return await asyncio.gather(first, *new, return_exceptions=True)

    writer = engine._opened().writer
    refusal, *answers = asyncio.run(call_together())
    assert isinstance(refusal, LookupError)
    assert stored(engine) == [1, *(answer.id for answer in answers)]


@pytest.mark.parametrize("rolls_back", [False, True])
def test_a_commit_that_fails_is_tried_again_for_each_alone(engine: SqliteEngine, rolls_back: bool) -> None:
    break_writer(engine, once("COMMIT"), rolls_back=rolls_back)
    answers = insert_together(engine, 10)
    assert stored(engine) == [1, *(answer.id for answer in answers)]
    still_works(engine)


@pytest.mark.parametrize("rolls_back", [False, True])
def test_a_commit_that_always_fails_fails_each_call_with_a_clear_error(engine: SqliteEngine, rolls_back: bool) -> None:
    break_writer(engine, lambda sql: sql == "COMMIT", rolls_back=rolls_back)
    for answer in [*insert_together(engine, 10), _error_of(lambda: engine.write(engine.insert_jobs, [NEW]))]:
        assert isinstance(answer, EngineUnavailable)
        assert "jobs.db cannot be read or written: the disk reports an error" in str(answer)
    break_writer(engine, lambda sql: False)
    assert stored(engine) == [1]
    still_works(engine)


def _error_of(call: Callable[[], object]) -> BaseException | None:
    try:
        call()
    except EngineUnavailable as error:
        return error
    return None


@pytest.mark.parametrize("statement", ["INSERT INTO turnspit_jobs", "SAVEPOINT", "RELEASE"])
@pytest.mark.parametrize("number", [1, 5])
@pytest.mark.parametrize("rolls_back", [False, True])
def test_an_error_in_one_call_is_that_calls_alone(
    engine: SqliteEngine, statement: str, number: int, rolls_back: bool
) -> None:
    """Also where the whole transaction is gone with it: those before it are run again."""
    break_writer(engine, once(statement, number), rolls_back=rolls_back)
    answers = insert_together(engine, 10)
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    assert [type(error) for error in errors] == [EngineUnavailable]
    assert stored(engine) == [1, *sorted(answer.id for answer in answers if not isinstance(answer, BaseException))]
    still_works(engine)


def test_a_transaction_that_cannot_even_be_rolled_back_is_dropped_with_its_connection(engine: SqliteEngine) -> None:
    break_writer(engine, lambda sql: sql in ("COMMIT", "ROLLBACK"))
    answers = insert_together(engine, 3)
    # A new connection took the place of the broken one, and each call was run again.
    assert stored(engine) == [1, *(answer.id for answer in answers)]
    still_works(engine)


def test_what_was_closed_between_choosing_and_handing_over_is_opened_again(engine: SqliteEngine) -> None:
    chosen: list[_Open] = []

    def choose(opened: _Open) -> Any:
        if not chosen:
            engine.close()
        chosen.append(opened)
        return opened.writer

    call = engine._hand_over(choose, lambda: engine.insert_job(NEW))
    assert call.wait(10)
    assert call.answer().id == 2
    assert len(chosen) == 2
    still_works(engine)


def test_an_error_nobody_thought_of_fails_its_call_and_stops_no_thread(engine: SqliteEngine) -> None:
    def broken() -> Verb[None]:
        yield from engine.insert_job(NEW)
        yield Statement("SELECT :missing", {})

    def overflowing() -> Verb[None]:
        yield Statement("SELECT :number", {"number": 2**70})

    for verb in (broken, overflowing):
        with pytest.raises((EngineError, OverflowError)):
            engine.write(verb)
        with pytest.raises((EngineError, OverflowError)):
            asyncio.run(engine.awrite(verb))
        with pytest.raises((EngineError, OverflowError)):
            engine.read(verb)
    assert stored(engine) == [1]
    still_works(engine)


@pytest.mark.parametrize("number", [1, 3])
def test_a_commit_that_the_disk_fails_is_said_to_be_unsure(engine: SqliteEngine, number: int) -> None:
    """It may be in the write-ahead log, as after a failed ``fsync``: the next one to open the file may find it."""
    break_writer(engine, lambda sql: sql == "COMMIT")
    answers = insert_together(engine, number)
    for answer in answers:
        assert isinstance(answer, EngineUnavailable)
        assert str(answer).endswith(
            "the disk reports an error (disk I/O error): the call may or may not have been carried out"
        )
    with pytest.raises(EngineUnavailable, match="may or may not"):
        engine.write(engine.insert_job, with_key(9))
    break_writer(engine, lambda sql: sql.startswith("INSERT"))
    with pytest.raises(EngineUnavailable, match="may or may not"):
        engine.write(engine.insert_job, NEW)  # which commits by itself
    with pytest.raises(EngineUnavailable, match=r"\(disk I/O error\)$"):
        engine.write(engine.insert_job, with_key(9))
    assert isinstance(insert_together(engine, 1)[0], EngineUnavailable)
    break_writer(engine, lambda sql: False)
    still_works(engine)


def test_a_close_in_the_middle_of_a_wake_ends_no_writer(engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """``close`` and ``fork`` close the socket that sends wakes while a commit may be telling of itself."""

    class Socket(socket.socket):
        def setblocking(self, flag: bool) -> None:
            super().setblocking(flag)
            engine.wakeups.pause()

    other = SqliteEngine(engine.path)
    end = other.wakeups.listen(lambda wake: None)
    monkeypatch.setattr("turnspit.engines.sqlite.wakeups.socket.socket", Socket)
    answers = insert_together(engine, 2)
    assert stored(engine) == [1, *(answer.id for answer in answers)]
    end()
    other.close()


def test_a_read_that_breaks_its_transaction_stops_no_other(engine: SqliteEngine) -> None:
    def rolled_back() -> Verb[None]:
        yield Statement("ROLLBACK", ())
        yield Statement("SELECT nonsense", ())

    with pytest.raises(EngineError, match="nonsense"):
        engine.read(rolled_back)
    assert stored(engine) == [1]
