"""Threads that own a connection, connect again when it is lost, and can have it cut while a call runs."""

import threading
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus

from turnspit.clock import monotonic
from turnspit.contract.verbs import Row, Statement
from turnspit.engines.calls import Call, CallQueue, CallThread
from turnspit.engines.postgres.blocks import clean, to_pyformat
from turnspit.engines.postgres.errors import is_lost, is_misplaced, is_unanswered, translate
from turnspit.engines.postgres.opening import Connection, connect_patiently, cut
from turnspit.engines.postgres.settings import Settings
from turnspit.transactions import drive

__all__ = ["ConnectionThread", "Reader", "execute"]

_LOCK_SHARE = 0.9
"""Of the deadline, that a read waits for a lock."""


def execute(on: Connection | psycopg.Cursor[Row], statement: Statement) -> list[Row]:
    """Run one statement and fetch its rows."""
    cursor = on.execute(to_pyformat(statement.sql), clean(statement.params))
    # Not ``cursor.description``, which makes an object for each column.
    return cursor.fetchall() if cursor.pgresult is not None and cursor.pgresult.nfields else []


class ConnectionThread(CallThread):
    """A thread that owns one connection, and connects again when it is lost."""

    name = "turnspit-connection"

    def __init__(self, queue: CallQueue, is_helper: bool, settings: Settings, deadline: float) -> None:
        self._settings = settings
        self._deadline = deadline
        self._connection: Connection | None = None
        self._running: list[Call] = []
        """The calls of the transaction that is open now."""
        self._started: list[Call] = []
        """All calls that were taken from the queue and are not answered yet: those above, and those that come next."""
        self._busy_since: float | None = None
        self._is_committing = False
        """The COMMIT may have been sent: only its answer can tell what became of the transaction."""
        self.answered_since = 0.0
        """When the last transaction began that the server has answered to its end."""
        self._state = threading.Lock()
        super().__init__(queue, self.name, until_empty=is_helper)

    def drop(self, call: Call) -> None:
        """Nobody waits for this call any longer: if it is running, cut the connection, but never during a COMMIT."""
        with self._state:
            call.dropped = call.dropped or call in self._started
            if not self._is_committing and call in self._running:
                self._cut()

    def free(self, answered_since: float) -> None:
        """Cut the connection if it has had no answer for longer than a deadline: its callers may all be gone.

        A COMMIT without an answer may be waiting for a synchronous standby, and is left alone. But once a transaction
        that began later has been answered on another connection, the answer to this COMMIT must have been lost.

        :param answered_since: when the newest transaction began that another connection has seen answered.
        """
        with self._state:
            since = self._busy_since
            is_late = since is not None and monotonic() - since > self._deadline
            if since is not None and is_late and (not self._is_committing or answered_since > since):
                self._cut()

    def _cut(self) -> None:
        if self._connection is not None:
            cut(self._connection)

    def _begin_try(self, calls: list[Call]) -> bool:
        """Note that these calls run now; ``False`` if nobody waits for any of them."""
        with self._state:
            self._running, self._busy_since, self._is_committing = calls, monotonic(), False
            return not all(call.dropped for call in calls)

    def _end_try(self) -> None:
        with self._state:
            self._running, self._busy_since, self._is_committing = [], None, False

    def _serve_here(self, call: Call) -> bool:
        return False

    def _tidy_up(self) -> None:
        self._close_connection()
        self._end_try()

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
        """Make the settings that this kind of thread needs."""

    def _on_notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        """Receive a notice or warning of the server."""

    def _abandon(self, error: BaseException | None = None) -> None:
        """After an error: leave no transaction open, and no connection that cannot even roll back."""
        if self._connection is None or self._connection.closed:
            return
        has_all_answers = self._connection.pgconn.pipeline_status == PipelineStatus.OFF
        if is_misplaced(error) or is_unanswered(error) or not has_all_answers:
            self._connection.close()  # the next connection may reach the primary, or an open socket
            return
        try:
            if self._connection.info.transaction_status is not TransactionStatus.IDLE:
                self._connection.execute("ROLLBACK")
        except psycopg.Error:
            self._connection.close()

    def _translate(self, error: BaseException) -> BaseException:
        return translate(error, self._settings.location) if isinstance(error, psycopg.Error) else error

    def _await_connection(self, first: Call) -> bool:
        """Connect, while the caller of this call can still take it back, and start the call.

        :returns: ``False`` if there is nothing to run: the call was taken back, or the error is its answer.
        """
        until = monotonic() + self._deadline
        with self._state:
            self._busy_since = monotonic()
        try:
            self._connected(lambda: not first.is_taken_back and monotonic() < until)
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

    def _prepare(self, connection: Connection) -> None:
        if not self._settings.poll_only:
            connection.execute(f"SET lock_timeout = {self._lock_timeout}")

    @property
    def _lock_timeout(self) -> int:
        """Milliseconds, below the deadline. The server does not notice a client that is gone while it waits for a
        lock: as long as a table is locked, each read that was given up would keep a connection.
        """
        return int(self._deadline * 1000 * _LOCK_SHARE)

    def _serve(self, first: Call) -> None:
        if not self._await_connection(first):
            return
        self._started = [first]
        for attempt in range(2):
            first.error = None
            self._begin_try([first])
            try:
                connection = self._connected(lambda: False)
                first.result = self._read(connection, first)
                self.answered_since = self._busy_since or 0.0
                break
            except Exception as error:
                first.error = self._translate(error)
                is_worth_retrying = is_lost(error, self._connection) and attempt == 0 and not first.dropped
                self._abandon(error)
                if not is_worth_retrying:
                    break
        self._started = []
        self._end_try()
        first.resolve()

    def _read(self, connection: Connection, call: Call) -> Any:
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        if self._settings.poll_only:  # a pooler keeps settings for a transaction only
            connection.execute(f"{begin}; SET LOCAL lock_timeout = {self._lock_timeout}")
        result, _ = drive(
            call.make_verb(),
            lambda statement: execute(connection, statement),
            begin=None if self._settings.poll_only else lambda: connection.execute(begin),
        )
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            connection.execute("COMMIT")
        return result
