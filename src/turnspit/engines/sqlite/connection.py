"""Connections to one file: a thread that writes in groups, and a thread that reads.

Verbs that wait together are committed together (group commit): one ``fsync`` serves them all. The first of a
group runs bare, each further one in its own savepoint, so that one that fails takes no other with it. Their
futures are resolved after the COMMIT. A full disk can roll the whole transaction back under us, hence the look
at ``in_transaction`` after every error: the others of that group are then run again, each alone.

Sync code waits for its call anyway. While one thread alone calls, its calls run on that thread: the way to another
and back cost 80 µs beside the 200 µs of a durable commit. Threads that call in turn are better served in groups.
"""

import contextlib
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from turnspit.contract.verbs import Row, Statement, Verb, Wake
from turnspit.engines.calls import Call
from turnspit.engines.sqlite.errors import translate
from turnspit.engines.sqlite.locks import begin, use_wal
from turnspit.engines.sqlite.turnstile import Turnstile
from turnspit.errors import EngineUnavailable
from turnspit.transactions import drive

__all__ = ["ConnectionThread", "Reader", "Writer", "connect", "connect_to_look", "execute"]

_OPEN_PATIENCE = 10.0
_WRITE_PATIENCE = 60.0
_BUSY_TIMEOUT = 0.5
_GROUP_LIMIT = 512
_JOIN_TIMEOUT = 5.0


def connect(path: Path, *, synchronous: str = "FULL") -> sqlite3.Connection:
    """A connection in autocommit mode with Turnspit's settings; transactions are begun explicitly."""
    connection = sqlite3.connect(
        path, timeout=_OPEN_PATIENCE, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        use_wal(connection, path, _OPEN_PATIENCE)
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA journal_size_limit = 67108864")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_look(path: Path) -> sqlite3.Connection:
    """A connection to an existing file that changes nothing, not even its journal mode."""
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_TIMEOUT, isolation_level=None)


def execute(connection: sqlite3.Connection, statement: Statement) -> list[Row]:
    """Run one statement and fetch its rows."""
    if statement.many:
        connection.executemany(statement.sql, statement.params)
        return []
    return connection.execute(statement.sql, statement.params).fetchall()


class ConnectionThread(ABC):
    """A thread that owns one connection and runs the verbs that are handed to it, in order."""

    def __init__(self, path: Path, name: str, synchronous: str) -> None:
        self.path = path
        self._synchronous = synchronous
        self._waiting: deque[Call] = deque()
        self._work = threading.Condition(threading.Lock())
        self._stopping = False
        self._served_by: int | None = None
        self._caller: int | None = None
        self.connection: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, make_verb: Callable[[], Verb[Any]], *, here: bool = False) -> Future[Any] | None:
        """Hand over a verb; its future resolves when it is committed. ``None`` if this thread was closed.

        :param here: run it on the caller's own thread if nobody else calls and no lock has to be waited for.
        """
        call = Call(make_verb)
        me, taken = threading.get_ident(), False
        try:
            with self._work:
                if self._stopping:
                    return None
                taken = here and self._caller == me and self._served_by is None and not self._waiting
                self._caller = me
                if taken:
                    self._served_by = me
                else:
                    self._line_up(call)
            if taken and not self._serve_here(call):
                self._waiting.append(call)
        finally:
            if taken:
                self._release()
        return call.future

    def _line_up(self, call: Call) -> None:
        if self._served_by == threading.get_ident():
            raise EngineUnavailable(
                f"store {self.path} was called by a signal handler in the middle of another call of the same thread: "
                "let the handler set a flag, and call from outside of it"
            )
        self._waiting.append(call)
        self._work.notify()

    def _release(self) -> None:
        with self._work:
            self._served_by = None
            if self._waiting or self._stopping:
                self._work.notify()

    def close(self) -> None:
        """Finish what waits, then close the connection."""
        with self._work:
            self._stopping = True
            self._work.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=_JOIN_TIMEOUT)

    @property
    def is_running(self) -> bool:
        """Whether the thread still lives and may use its connection."""
        return self._thread.is_alive()

    def _run(self) -> None:
        me = threading.get_ident()
        while True:
            with self._work:
                if self._served_by == me:
                    self._served_by = None
                while self._served_by is not None or not (self._waiting or self._stopping):
                    self._work.wait()
                if not self._waiting:
                    break
                first = self._waiting.popleft()
                self._served_by = me
            if not first.future.cancelled():
                self._serve(first)
        if self.connection is not None:
            self.connection.close()

    @abstractmethod
    def _serve(self, first: Call) -> None:
        """Run a call that was handed over, and resolve its future."""

    def _serve_here(self, call: Call) -> bool:
        """Run a call on its caller's thread; ``False`` if nothing was done, because it would have to wait."""
        try:
            self._serve(call)
        except BaseException:  # Ctrl-C
            self._abandon()
            raise
        return True

    def _opened(self) -> sqlite3.Connection:
        if self.connection is None:
            self.connection = connect(self.path, synchronous=self._synchronous)
        return self.connection

    def _abandon(self) -> None:
        """After an error: leave no transaction open, and no connection that cannot even roll back."""
        if self.connection is None or not self.connection.in_transaction:
            return
        try:
            self.connection.execute("ROLLBACK")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                self.connection.close()
            self.connection = None

    def _translate(self, error: BaseException) -> BaseException:
        return translate(error, str(self.path)) if isinstance(error, sqlite3.Error) else error


