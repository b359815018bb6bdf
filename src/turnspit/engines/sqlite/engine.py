"""A store in one file: composes the verbs and runs them."""

import asyncio
import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

from turnspit.clock import Clock, SystemClock
from turnspit.contract import SchemaStatus
from turnspit.contract.verbs import Statement, Verb
from turnspit.engines.answers import APART_DEADLINE, await_answer, wait_for_answer
from turnspit.engines.calls import Call
from turnspit.engines.forks import guard_forks
from turnspit.engines.shared_runs import SharedRuns, await_run, wait_for_run
from turnspit.engines.sqlite.blocks import SQL
from turnspit.engines.sqlite.caller import AllOrNothing, caller_transaction, run_in_aiosqlite
from turnspit.engines.sqlite.connection import ConnectionThread, Reader, Writer
from turnspit.engines.sqlite.doctor import diagnose, find_lock
from turnspit.engines.sqlite.errors import translate
from turnspit.engines.sqlite.filters import where
from turnspit.engines.sqlite.holders import describe_lost_log, find_holder, turnstile_of
from turnspit.engines.sqlite.jobs import SqliteJobVerbs
from turnspit.engines.sqlite.left_behind import Identity, is_lost, leave_behind, lose_busy, note_busy
from turnspit.engines.sqlite.moves import SqliteMoveVerbs
from turnspit.engines.sqlite.place import check_place
from turnspit.engines.sqlite.schema_file import SchemaFile
from turnspit.engines.sqlite.turnstile import Turnstile
from turnspit.engines.sqlite.wakeups import SqliteWakeups
from turnspit.engines.sqlite.wal_owner import has_lost_wal, refuse_foreign_wal
from turnspit.engines.verbs.alerts import AlertVerbs
from turnspit.engines.verbs.bounds import ClaimBounds
from turnspit.engines.verbs.control import ControlVerbs
from turnspit.engines.verbs.figures import FigureVerbs
from turnspit.engines.verbs.pauses import PauseVerbs
from turnspit.engines.verbs.schedules import ScheduleVerbs
from turnspit.engines.verbs.workflows import WorkflowVerbs
from turnspit.errors import ConfigurationError, EngineUnavailable
from turnspit.jobs import JobFilter
from turnspit.records import NewJob, StoreLock
from turnspit.transactions import cause_of, is_aiosqlite, is_async_sqlalchemy, sync_transaction_error, unscoped

__all__ = ["SqliteEngine"]

Q = ParamSpec("Q")
T = TypeVar("T")

logger = logging.getLogger("turnspit")

_SYNCHRONOUS = {"full": "FULL", "relaxed": "NORMAL"}
_NOT_DONE = "the call was not carried out"
_GOES_ON = "the migration was not carried out so far; it is when its turn comes, if this process still runs"


