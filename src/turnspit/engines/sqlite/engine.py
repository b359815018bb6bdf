"""A store in one file: composes the verbs of this folder and runs them."""

import asyncio
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError as FutureCancelledError
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from turnspit.clock import Clock, SystemClock
from turnspit.contract import SchemaStatus
from turnspit.contract.verbs import Verb
from turnspit.engines.sqlite.caller import async_caller_transaction_error, caller_transaction
from turnspit.engines.sqlite.connection import Reader, Writer, connect, connect_to_look
from turnspit.engines.sqlite.control import ControlVerbs
from turnspit.engines.sqlite.doctor import diagnose
from turnspit.engines.sqlite.errors import translate
from turnspit.engines.sqlite.leases import LeaseVerbs
from turnspit.engines.sqlite.queries import QueryVerbs
from turnspit.engines.sqlite.schema import migrate, read_status, schema_sql
from turnspit.engines.sqlite.turnstile import Turnstile
from turnspit.engines.sqlite.wakeups import SqliteWakeups
from turnspit.errors import ConfigurationError, EngineUnavailable
from turnspit.transactions import drive, is_async_sqlalchemy

__all__ = ["SqliteEngine"]

Q = ParamSpec("Q")
T = TypeVar("T")

_engines: "weakref.WeakSet[SqliteEngine]" = weakref.WeakSet()
# Connections that a fork copied into this process. SQLite forbids using or closing them here.
_inherited: list[object] = []

_SYNCHRONOUS = {"full": "FULL", "relaxed": "NORMAL"}


class SqliteEngine(ControlVerbs, LeaseVerbs, QueryVerbs):
    """The SQLite engine. It opens its file at the first use, and again after ``close`` or a fork.

    :param path: the file, made if it does not exist; its folder must.
    :param durability: ``"full"`` survives a power cut; ``"relaxed"`` (``synchronous=NORMAL``) survives the death
        of every process, and may lose the last commits when the power fails.
    :param deadline: seconds that a call waits for the store.
    """

    def __init__(
        self, path: Path, *, durability: str = "full", deadline: float = 10.0, clock: Clock | None = None
    ) -> None:
        if durability not in _SYNCHRONOUS:
            raise ConfigurationError(f'durability is "full" or "relaxed", not {durability!r}')
        self.path = path
        self.location = str(path)
        self.clock = clock or SystemClock()
        self.deadline = deadline
        self._synchronous = _SYNCHRONOUS[durability]
        self._folder = Path(f"{path}-turnspit")
        self._forget()
        _engines.add(self)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._turnstile: Turnstile | None = None
        self.wakeups = SqliteWakeups(self.path, self._folder)

    def forget_after_fork(self) -> None:
        """In a forked child: drop what belongs to the parent, without closing it."""
        _inherited.append((self._writer, self._reader, self.wakeups))
        if self._turnstile is not None:
            self._turnstile.close()
        self._forget()

    def write(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        future: Future[T] = self._opened()[0].submit(lambda: verb(*args, **kwargs))
        return self._wait(future)

    async def awrite(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        writer = self._writer or (await asyncio.to_thread(self._opened))[0]
        return await self._await(writer.submit(lambda: verb(*args, **kwargs)))

    def read(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        future: Future[T] = self._opened()[1].submit(lambda: verb(*args, **kwargs))
        return self._wait(future)

    async def aread(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        reader = self._reader or (await asyncio.to_thread(self._opened))[1]
        return await self._await(reader.submit(lambda: verb(*args, **kwargs)))

    def write_in(self, tx: Any, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        self._opened()
        transaction = caller_transaction(tx, self.path)
        try:
            result, wakes = drive(verb(*args, **kwargs), transaction.execute)
        except sqlite3.Error as error:
            raise translate(error, self.location) from error
        transaction.after_commit(lambda: self.wakeups.send(wakes))
        return result

    async def awrite_in(self, tx: Any, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        if not is_async_sqlalchemy(tx):
            raise async_caller_transaction_error(tx)
        await asyncio.to_thread(self._opened)
        result: T = await tx.run_sync(lambda sync: self.write_in(sync, verb, *args, **kwargs))
        return result

    def migrate(self) -> tuple[str, ...]:
        with self._connected(self._connect) as connection, closing(self._new_turnstile()) as turnstile, turnstile:
            return migrate(connection, self.location)

    def schema_status(self) -> SchemaStatus:
        if not self.path.exists():
            with sqlite3.connect(":memory:") as empty:
                return read_status(empty)
        with self._connected(connect_to_look) as connection:
            return read_status(connection)

    def schema_sql(self) -> str:
        return schema_sql()

    def diagnose(self) -> list[tuple[str, bool, str]]:
        return diagnose(self.path)

    def close(self) -> None:
        with self._lock:
            opened = (self._writer, self._reader)
            self._writer = self._reader = None
            turnstile, self._turnstile = self._turnstile, None
        self.wakeups.close()
        for thread in opened:
            if thread is not None:
                thread.close()
        if turnstile is not None:
            turnstile.close()

    def _opened(self) -> tuple[Writer, Reader]:
        writer, reader = self._writer, self._reader
        if writer is not None and reader is not None:
            return writer, reader
        with self._lock:
            if self._writer is None or self._reader is None:
                self._check_folder()
                self.migrate()
                self._turnstile = self._new_turnstile()
                self._reader = Reader(self.path, "turnspit-reader", self._synchronous)
                self._writer = Writer(self.path, self._turnstile, self._synchronous, self.wakeups.send)
            return self._writer, self._reader

    def _check_folder(self) -> None:
        if not self.path.parent.is_dir():
            raise EngineUnavailable(
                f"store {self.path} cannot be made: its folder does not exist; create {self.path.parent} first"
            )

    def _new_turnstile(self) -> Turnstile:
        return Turnstile(self._folder / "turnstile")

    def _connect(self, path: Path) -> sqlite3.Connection:
        return connect(path, synchronous=self._synchronous)

    @contextmanager
    def _connected(self, connect_: Callable[[Path], sqlite3.Connection]) -> Iterator[sqlite3.Connection]:
        """A connection for a moment, with SQLite's errors translated."""
        try:
            with closing(connect_(self.path)) as connection:
                connection.execute("PRAGMA busy_timeout = 10000")
                yield connection
        except sqlite3.Error as error:
            raise translate(error, self.location) from error

    def _wait(self, future: Future[T]) -> T:
        try:
            return future.result(self.deadline)
        except (FutureTimeoutError, FutureCancelledError) as error:
            if future.done() and not future.cancelled():
                raise
            raise self._too_late(future) from error

    async def _await(self, future: Future[T]) -> T:
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.deadline)
        except TimeoutError as error:
            if future.done() and not future.cancelled():
                raise
            raise self._too_late(future) from error

    def _too_late(self, future: Future[T]) -> EngineUnavailable:
        not_run = future.cancel()
        return EngineUnavailable(
            f"store {self.location} did not answer within {self.deadline:g} s: "
            + ("the call was not carried out" if not_run else "the call may or may not have been carried out")
        )


def _forget_all() -> None:
    for engine in list(_engines):
        engine.forget_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