class Reader(ConnectionThread):
    """Runs each verb on a snapshot of its own."""

    def _serve(self, first: Call) -> None:
        if not first.start():
            return
        try:
            connection = self._opened()
            connection.execute("BEGIN")
            first.result, _ = drive(first.make_verb(), lambda statement: execute(connection, statement))
            connection.execute("COMMIT")
        except Exception as error:
            first.error = self._translate(error)
            self._abandon()
        first.resolve()


class Writer(ConnectionThread):
    """Runs verbs in groups, each group one durable transaction."""

    def __init__(
        self, path: Path, turnstile: Turnstile, synchronous: str, on_wakes: Callable[[list[Wake]], None]
    ) -> None:
        self._turnstile = turnstile
        self._on_wakes = on_wakes
        super().__init__(path, "turnspit-writer", synchronous)

    def _opened(self) -> sqlite3.Connection:
        if self.connection is None:
            self.connection = super()._opened()
            self.connection.execute(f"PRAGMA busy_timeout = {int(_BUSY_TIMEOUT * 1000)}")
        return self.connection

    def _serve(self, first: Call, limit: int = _GROUP_LIMIT) -> None:
        self._serve_group(first, limit, wait=True)

    def _serve_here(self, call: Call) -> bool:
        try:
            # Alone: a Ctrl-C, which only a caller's thread can get, must not hit the calls of others.
            return self._serve_group(call, 1, wait=False)
        except BaseException:
            self._abandon()
            raise

    def _serve_group(self, first: Call, limit: int, *, wait: bool) -> bool:
        """Run what waits and resolve it; ``False`` if nothing was done, because a lock was taken."""
        group = [first]
        alone: list[Call] = []
        try:
            if not self._turnstile.enter(wait=wait):
                return False
            connection = self._opened()
            begin(connection, self.path, _WRITE_PATIENCE, lambda: wait and not first.future.cancelled())
            alone = self._run_group(connection, group, limit)
        except Exception as error:
            self._abandon()
            if not wait and not first.started:
                return False
            for call in group:
                call.error = call.error or self._translate(error)
        finally:
            self._turnstile.leave()
        self._on_wakes([wake for call in group if call.error is None for wake in call.wakes])
        for call in group:
            if call.start():
                call.resolve()
        for call in alone:
            self._serve(call, limit=1)
        return True

    def _run_group(self, connection: sqlite3.Connection, group: list[Call], limit: int) -> list[Call]:
        """Run what waits and commit it together; the calls that must be run again, each alone.

        Until the write lock was ours, the caller of the first one could take it back.
        """
        call = group[0] if group[0].start() else self._next_waiting()
        group.clear()
        while call is not None:
            group.append(call)
            if not self._run_call(connection, call, bare=len(group) == 1):
                return self._dissolve(group)
            call = self._next_waiting() if len(group) < limit else None
        try:
            connection.execute("COMMIT")
        except sqlite3.Error:
            if len(group) <= 1:
                raise
            self._abandon()
            return self._dissolve(group)
        return []

    def _run_call(self, connection: sqlite3.Connection, call: Call, *, bare: bool) -> bool:
        """Run one verb; ``False`` if its error took the whole transaction with it."""
        try:
            if not bare:
                connection.execute("SAVEPOINT call")
            call.result, call.wakes = drive(call.make_verb(), lambda statement: execute(connection, statement))
            if not bare:
                connection.execute("RELEASE call")
        except Exception as error:
            call.error = self._translate(error)
            return self._undo(connection, bare=bare)
        return True

    def _undo(self, connection: sqlite3.Connection, *, bare: bool) -> bool:
        """Take back one verb; ``False`` if only the whole transaction could be taken back."""
        if not connection.in_transaction:
            return False
        try:
            if bare:
                connection.execute("ROLLBACK")
                connection.execute("BEGIN IMMEDIATE")
            else:
                connection.execute("ROLLBACK TO call")
                connection.execute("RELEASE call")
        except sqlite3.Error:
            self._abandon()
            return False
        return True

    @staticmethod
    def _dissolve(group: list[Call]) -> list[Call]:
        """Take the calls without an error of their own out of a group that was rolled back."""
        alone = [call for call in group if call.error is None]
        group[:] = [call for call in group if call.error is not None]
        return alone

    def _next_waiting(self) -> Call | None:
        with self._work:
            while self._waiting:
                call = self._waiting.popleft()
                if call.start():
                    return call
        return None