class _Open(NamedTuple):
    writer: Writer
    reader: Reader
    apart: Writer
    turnstiles: tuple[Turnstile, Turnstile]
    """Those of ``writer`` and ``apart``, which take turns as two processes do."""
    identity: Identity | None

    @property
    def is_running(self) -> bool:
        """Whether one of its threads still lives and may use its connection."""
        return any(thread.is_running for thread in (self.writer, self.reader, self.apart))


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
    has_round_trips = False
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
        self._synchronous = _SYNCHRONOUS[durability]
        self._file = SchemaFile(path, self._synchronous, migrates=migrate)
        self._reset()
        guard_forks(self)

    def _reset(self) -> None:
        self._lock = threading.RLock()  # a signal handler may close what its thread is opening or closing
        self._open: _Open | None = None
        self._closings = 0
        self._runs = SharedRuns()
        self._listens = False
        self.bounds = ClaimBounds()
        self.wakeups = SqliteWakeups(self.path, turnstile_of(self.path).parent)

    def prepare_fork(self) -> None:
        """Before a fork: close the file, and keep other threads from opening it until ``resume_after_fork``.

        SQLite keeps its locks in the memory of the process. A child that inherits an open connection believes in
        locks that it does not hold: it waits for ever, or writes at the same time as others.
        """
        try:
            self._runs.pause()
            self._lock.acquire()
            try:
                self._listens = self.wakeups.is_listening
                if self._runs.is_running:  # it waits for a lock
                    leave_behind(self._runs, _identity(self.path))
                self._close_threads()
            except BaseException:
                self._lock.release()
                raise
        except BaseException:
            self._runs.resume()
            raise
        note_busy()

    def resume_after_fork(self) -> None:
        """In the parent: go on; the next call opens the file again."""
        self._lock.release()
        self._runs.resume()
        if self._listens:  # not if it was closed before
            self.wakeups.resume()

    def forget_after_fork(self) -> None:
        """In the child: start anew. What could not be closed before is kept, and never closed."""
        if self._open is not None:
            leave_behind(self._open, self._open.identity)
        lose_busy()
        self._file.is_migrating = False
        self._reset()

    def where(self, filter_: JobFilter) -> tuple[str, dict[str, Any]]:
        return where(filter_)

    def is_refused(self, error: Exception) -> bool:
        return isinstance(error, sqlite3.IntegrityError)

    def write(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        call = self._hand_over(_writer, lambda: verb(*args, **kwargs), here=True, new=self.only_new(verb, args))
        return cast("T", wait_for_answer(call, self.deadline, self._late))

    def write_apart(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        call = self._hand_over(_apart, lambda: verb(*args, **kwargs))
        return cast("T", wait_for_answer(call, min(self.deadline, APART_DEADLINE), self._late))

    def write_later(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> Callable[[], T]:
        call = self._hand_over(_writer, lambda: verb(*args, **kwargs))
        return lambda: cast("T", wait_for_answer(call, self.deadline, self._late))

    def try_write(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T | None:
        opened, call = self._open, Call(lambda: verb(*args, **kwargs))
        if opened is None or not self._is_current(opened) or not opened.writer.run_here(call):
            return None
        return cast("T", call.answer())

    async def awrite(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        call = await self._ahand_over(_writer, lambda: verb(*args, **kwargs), new=self.only_new(verb, args))
        return cast("T", await await_answer(call, self.deadline, self._late))

    async def awrite_beside(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        return await self.awrite(verb, *args, **kwargs)

    def read(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        call = self._hand_over(_reader, lambda: verb(*args, **kwargs), here=True)
        return cast("T", wait_for_answer(call, self.deadline, self._late))

    async def aread(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        call = await self._ahand_over(_reader, lambda: verb(*args, **kwargs))
        return cast("T", await await_answer(call, self.deadline, self._late))

    def write_in(self, tx: Any, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        try:
            transaction = caller_transaction(tx, self.path)
            whole = AllOrNothing(transaction)
            try:
                if self._open is None:
                    # The caller may hold the write lock already: a new store gets its schema in the same transaction.
                    self._file.prepare_in(lambda sql: transaction.execute(Statement(sql, ())), whole.begin_to_write)
                result, wakes = whole.run(lambda: verb(*args, **kwargs))
                whole.keep()
            except BaseException:
                whole.undo()
                raise
        except Exception as error:
            cause = cause_of(error)
            if not isinstance(cause, sqlite3.Error):
                raise
            raise translate(cause, self.location, is_callers=True) from error
        if wakes:
            transaction.after_commit(lambda: self.wakeups.send(wakes))
        return result

    async def awrite_in(self, tx: Any, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        result: T
        if is_aiosqlite(tx):
            result = await run_in_aiosqlite(tx, lambda connection: self.write_in(connection, verb, *args, **kwargs))
        elif is_async_sqlalchemy(tx):
            result = await unscoped(tx).run_sync(lambda sync: self.write_in(sync, verb, *args, **kwargs))
        else:
            raise sync_transaction_error(tx)
        return result

    def migrate(self) -> tuple[str, ...]:
        return self._until_migrated(self._file.migrate)

    def schema_status(self) -> SchemaStatus:
        return self._in_time(self._file.read_status)

    def prepare(self) -> None:
        self._until_migrated(self._file.prepare)

    def _until_migrated(self, function: Callable[[], T]) -> T:
        """Wait for a function that may migrate: only its waiting has a deadline. Once it has begun to migrate, wait for
        the end, because the program may exit afterwards and take the migration with it.
        """
        run, late = self._runs.start(function), lambda: self._late_to_begin(_GOES_ON)
        return wait_for_run(run, self.deadline, late, lambda: self._file.is_migrating)

    def schema_sql(self, since: int = 0) -> str:
        return self._file.schema.sql(since)

    def diagnose(self) -> list[tuple[str, bool, str]]:
        return diagnose(self.path)

    def find_danger(self) -> str | None:
        opened = self._open
        inodes = None if opened is None else opened.apart.inodes
        if inodes is None or not has_lost_wal(self.path, inodes):
            return None
        return f"store {self.path} {describe_lost_log(self.path, 'this process')}"

    async def afind_lock(self) -> StoreLock | None:
        return await asyncio.to_thread(find_lock, self.path)

    def close(self) -> None:
        with self._lock:
            self._close_threads()

    def _close_threads(self) -> None:
        """Close threads and connections, keep the listeners of ``wakeups``."""
        opened, self._open = self._open, None
        self._closings += 1
        self.wakeups.pause()
        if opened is not None:
            for thread in (opened.writer, opened.reader, opened.apart):
                thread.close()
            if opened.is_running:  # a thread is blocked on a lock, and ends by itself later
                leave_behind(opened, opened.identity)
            else:
                for turnstile in opened.turnstiles:
                    turnstile.close()

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
            if call is not None:  # otherwise it was closed in between, by another thread or before a fork
                return call

    async def _ahand_over(
        self,
        choose: Callable[[_Open], ConnectionThread],
        make_verb: Callable[[], Verb[T]],
        new: NewJob[Any] | None = None,
    ) -> Call:
        while True:
            opened = self._open
            if opened is None or not self._is_current(opened):
                await await_run(self._runs.start(self._open_file), self.deadline, self._late_to_begin)
            else:
                call = choose(opened).submit(make_verb, new=new)
                if call is not None:
                    return call

    def _opened(self) -> _Open:
        while True:
            opened = self._open
            if opened is not None and self._is_current(opened):
                return opened
            self._in_time(self._open_file)

    def _in_time(self, function: Callable[[], T]) -> T:
        return wait_for_run(self._runs.start(function), self.deadline, self._late_to_begin)

    def _open_file(self) -> None:
        """On a thread of its own."""
        with self._lock:
            if self._open is not None:
                if self._is_current(self._open):
                    return
                logger.warning("store %s was moved or deleted while it was open: opening what is there now", self.path)
                self._close_threads()
            closings = self._closings
        self._check_place()
        refuse_foreign_wal(self.path)
        self._file.prepare()
        with self._lock:
            if self._open is None and closings == self._closings:  # else closed in between, or before a fork
                self._open = self._make_threads()
                self.wakeups.resume()  # a worker that was running when the app was closed still listens

    def _make_threads(self) -> _Open:
        """Start the threads. None of them connects before its first call."""
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
        if is_lost(_identity(self.path)):
            raise EngineUnavailable(
                f"store {self.path} cannot be used in this process: it was forked while a call of its parent waited "
                "for the store's lock; fork when no call is under way, or use multiprocessing's spawn"
            )

    def _new_turnstile(self) -> Turnstile:
        return Turnstile(turnstile_of(self.path))

    def _late(self) -> str:
        holder = find_holder(self.path)
        why = "does another connection hold a transaction open? `turnspit doctor` looks" if holder is None else holder
        return f"store {self.location} did not answer within {self.deadline:g} s ({why})"

    def _late_to_begin(self, outcome: str = _NOT_DONE) -> str:
        return f"{self._late()}: {outcome}"


def _writer(opened: _Open) -> ConnectionThread:
    return opened.writer


def _reader(opened: _Open) -> ConnectionThread:
    return opened.reader


def _apart(opened: _Open) -> ConnectionThread:
    return opened.apart


def _identity(path: Path) -> Identity | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
