"""The thread that writes. Calls that wait at the same time are committed together, with one flush of the log.

They run one after the other in one transaction, without savepoints, which would cost every call two round trips. If one
fails, which is rare, all are rolled back and each is run again in a transaction of its own, so that a failure takes no
other call with it. A call that cannot get a lock is retried until its deadline, in turn with the others.

If the connection is lost before the COMMIT was sent, everything is run again on a new one. A COMMIT whose answer was
lost is never sent again: its callers are told that their call may or may not have been carried out.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
from psycopg.pq import TransactionStatus

from turnspit.clock import monotonic
from turnspit.contract.verbs import Row, Statement, Verb, Wake
from turnspit.engines.calls import Call, CallQueue
from turnspit.engines.merging import EVERYTHING
from turnspit.engines.postgres.connection import ConnectionThread, execute
from turnspit.engines.postgres.errors import is_lost, is_passing, one_line
from turnspit.engines.postgres.opening import IDLE_IN_TRANSACTION, WARNINGS, Connection
from turnspit.engines.postgres.pipeline import Pipeline
from turnspit.engines.postgres.readiness import when_readable
from turnspit.engines.postgres.settings import Settings
from turnspit.engines.postgres.wakeups import PostgresWakeups
from turnspit.errors import EngineError, EngineUnavailable
from turnspit.records import Inserted, NewJob
from turnspit.transactions import drive

__all__ = ["BY_INDEX", "Writer"]

_GROUP_LIMIT = 256
BY_INDEX = "enable_seqscan = off"
"""A setting of connections that write. PostgreSQL keeps a plan that it made while the tables were small until ANALYZE
has seen them large.
"""
_LOCK_TIMEOUT = 250
"""Milliseconds. A call that waits longer for a lock is rolled back with its group, and retried alone."""

_LOST = "the connection was lost in its COMMIT"

_SYNCHRONOUS = "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
"""For the transaction that is open. A stronger setting, as ``remote_apply``, stays."""


class _Group(NamedTuple):
    """Calls to run in one transaction."""

    calls: list[Call]
    until: float
    """When it is too late to try again: another attempt would not end before their callers give up."""
    error: BaseException | None
    """What ended the last attempt, if this is a retry."""


@dataclass(slots=True)
class _Attempt:
    """One attempt at a transaction."""

    is_connected: bool = False
    """It has had a connection."""
    gave_up: bool = False
    """``_look`` cut its connection at its caller's deadline."""
    warning: str | None = None
    """What the server warned of during its COMMIT."""
    are_others_told: bool = False
    """Its notification was sent together with its commit."""


