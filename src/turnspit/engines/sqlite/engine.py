"""A store in one file: composes the verbs of this folder and runs them."""

import asyncio
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

from turnspit.clock import Clock, SystemClock
from turnspit.contract import SchemaStatus
from turnspit.contract.verbs import Statement, Verb
from turnspit.engines.calls import APART_DEADLINE, Call, await_answer, wait_for_answer
from turnspit.engines.forks import guard_forks
from turnspit.engines.migrations import Execute, refuse_unprepared
from turnspit.engines.sqlite.blocks import SQL
from turnspit.engines.sqlite.caller import caller_transaction
from turnspit.engines.sqlite.connection import ConnectionThread, Reader, Writer, connect, connect_to_look
from turnspit.engines.sqlite.doctor import diagnose
from turnspit.engines.sqlite.errors import translate
from turnspit.engines.sqlite.filters import where
from turnspit.engines.sqlite.jobs import SqliteJobVerbs
from turnspit.engines.sqlite.locks import begin
from turnspit.engines.sqlite.moves import SqliteMoveVerbs
from turnspit.engines.sqlite.place import check_place, find_file
from turnspit.engines.sqlite.schema import SqliteSchema
from turnspit.engines.sqlite.turnstile import Turnstile
from turnspit.engines.sqlite.wakeups import SqliteWakeups
from turnspit.engines.sqlite.wal_owner import refuse_foreign_wal
from turnspit.engines.verbs.alerts import AlertVerbs
from turnspit.engines.verbs.bounds import ClaimBounds
from turnspit.engines.verbs.control import ControlVerbs
from turnspit.engines.verbs.figures import FigureVerbs
from turnspit.engines.verbs.pauses import PauseVerbs
from turnspit.engines.verbs.schedules import ScheduleVerbs
from turnspit.engines.verbs.workflows import WorkflowVerbs
from turnspit.errors import ConfigurationError, EngineUnavailable
from turnspit.jobs import JobFilter
from turnspit.records import NewJob
from turnspit.transactions import drive, is_async_sqlalchemy, not_async, unscoped

__all__ = ["SqliteEngine"]

Q = ParamSpec("Q")
T = TypeVar("T")

logger = logging.getLogger("turnspit")

_MIGRATION_PATIENCE = 10.0
_SYNCHRONOUS = {"full": "FULL", "relaxed": "NORMAL"}


class _Open(NamedTuple):
    writer: Writer
    reader: Reader
    apart: Writer
    turnstiles: tuple[Turnstile, Turnstile]
    """Of the writer and of the one apart: they take turns as two processes do."""
    identity: tuple[int, int] | None


_left_behind: list[_Open] = []
"""Kept for good: if a fork copied their connections into this process, SQLite forbids using and closing them here."""
_busy: set[tuple[int, int]] = set()
"""Files that a thread was still using when this process was last forked."""
_lost: set[tuple[int, int]] = set()
"""The same, in the child: what SQLite remembers of their locks is not so there, and its own may be held for good."""


