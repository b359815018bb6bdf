"""Connections to one file: a thread that writes in groups, and a thread that reads.

Calls that wait at the same time are committed together (group commit), so that one ``fsync`` serves them all. Each but
the first runs in a savepoint, so that a failure takes no other call with it. They are answered after the COMMIT. A full
disk can make SQLite roll back the whole transaction, hence the check of ``in_transaction`` after every error: the other
calls of the group are then run again, each alone.
"""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turnspit.contract.verbs import Row, Statement, Verb, Wake
from turnspit.engines.calls import Call, CallQueue, CallThread
from turnspit.engines.sqlite.errors import translate
from turnspit.engines.sqlite.locks import begin, is_busy, use_wal
from turnspit.engines.sqlite.turnstile import Turnstile
from turnspit.engines.sqlite.wal_owner import Inodes, note_wal
from turnspit.records import Inserted, NewJob
from turnspit.transactions import drive

__all__ = ["ConnectionThread", "Reader", "Writer", "connect", "connect_to_look", "execute"]

_OPEN_PATIENCE = 10.0
_WRITE_PATIENCE = 60.0
"""Seconds that the writer waits for the write lock, whatever the deadlines of its callers."""
_BUSY_TIMEOUT = 0.5
"""Seconds that SQLite itself waits for a lock, before the writer looks who holds it and tries again."""
_GROUP_LIMIT = 512


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


class ConnectionThread(CallThread):
    """A thread that owns one connection and runs the verbs that are handed to it, in order."""

    def __init__(self, path: Path, name: str, synchronous: str) -> None:
        self.path = path
        self._synchronous = synchronous
        self.connection: sqlite3.Connection | None = None
        self.inodes: Inodes | None = None
        """Those of the file and its log when the connection was opened."""
        self._is_committing = False
        """The statement that runs now is a COMMIT, or commits by itself."""
        super().__init__(CallQueue(), name)

    def _serve_here(self, call: Call) -> bool:
        self._serve(call)
        return True

    def _tidy_up(self) -> None:
        self._abandon()

    def _close_connection(self) -> None:
        if self.connection is not None:
            self.connection.close()

    def _opened(self) -> sqlite3.Connection:
        if self.connection is None:
            self.connection = connect(self.path, synchronous=self._synchronous)
            self.inodes = note_wal(self.path)
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
        if not isinstance(error, sqlite3.Error):
            return error
        return translate(error, str(self.path), is_committing=self._is_committing)


class Reader(ConnectionThread):
    """Runs each verb on a snapshot of its own."""

    def _serve(self, first: Call) -> None:
        if not first.start():
            return
        try:
            connection = self._opened()
            first.result, _ = drive(
                first.make_verb(),
                lambda statement: execute(connection, statement),
                begin=lambda: connection.execute("BEGIN"),
            )
            if connection.in_transaction:
                connection.execute("COMMIT")
        except Exception as error:
            first.error = self._translate(error)
            self._abandon()
        first.resolve()


class Writer(ConnectionThread):
    """Runs verbs in groups, each group one durable transaction."""

    def __init__(
        self,
        path: Path,
        turnstile: Turnstile,
        synchronous: str,
        on_wakes: Callable[[list[Wake]], None],
        insert_each: Callable[[list[NewJob[Any]]], Verb[list[Inserted]]],
    ) -> None:
        self._turnstile = turnstile
        self._on_wakes = on_wakes
        self._insert_each = insert_each
        super().__init__(path, "turnspit-writer", synchronous)

    def _opened(self) -> sqlite3.Connection:
        if self.connection is None:
            self.connection = super()._opened()
            self.connection.execute(f"PRAGMA busy_timeout = {int(_BUSY_TIMEOUT * 1000)}")
        return self.connection

    def _serve_here(self, call: Call) -> bool:
        """Run one call in a transaction of its own: Ctrl-C, which interrupts it, must not hit the calls of others."""
        if not self._turnstile.enter(wait=False):
            return False
        self._is_committing = True  # a verb of one statement commits by itself
        try:
            connection = self._opened()
            call.result, call.wakes = drive(
                call.make_verb(),
                lambda statement: execute(connection, statement),
                begin=lambda: self._begin(connection),
            )
            if connection.in_transaction:
                self._is_committing = True
                connection.execute("COMMIT")
        except Exception as error:
            self._abandon()
            call.error = error
        self._turnstile.leave()
        if isinstance(call.error, sqlite3.Error):
            if is_busy(call.error):
                call.error = None
                return False
            call.error = self._translate(call.error)
        elif call.error is None:
            self._on_wakes(call.wakes)
        return True

    def _begin(self, connection: sqlite3.Connection) -> None:
        self._is_committing = False
        connection.execute("BEGIN IMMEDIATE")

    def _tidy_up(self) -> None:
        super()._tidy_up()
        self._turnstile.leave()

    def _serve(self, first: Call, limit: int = _GROUP_LIMIT) -> None:
        """Run this call and those that wait, and answer them."""
        group = [first]
        alone: list[Call] = []
        self._is_committing = False
        self._turnstile.enter()
        try:
            connection = self._opened()
            begin(connection, self.path, _WRITE_PATIENCE, lambda: not first.is_taken_back)
            alone = self._run_group(connection, group, limit)
        except Exception as error:
            self._abandon()
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

    def _run_group(self, connection: sqlite3.Connection, group: list[Call], limit: int) -> list[Call]:
        """Run this call and those that wait, and commit them together.

        :param group: the first call, and afterwards all calls that are to be answered now.
        :returns: the calls that must be run again, each alone.
        """
        calls = [call for call in group if call.start()]  # empty if it was taken back while we waited for the lock
        group.clear()
        while calls := [*calls, *self._queue.take_started(limit - len(group) - len(calls))]:
            group += calls
            joined = [call for call in calls if call.new is not None]
            if len(joined) == 1:
                joined = []
            if joined and not self._run_joined(connection, joined):
                return self._dissolve(group)
            for call in calls:
                # Without a savepoint its failure would undo what was joined before it, too.
                bare = call is group[0] and not joined
                if call not in joined and not self._run_call(connection, call, bare=bare):
                    return self._dissolve(group)
            calls = []
        try:
            self._is_committing = True
            connection.execute("COMMIT")
        except sqlite3.Error:
            if len(group) <= 1:
                raise
            self._abandon()
            return self._dissolve(group)
        return []

    def _run_joined(self, connection: sqlite3.Connection, calls: list[Call]) -> bool:
        """Insert the new jobs of these calls with one statement; ``False`` after an error: then all are run alone."""
        new = [call.new for call in calls if call.new is not None]
        try:
            inserted, calls[0].wakes = drive(self._insert_each(new), lambda statement: execute(connection, statement))
        except Exception:
            self._abandon()
            return False
        for call, result in zip(calls, inserted, strict=True):
            call.result = result
        return True

    def _run_call(self, connection: sqlite3.Connection, call: Call, *, bare: bool) -> bool:
        """Run one verb; ``False`` if its error ended the whole transaction."""
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
        """Roll one verb back; ``False`` if only the whole transaction could be rolled back."""
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
        """Take the calls that have no error of their own out of a group that was rolled back, to run them again."""
        alone = [call for call in group if call.error is None]
        group[:] = [call for call in group if call.error is not None]
        return alone