def _has_news(connection: Connection) -> bool:
    """Whether the server has sent something unasked, which mostly means that it closed the connection. A statement that
    commits by itself must not be sent then: nobody would know whether it was carried out.
    """
    return bool(when_readable(connection.fileno())(0))


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
        wakeups: PostgresWakeups,
        insert_each: Callable[[list[NewJob[Any]]], Verb[list[Inserted]]],
    ) -> None:
        self._wakeups = wakeups
        self._insert_each = insert_each
        self._attempt = _Attempt()
        """The current one, or the last one."""
        self._is_unanswered = False
        """A commit was given up, and none has been answered since: the server may be waiting for a standby."""
        self._no_answer = f"there was no answer within {deadline:g} s"
        self._current: Call | None = None
        """The call whose statements are being sent: the one to blame for an error."""
        self._pipeline: Pipeline | None = None
        self._cursor: psycopg.Cursor[Row] | None = None
        self._last_wakes: list[Wake] = []
        """The wakes of the last transaction."""
        super().__init__(queue, is_helper, settings, deadline)

    def _prepare(self, connection: Connection) -> None:
        if not self._settings.poll_only:
            connection.execute(f"SET lock_timeout = {_LOCK_TIMEOUT}; SET {BY_INDEX}")
            self._pipeline = Pipeline(connection, self._settings.channel)

    def _close_connection(self) -> None:
        if self._pipeline is not None:
            self._pipeline.await_answer()
        super()._close_connection()

    def _notify(self, payload: str) -> bool:
        return self._pipeline is not None and self._pipeline.notify(payload)

    def _finish_notification(self) -> None:
        if self._pipeline is not None and not self._pipeline.finish():
            self._wakeups.send(self._last_wakes)  # once more, from the notifier's thread

    def _on_notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        # The COMMIT did not wait for its synchronous standby. Other warnings do not count: those of triggers, and those
        # of a server that runs out of transaction ids, which come with every transaction.
        is_standby = diagnostic.source_function in ("SyncRepWaitForLSN", None)
        if self._is_committing and is_standby and diagnostic.severity_nonlocalized == "WARNING":
            self._attempt.warning = diagnostic.message_primary or "the commit may be lost in a failover"

    def _serve(self, first: Call) -> None:
        if not self._await_connection(first):
            return
        groups = deque([self._group([first])])
        while groups:
            with self._state:
                self._started = [call for group in groups for call in group.calls]
            group = groups.popleft()
            error = self._run_group(group.calls, group.until) if group.calls else None
            if error is not None:
                groups.extend(self._parted(group, error))
            groups = self._refuse_late(groups)
        self._started = []

    def _parted(self, failed: _Group, error: BaseException) -> list[_Group]:
        """The calls of a group that failed, each to be run again alone. The call to blame comes last, behind calls that
        came meanwhile: it may have to wait long for a lock.
        """
        calls = sorted(failed.calls, key=lambda call: call is self._current)
        *others, to_blame = [_Group([call], failed.until, None) for call in calls]
        is_connected = self._connection is not None and not self._connection.closed
        newcomers = [self._group([])] if is_connected else []
        return [*others, *newcomers, to_blame._replace(error=error)]

    def _group(self, calls: list[Call]) -> _Group:
        """These calls, and those that wait in the queue."""
        # An attempt that begins by then can wait for a lock and still end before the callers' deadline.
        until = monotonic() + max(self._deadline - 2 * _LOCK_TIMEOUT / 1000, self._deadline / 2)
        return _Group([*calls, *self._queue.take_started(_GROUP_LIMIT - len(calls))], until, None)

    def _refuse_late(self, groups: "deque[_Group]") -> "deque[_Group]":
        """Answer the retries for which it is too late, while their callers still wait; return the other groups."""
        now = monotonic()
        late = [group for group in groups if group.error is not None and now > group.until]
        for calls, _, error in late:
            for call in calls:
                call.error = None if error is None else self._translate(error)
                call.resolve()
        return deque(group for group in groups if group not in late) if late else groups

    def _serve_here(self, call: Call) -> bool:
        # While commits wait for a standby, each call that is cut off leaves a server process behind that still waits.
        # On a caller's thread every call would leave one; on the writer's thread they all wait behind a single one.
        if self._connection is None or self._connection.closed or self._is_unanswered:
            return False
        return self._run_group([call]) is None

    def _tidy_up(self) -> None:
        is_unsure = self._is_committing
        self._close_connection()
        self._end_try()
        if is_unsure:
            self._wakeups.send(list(EVERYTHING))

    def _look(self) -> None:
        """At its deadline, cut the connection of a call that runs on its caller's thread, which is blocked in it."""
        with self._state:
            since = self._busy_since
            is_late = since is not None and monotonic() - since > self._deadline
            if is_late and self._used_by != self._thread.ident:
                self._attempt.gave_up = True
                self._cut()

    def _run_group(self, group: list[Call], until: float = math.inf) -> BaseException | None:
        """Run these calls in one transaction.

        :returns: the error, if they are to be run again, each alone; otherwise they are answered.
        """
        error = self._try(group)
        if error is None or self._is_committing or not self._is_worth_retrying(group, error, until):
            self._resolve(group, error)
            return None
        self._abandon(error)
        return error

    def _is_worth_retrying(self, group: list[Call], error: BaseException, until: float) -> bool:
        """Whether another attempt may succeed: without the others, on a new connection, or a moment later."""
        if self._attempt.gave_up or not self._attempt.is_connected:  # too late, or no connection can be made
            return False
        is_alone = len(group) == 1
        if is_alone and (monotonic() > until or group[0].dropped):
            return False
        return not is_alone or is_passing(error) or is_lost(error, self._connection)

    def _try(self, group: list[Call]) -> BaseException | None:
        """One attempt at a transaction; the error that ended it. ``_is_committing`` tells if its COMMIT was sent."""
        self._attempt = _Attempt()
        if not self._begin_try(group):
            return EngineUnavailable(f"store {self._settings.location}: nobody waits for this call any longer")
        began = monotonic()
        try:
            until = monotonic() + self._deadline
            connection = self._connected(lambda: monotonic() < until and not all(call.dropped for call in group))
            self._attempt.is_connected = True
            self._finish_notification()
            self._run_calls(connection, group)
            if not self._is_committing and connection.pgconn.transaction_status != TransactionStatus.IDLE:
                self._start_commit()
                connection.execute("COMMIT")
            self.answered_since = began
        except Exception as error:
            if self._is_committing and isinstance(error, psycopg.Error) and not is_lost(error, self._connection):
                self._is_committing = False  # the server answered that it was rolled back
            return error
        return None

    def _run_calls(self, connection: Connection, group: list[Call]) -> None:
        """Run these calls; new jobs of several calls are inserted by one statement."""
        joined = [call for call in group if call.new is not None] if len(group) > 1 else []
        others = [call for call in group if call.new is None] if joined else group
        may_be_one_statement = len(group) == 1 or not others  # ``drive`` begins a transaction if there are more
        if not may_be_one_statement or self._settings.poll_only or _has_news(connection):
            self._begin(connection)
        if joined:
            self._insert_joined(connection, joined)
        for call in others:
            self._current = call
            call.result, call.wakes = drive(
                call.make_verb(),
                lambda statement: self._execute(connection, statement),
                begin=lambda: self._begin(connection),
            )

    def _insert_joined(self, connection: Connection, calls: list[Call]) -> None:
        """Insert the new jobs of these calls with one statement."""
        new = [call.new for call in calls if call.new is not None]
        self._current = calls[0]
        inserted, calls[0].wakes = drive(self._insert_each(new), lambda statement: self._execute(connection, statement))
        if len(inserted) < len(calls):
            raise ValueError("a trigger on the table of jobs left some of them out")
        for call, result in zip(calls, inserted, strict=True):
            call.result = result

    def _execute(self, connection: Connection, statement: Statement) -> list[Row]:
        if statement.ends and connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self._start_commit()  # the statement commits by itself
            if statement.wake is not None and self._pipeline is not None and self._pipeline.is_possible:
                payload = self._wakeups.payload_at_once([statement.wake])
                self._attempt.are_others_told = payload is not None
                return self._pipeline.execute(statement, payload)
        if self._cursor is None or self._cursor.connection is not connection:
            self._cursor = connection.cursor()  # reused: a new one costs as much as adapting an INSERT's parameters
        return execute(self._cursor, statement)

    def _start_commit(self) -> None:
        with self._state:
            self._busy_since, self._is_committing = monotonic(), True

    def _begin(self, connection: Connection) -> None:
        """Begin a transaction, unless one is open; behind a pooler with its settings, which would not last longer."""
        if connection.pgconn.transaction_status != TransactionStatus.IDLE:
            return
        if self._settings.poll_only:
            commit = f"; {_SYNCHRONOUS}" if self._settings.synchronous else "; SET LOCAL synchronous_commit = off"
            timeouts = (
                f"; SET LOCAL idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION}"
                f"; SET LOCAL lock_timeout = {_LOCK_TIMEOUT}; SET LOCAL {BY_INDEX}; SET LOCAL jit = off"
                f"; SET LOCAL {WARNINGS}"
            )
            connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED" + timeouts + commit)
        else:
            connection.execute("BEGIN")

    def _resolve(self, group: list[Call], error: BaseException | None) -> None:
        """Answer every call of a transaction that is not run again, and send its wakes."""
        doubt = self._doubt(error)
        was_given_up = self._attempt.gave_up and self._is_committing
        self._is_unanswered = was_given_up or (self._is_unanswered and error is not None)
        self._end_try()
        if error is not None:
            self._abandon(error)
        if error is not None or doubt is not None:
            for call in group:
                call.error = self._error_of_call(error, doubt)
        if error is None or doubt is not None:
            self._last_wakes = [wake for call in group for wake in call.wakes]
            self._wakeups.send(self._last_wakes, self._notify, are_others_told=self._attempt.are_others_told)
        for call in group:
            call.resolve()

    def _doubt(self, error: BaseException | None) -> str | None:
        """Why nobody can know whether the transaction was carried out, or will last; ``None`` where that is certain."""
        if self._is_committing and self._attempt.gave_up:
            return self._no_answer
        if self._is_committing and error is not None:
            if isinstance(error, EngineError):
                return None  # it was answered, and its verb found that nothing was stored
            is_answered = not isinstance(error, psycopg.Error)  # with fewer rows, as where a trigger leaves some out
            what = "the answer to its COMMIT was not the expected one" if is_answered else _LOST
            return f"{what} ({one_line(error)})"
        return self._attempt.warning

    def _error_of_call(self, error: BaseException | None, doubt: str | None) -> BaseException | None:
        """What a call of the transaction raises."""
        store = f"store {self._settings.location}"
        if doubt is not None:
            return EngineUnavailable(f"{store}: {doubt}: the call may or may not have been carried out")
        if error is not None and self._attempt.gave_up:
            return EngineUnavailable(f"{store}: {self._no_answer}: the call was not carried out")
        return None if error is None else self._translate(error)