class SqliteEngine(
    SqliteJobVerbs,
    ControlVerbs,
    PauseVerbs,
    AlertVerbs,
    FigureVerbs,
    ScheduleVerbs,
    WorkflowVerbs,
    SqliteMoveVerbs,
):
    """The SQLite engine. It opens its file at the first use, and again after ``close`` or a fork.

    :param path: the file, made if it does not exist; its folder must.
    :param durability: ``"full"`` survives a power cut; ``"relaxed"`` (``synchronous=NORMAL``) survives the death
        of every process, and may lose the last commits when the power fails.
    :param deadline: seconds that a call waits for the store.
    :param migrate: whether the first use brings the schema up to date; if not, it only sees that it is.
    """

    sql = SQL
    schema = SqliteSchema()
    has_two_writers = False

    def __init__(
        self,
        path: Path,
        *,
        durability: str = "full",
        deadline: float = 10.0,
        migrate: bool = True,
        clock: Clock | None = None,
    ) -> None:
        if durability not in _SYNCHRONOUS:
            raise ConfigurationError(f'durability is "full" or "relaxed", not {durability!r}')
        self.path = path
        self.location = str(path)
        self.clock = clock or SystemClock()
        self.deadline = deadline
        self._migrates = migrate
        self._synchronous = _SYNCHRONOUS[durability]
        self._folder = Path(f"{path}-turnspit")
        self._forget()
        guard_forks(self)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._open: _Open | None = None
        self._listens = False
        self.bounds = ClaimBounds()
        self.wakeups = SqliteWakeups(self.path, self._folder)

    def prepare_fork(self) -> None:
        """Before a fork: let go of the file and keep others from opening it until ``resume_after_fork``.

        SQLite keeps its locks in the memory of the process. A child that inherits an open connection believes in
        locks that it does not hold: it waits for ever, or writes beside others.
        """
        self._lock.acquire()
        self._listens = self.wakeups.is_listening
        try:
            self._let_go()
        except BaseException:
            self._lock.release()
            raise
        _note_busy()

    def resume_after_fork(self) -> None:
        """In the parent: go on; the next call opens the file again."""
        self._lock.release()
        if self._listens:  # not if it was closed before
            self.wakeups.resume()

    def forget_after_fork(self) -> None:
        """In the child: begin anew. What was not let go of is kept, never closed."""
        if self._open is not None:
            _left_behind.append(self._open)
        _lost.update(_busy)
        self._forget()

    def where(self, filter_: JobFilter) -> tuple[str, dict[str, Any]]:
        return where(filter_)

    def write(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        call = self._hand_over(_writer, lambda: verb(*args, **kwargs), here=True, new=self.only_new(verb, args))
        return cast("T", wait_for_answer(call, self.deadline, self._late))

    def write_apart(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        call = self._hand_over(_apart, lambda: verb(*args, **kwargs))
        return cast("T", wait_for_answer(call, min(self.deadline, APART_DEADLINE), self._late))

    def write_later(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> Callable[[], T]:
        call = self._hand_over(_writer, lambda: verb(*args, **kwargs))
        return lambda: cast("T", wait_for_answer(call, self.deadline, self._late))

    async def awrite(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        call = await self._ahand_over(_writer, lambda: verb(*args, **kwargs), new=self.only_new(verb, args))
        return cast("T", await await_answer(call.future, self.deadline, self._late))

    async def awrite_beside(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        return await self.awrite(verb, *args, **kwargs)

    def read(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        call = self._hand_over(_reader, lambda: verb(*args, **kwargs), here=True)
        return cast("T", wait_for_answer(call, self.deadline, self._late))

    async def aread(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        call = await self._ahand_over(_reader, lambda: verb(*args, **kwargs))
        return cast("T", await await_answer(call.future, self.deadline, self._late))

    def write_in(self, tx: Any, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        transaction = caller_transaction(tx, self.path)
        try:
            if self._open is None:
                # The caller may hold the write lock already: a new store gets its schema in the same transaction.
                # Python's sqlite3 begins one before an INSERT but not before a CREATE TABLE; a savepoint begins it too.
                transaction.execute(Statement("SAVEPOINT turnspit_schema", ()))
                self._prepare_in(lambda sql: transaction.execute(Statement(sql, ())))
            result, wakes = drive(verb(*args, **kwargs), transaction.execute)
        except sqlite3.Error as error:
            raise translate(error, self.location) from error
        if wakes:
            transaction.after_commit(lambda: self.wakeups.send(wakes))
        return result

    def _prepare_in(self, execute: Execute) -> None:
        if self._migrates:
            self.schema.migrate(execute, self.location)
        else:
            refuse_unprepared(self.schema.read_status(execute), self.location)

    async def awrite_in(self, tx: Any, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        if not is_async_sqlalchemy(tx):
            raise not_async(tx)
        result: T = await unscoped(tx).run_sync(lambda sync: self.write_in(sync, verb, *args, **kwargs))
        return result

    def migrate(self) -> tuple[str, ...]:
        with closing(self._new_turnstile()) as turnstile, turnstile, self._connected(self._connect) as connection:
            if not self.schema.read_status(connection.execute).pending:
                return self.schema.migrate(connection.execute, self.location)
            connection.execute("PRAGMA busy_timeout = 500")
            begin(connection, self.path, _MIGRATION_PATIENCE, lambda: True)
            with connection:
                return self.schema.migrate(connection.execute, self.location)

    def schema_status(self) -> SchemaStatus:
        if find_file(self.path) is None:
            with closing(sqlite3.connect(":memory:")) as empty:
                return self.schema.read_status(empty.execute)
        with self._connected(connect_to_look) as connection:
            return self.schema.read_status(connection.execute)

    def prepare(self) -> None:
        if self._migrates:
            self.migrate()
        else:
            refuse_unprepared(self.schema_status(), self.location)

    def schema_sql(self, since: int = 0) -> str:
        return self.schema.sql(since)

    def diagnose(self) -> list[tuple[str, bool, str]]:
        return diagnose(self.path)

    def close(self) -> None:
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        """Close threads and connections, keep who listens."""
        opened, self._open = self._open, None
        self.wakeups.pause()
        if opened is not None:
            for thread in (opened.writer, opened.reader, opened.apart):
                thread.close()
            if _is_running(opened):
                _left_behind.append(opened)  # it waits for a lock, and ends by itself later
            else:
                _close_turnstiles(opened)

    def _hand_over(
        self,
        choose: Callable[[_Open], ConnectionThread],
        make_verb: Callable[[], Verb[T]],
        *,
        here: bool = False,
        new: NewJob[Any] | None = None,
    ) -> Call:
        while True:
            call = choose(self._opened()).submit(make_verb, here=here, new=new)
            if call is not None:  # else it was closed in between, by another thread or before a fork
                return call

    async def _ahand_over(
        self,
        choose: Callable[[_Open], ConnectionThread],
        make_verb: Callable[[], Verb[T]],
        new: NewJob[Any] | None = None,
    ) -> Call:
        opened = self._open
        if opened is not None and self._is_current(opened):
            call = choose(opened).submit(make_verb, new=new)
            if call is not None:
                return call
        return await asyncio.to_thread(self._hand_over, choose, make_verb, new=new)

    def _opened(self) -> _Open:
        opened = self._open
        if opened is not None and self._is_current(opened):
            return opened
        with self._lock:
            if self._open is not None and not self._is_current(self._open):
                logger.warning("store %s was moved or deleted while it was open: opening what is there now", self.path)
                self._let_go()
            if self._open is None:
                self._check_place()
                refuse_foreign_wal(self.path)
                self.prepare()
                self._open = self._make_threads()
                self.wakeups.resume()  # a worker that was running when the app was closed still listens
            return self._open

    def _make_threads(self) -> _Open:
        """None of them connects before its first call."""
        turnstiles = self._new_turnstile(), self._new_turnstile()
        return _Open(
            Writer(self.path, turnstiles[0], self._synchronous, self.wakeups.send, self.insert_each),
            Reader(self.path, "turnspit-reader", self._synchronous),
            Writer(self.path, turnstiles[1], _SYNCHRONOUS["relaxed"], self.wakeups.send, self.insert_each),
            turnstiles,
            _identity(self.path),
        )

    def _is_current(self, opened: _Open) -> bool:
        """Whether the path still names the file that was opened: jobs must not go into a deleted one."""
        return _identity(self.path) == opened.identity

    def _check_place(self) -> None:
        check_place(self.path)
        if _identity(self.path) in _lost:
            raise EngineUnavailable(
                f"store {self.path} cannot be used in this process: it was forked while a call of its parent waited "
                "for the store's lock; fork when no call is under way, or use multiprocessing's spawn"
            )

    def _new_turnstile(self) -> Turnstile:
        return Turnstile(self._folder / "turnstile")

    def _connect(self, path: Path) -> sqlite3.Connection:
        return connect(path, synchronous=self._synchronous)

    @contextmanager
    def _connected(self, connect_: Callable[[Path], sqlite3.Connection]) -> Iterator[sqlite3.Connection]:
        """A connection for a moment, with SQLite's errors translated."""
        find_file(self.path)
        try:
            with closing(connect_(self.path)) as connection:
                connection.execute("PRAGMA busy_timeout = 10000")
                yield connection
        except sqlite3.Error as error:
            raise translate(error, self.location) from error

    def _late(self) -> str:
        return (
            f"store {self.location} did not answer within {self.deadline:g} s (does another connection hold a "
            "transaction open? `turnspit doctor` looks)"
        )


def _writer(opened: _Open) -> ConnectionThread:
    return opened.writer


def _reader(opened: _Open) -> ConnectionThread:
    return opened.reader


def _apart(opened: _Open) -> ConnectionThread:
    return opened.apart


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _note_busy() -> None:
    _busy.clear()
    _busy.update(each.identity for each in _left_behind if each.identity is not None and _is_running(each))


def _is_running(opened: _Open) -> bool:
    return any(thread.is_running for thread in (opened.writer, opened.reader, opened.apart))


def _close_turnstiles(opened: _Open) -> None:
    for turnstile in opened.turnstiles:
        turnstile.close()


def _close_left_behind() -> None:
    """Connections that were left behind are never closed in a child; a turnstile kept open would shut others out."""
    for opened in _left_behind:
        _close_turnstiles(opened)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_left_behind)
