"""Connections to one database: threads that write in groups, and threads that read.

Verbs that wait together are committed together: one flush of the log serves them all. They run one after the other
in one transaction without savepoints. When one fails, everything is rolled back and each is run again alone, so that
one that fails takes no other with it; failures are rare, and savepoints would cost every call two round trips.

What was lost before its COMMIT was sent is run again on a new connection. A COMMIT whose answer was lost is never sent
again: its callers hear that their call may or may not have been carried out.
"""

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8Dumper

from turnspit.clock import monotonic, thread_sleep
from turnspit.contract.verbs import Row, Statement, Verb, Wake
from turnspit.engines.calls import Call, CallQueue, CallThread
from turnspit.engines.postgres.blocks import clean, to_pyformat
from turnspit.engines.postgres.errors import is_lost, is_passing, may_connect_later, one_line, translate
from turnspit.engines.postgres.settings import Settings
from turnspit.errors import EngineUnavailable
from turnspit.records import Inserted, NewJob
from turnspit.transactions import drive

__all__ = ["BY_INDEX", "ConnectionThread", "Reader", "Writer", "connect", "connect_patiently", "execute"]

_GROUP_LIMIT = 256
_TRIES = 4
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_IDLE_IN_TRANSACTION = 10_000
BY_INDEX = "enable_seqscan = off"
"""Of those that write: a plan is kept from when the tables were small until ANALYZE has seen them large."""
_LOCK_TIMEOUT = 250
"""Milliseconds. Who waits longer for a lock is rolled back with its group, and tried again alone."""

Connection = psycopg.Connection[Row]


def connect(settings: Settings, **changes: Any) -> Connection:
    """A connection in autocommit mode with Turnspit's settings; transactions are begun explicitly."""
    conninfo = settings.conninfo | changes
    if not settings.poll_only:  # a transaction pooler takes no options
        options = f"{conninfo.get('options') or ''} -c idle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION}"
        options += " -c jit=off"  # what is estimated to be dear would be compiled first, and is not dear
        options += "" if settings.synchronous else " -c synchronous_commit=off"
        conninfo["options"] = options.strip()
    connection = psycopg.connect(autocommit=True, **conninfo)
    # Whatever its size, a number is a bigint: each size would make a prepared statement of its own.
    connection.adapters.register_dumper(int, Int8Dumper)
    if settings.poll_only:
        connection.prepare_threshold = None
    elif settings.synchronous and connection.execute("SHOW synchronous_commit").fetchone() == ("off",):
        connection.execute("SET synchronous_commit = on")
    return connection


def connect_patiently(settings: Settings, is_wanted: Callable[[], bool]) -> Connection:
    """``connect``, tried again while the server is away and somebody waits for it."""
    pause = _FIRST_PAUSE
    while True:
        try:
            return connect(settings)
        except psycopg.Error as error:
            if not may_connect_later(error) or not is_wanted():
                raise
            thread_sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)


