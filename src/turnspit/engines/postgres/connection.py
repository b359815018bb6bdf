"""Threads that own a connection, make a new one when the server went away, and can be cut off under way."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from turnspit.clock import monotonic
from turnspit.contract.verbs import Row, Statement
from turnspit.engines.calls import Call, CallQueue, CallThread
from turnspit.engines.postgres.blocks import clean, to_pyformat
from turnspit.engines.postgres.errors import is_lost, is_misplaced, is_unanswered, translate
from turnspit.engines.postgres.opening import Connection, connect_patiently, cut
from turnspit.engines.postgres.settings import Settings
from turnspit.transactions import drive

__all__ = ["ConnectionThread", "Reader", "execute"]


def execute(connection: Connection, statement: Statement) -> list[Row]:
    """Run one statement and fetch its rows."""
    cursor = connection.execute(to_pyformat(statement.sql), clean(statement.params))
    # Not its description, which makes an object of each column.
    return cursor.fetchall() if cursor.pgresult is not None and cursor.pgresult.nfields else []


class ConnectionThread(CallThread):
    """A thread that owns one connection, and makes a new one when the server went away."""

    name = "turnspit-connection"

    def __init__(self, queue: CallQueue, is_helper: bool, settings: Settings, deadline: float) -> None:
        self._settings = settings
        self._deadline = deadline
        self._connection: Connection | None = None
        self._running: list[Call] = []
        self._started: list[Call] = []
        self._busy_since: float | None = None
        self._is_committing = False
        self.began_at = 0.0
        """When the last transaction began that was answered to its end."""
        self._state = threading.Lock()
        super().__init__(queue, self.name, until_empty=is_helper)

    def drop(self, future: Future[Any]) -> None:
        """Nobody waits any longer for this call: end its connection if it is under way, but never in its COMMIT."""
        with self._state:
            for call in self._started:
                call.dropped = call.dropped or call.is_awaited(future)
            if not self._is_committing and any(call.is_awaited(future) for call in self._running):
                self._cut()

    def free(self, answered: float) -> None:
        """Give up what has had no answer for longer than a deadline, and whose callers may all be gone.

        :param answered: when a transaction began that the server has answered to its end on another connection. One
            that began after a COMMIT was sent shows that this one's answer is lost: it does not wait for a standby.
        """
        with self._state:
            since = self._busy_since
            is_late = since is not None and monotonic() - since > self._deadline
            if since is not None and is_late and (not self._is_committing or answered > since):
                self._cut()

    def _cut(self) -> None:
        if self._connection is not None:
            cut(self._connection)

    def _begin_try(self, calls: list[Call]) -> bool:
        """These calls are run now, and may be dropped meanwhile; ``False`` if nobody waits for any of them."""
        with self._state:
            self._running, self._busy_since, self._is_committing = calls, monotonic(), False
            return not all(call.dropped for call in calls)

    def _end_try(self) -> None:
        with self._state:
            self._running, self._busy_since, self._is_committing = [], None, False

    def _serve_here(self, call: Call) -> bool:
        return False

    def _close_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self, is_wanted: Callable[[], bool]) -> Connection:
        if self._connection is None or self._connection.closed:
            connect_patiently(self._settings, is_wanted, self._open)
        assert self._connection is not None
        return self._connection

    def _open(self, connection: Connection) -> None:
        with self._state:
            self._connection = connection
        connection.add_notice_handler(self._on_notice)
        self._prepare(connection)

    def _prepare(self, connection: Connection) -> None:
        """Settings of this kind of thread."""

    def _on_notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        """A word of the server beside its answers."""

    def _abandon(self, error: BaseException | None = None) -> None:
        """After an error: leave no transaction open, and no connection that cannot even roll back."""
        if self._connection is None or self._connection.closed:
            return
        if is_misplaced(error) or is_unanswered(error):  # the next connection may find the primary, or an open socket
            self._connection.close()
            return
        try:
            if self._connection.info.transaction_status is not TransactionStatus.IDLE:
                self._connection.execute("ROLLBACK")
        except psycopg.Error:
            self._connection.close()

    def _translate(self, error: BaseException) -> BaseException:
        return translate(error, self._settings.location) if isinstance(error, psycopg.Error) else error

    def _await_connection(self, first: Call) -> bool:
        """Connect while the first caller waits and can still take its call back; whether there is a connection."""
        until = monotonic() + self._deadline
        with self._state:
            self._busy_since = monotonic()
        try:
            self._connected(lambda: not first.future.cancelled() and monotonic() < until)
        except Exception as error:
            if first.start():
                first.error = self._translate(error)
                first.resolve()
            self._end_try()
            return False
        if not first.start():
            self._end_try()
            return False
        return True


class Reader(ConnectionThread):
    """Runs each verb on a snapshot of its own."""

    name = "turnspit-reader"

    def _serve(self, first: Call) -> None:
        if not self._await_connection(first):
            return
        self._started = [first]
        for tried in range(2):
            first.error = None
            self._begin_try([first])
            try:
                connection = self._connected(lambda: False)
                first.result = self._read(connection, first)
                self.began_at = self._busy_since or 0.0
                break
            except Exception as error:
                first.error = self._translate(error)
                is_worth_it = is_lost(error, self._connection) and tried == 0 and not first.dropped
                self._abandon(error)
                if not is_worth_it:
                    break
        self._started = []
        self._end_try()
        first.resolve()

    @staticmethod
    def _read(connection: Connection, call: Call) -> Any:
        result, _ = drive(
            call.make_verb(),
            lambda statement: execute(connection, statement),
            begin=lambda: connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        )
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            connection.execute("COMMIT")
        return result