def _has_news(connection: Connection) -> bool:
    """Whether the server has said something unasked: most often, that it has gone. What is sent then without BEGIN
    would be lost without anybody knowing whether it was carried out.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _cut(connection: Connection) -> None:
    """End a connection under whoever waits for its answer."""
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as own:
        own.shutdown(socket.SHUT_RDWR)


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
        self._since = 0.0
        self._is_committing = False
        self._state = threading.Lock()
        super().__init__(queue, self.name, until_empty=is_helper)

    def drop(self, future: Future[Any]) -> None:
        """Nobody waits any longer for this call: end its connection if it is under way, but never in its COMMIT."""
        with self._state:
            mine = [call for call in self._running if call.is_awaited(future)]
            for call in mine:
                call.dropped = True
            connection = self._connection
            if connection is None or connection.closed or not mine or self._is_committing:
                return
            _cut(connection)

    def _serve_here(self, call: Call) -> bool:
        return False

    def _close_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self, is_wanted: Callable[[], bool]) -> Connection:
        if self._connection is None or self._connection.closed:
            connection = connect_patiently(self._settings, is_wanted)
            connection.add_notice_handler(self._on_notice)
            self._prepare(connection)
            with self._state:
                self._connection = connection
        assert self._connection is not None
        return self._connection

    def _prepare(self, connection: Connection) -> None:
        """Settings of this kind of thread."""

    def _on_notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        """A word of the server beside its answers."""

    def _abandon(self) -> None:
        """After an error: leave no transaction open, and no connection that cannot even roll back."""
        if self._connection is None or self._connection.closed:
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
        try:
            self._connected(lambda: not first.future.cancelled() and monotonic() < until)
        except Exception as error:
            if first.start():
                first.error = self._translate(error)
                first.resolve()
            return False
        return first.start()


class Reader(ConnectionThread):
    """Runs each verb on a snapshot of its own."""

    name = "turnspit-reader"

    def _serve(self, first: Call) -> None:
        if not self._await_connection(first):
            return
        self._running = [first]
        for tried in range(_TRIES):
            first.error = None
            try:
                connection = self._connected(lambda: False)
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                first.result, _ = drive(first.make_verb(), lambda statement: execute(connection, statement))  # noqa: B023
                connection.execute("COMMIT")
                break
            except Exception as error:
                first.error = self._translate(error)
                is_worth_it = is_lost(error, self._connection) and tried < 1
                self._abandon()
                if not is_worth_it:
                    break
        self._running = []
        first.resolve()


class Writer(ConnectionThread):
    """Runs verbs in groups, each group one durable transaction."""

    name = "turnspit-writer"
    watch = 0.25

    def __init__(
        self,
        queue: CallQueue,
        is_helper: bool,
        settings: Settings,
        deadline: float,
        on_wakes: Callable[[list[Wake]], None],
        insert_each: Callable[[list[NewJob[Any]]], Verb[list[Inserted]]],
    ) -> None:
        self._on_wakes = on_wakes
        self._insert_each = insert_each
        self._gave_up = False
        self._warned: str | None = None
        self._at: Call | None = None
        self._was_connected = False
        super().__init__(queue, is_helper, settings, deadline)

    def _prepare(self, connection: Connection) -> None:
        if not self._settings.poll_only:
            connection.execute(f"SET lock_timeout = {_LOCK_TIMEOUT}; SET {BY_INDEX}")

    def _on_notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        # A COMMIT warns of nothing but that it did not wait for its synchronous standby.
        if self._is_committing and diagnostic.severity_nonlocalized == "WARNING":
            self._warned = diagnostic.message_primary or "the commit may be lost in a failover"

    def _serve(self, first: Call) -> None:
        if not self._await_connection(first):
            return
        group = [first, *self._queue.take_started(_GROUP_LIMIT - 1)]
        if not self._run_group(group):
            # The one to blame comes last: it may wait for a lock that somebody holds for long.
            for call in sorted(group, key=lambda call: call is self._at):
                self._run_alone(call)

    def _serve_here(self, call: Call) -> bool:
        if self._connection is None or self._connection.closed:
            return False
        try:
            return self._run_group([call])
        except BaseException:  # Ctrl-C
            self._abandon()
            raise

    def _look(self) -> None:
        """A caller that runs its call itself cannot look at the time: end its connection at its deadline."""
        with self._state:
            connection = self._connection
            is_late = self._running and monotonic() - self._since > self._deadline
            if not is_late or connection is None or connection.closed or self._served_by == self._thread.ident:
                return
            self._gave_up = True
            _cut(connection)

    def _run_alone(self, call: Call) -> None:
        until = monotonic() + self._deadline
        while not self._run_group([call], is_last=call.dropped or monotonic() > until):
            pass

    def _run_group(self, group: list[Call], *, is_last: bool = False) -> bool:
        """Run these calls in one transaction; ``False`` if they are to be run again, each alone."""
        error = self._try(group)
        if error is None or self._is_committing or not self._is_worth_it(group, error, is_last):
            self._settle(group, error)
            return True
        self._abandon()
        return False

    def _is_worth_it(self, group: list[Call], error: BaseException, is_last: bool) -> bool:
        """Whether another try can do better: without the others, on a new connection, or a moment later."""
        if not self._was_connected:  # there is no connection to be had, and its patience is over
            return False
        is_alone = len(group) == 1
        if is_alone and (is_last or group[0].dropped):
            return False
        return not is_alone or is_passing(error) or is_lost(error, self._connection)

    def _try(self, group: list[Call]) -> BaseException | None:
        """One try at a transaction; the error that ended it, and ``_is_committing`` if that was its COMMIT."""
        with self._state:
            self._running, self._since = group, monotonic()
            self._is_committing, self._warned, self._gave_up = False, None, False
            self._was_connected = False
        try:
            until = monotonic() + self._deadline
            connection = self._connected(lambda: monotonic() < until and not all(call.dropped for call in group))
            self._was_connected = True
            joined = [call for call in group if call.new is not None] if len(group) > 1 else []
            if len(joined) < len(group) != 1 or self._settings.poll_only or _has_news(connection):
                self._begin(connection)
            if joined:
                self._insert_joined(connection, joined)
            for call in group:
                if joined and call.new is not None:
                    continue
                self._at = call
                call.result, call.wakes = drive(
                    call.make_verb(),
                    lambda statement: self._execute(connection, statement),
                    begin=lambda: self._begin(connection),
                )
            if connection.info.transaction_status is not TransactionStatus.IDLE:
                self._start_commit()
                connection.execute("COMMIT")
        except Exception as error:
            if self._is_committing and not is_lost(error, self._connection):
                self._is_committing = False  # answered: it was rolled back
            return error
        return None

    def _insert_joined(self, connection: Connection, calls: list[Call]) -> None:
        """Store the new jobs of these calls by one statement."""
        new = [call.new for call in calls if call.new is not None]
        self._at = calls[0]
        inserted, calls[0].wakes = drive(self._insert_each(new), lambda statement: self._execute(connection, statement))
        for call, result in zip(calls, inserted, strict=True):
            call.result = result

    def _execute(self, connection: Connection, statement: Statement) -> list[Row]:
        if statement.ends and connection.info.transaction_status is TransactionStatus.IDLE:
            self._start_commit()  # its answer says that it is committed
        return execute(connection, statement)

    def _start_commit(self) -> None:
        with self._state:
            self._is_committing = True

    def _begin(self, connection: Connection) -> None:
        """Begin a transaction, unless one is open."""
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            return
        if self._settings.poll_only:
            commit = "" if self._settings.synchronous else "; SET LOCAL synchronous_commit = off"
            timeouts = (
                f"; SET LOCAL idle_in_transaction_session_timeout = {_IDLE_IN_TRANSACTION}"
                f"; SET LOCAL lock_timeout = {_LOCK_TIMEOUT}; SET LOCAL {BY_INDEX}; SET LOCAL jit = off"
            )
            connection.execute("BEGIN" + timeouts + commit)
        else:
            connection.execute("BEGIN")

    def _settle(self, group: list[Call], error: BaseException | None) -> None:
        """Tell everybody what became of the transaction."""
        unsure = None
        if self._gave_up and self._is_committing:
            unsure = f"there was no answer within {self._deadline:g} s"
        elif error is not None and self._is_committing:
            unsure = f"the connection was lost in its COMMIT ({one_line(error)})"
        elif self._warned is not None:
            unsure = self._warned
        with self._state:
            self._running, self._is_committing = [], False
        if error is not None:
            self._abandon()
        for call in group:
            call.error = None if error is None else self._translate(error)
            if unsure is not None:
                call.error = EngineUnavailable(
                    f"store {self._settings.location}: {unsure}: the call may or may not have been carried out"
                )
        if error is None or unsure is not None:
            self._on_wakes([wake for call in group for wake in call.wakes])
        for call in group:
            call.resolve()
