"""The thread that writes: verbs that wait together are committed together, one flush of the log for all of them.

They run one after the other in one transaction without savepoints. When one fails, everything is rolled back and each
is run again alone, so that one that fails takes no other with it; failures are rare, and savepoints would cost every
call two round trips.

What was lost before its COMMIT was sent is run again on a new connection. A COMMIT whose answer was lost is never sent
again: its callers hear that their call may or may not have been carried out.
"""

import select
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from turnspit.clock import monotonic
from turnspit.contract.verbs import Row, Statement, Verb, Wake
from turnspit.engines.calls import Call, CallQueue
from turnspit.engines.postgres.connection import ConnectionThread, execute
from turnspit.engines.postgres.errors import is_lost, is_passing, one_line
from turnspit.engines.postgres.notification import Notification
from turnspit.engines.postgres.opening import IDLE_IN_TRANSACTION, Connection
from turnspit.engines.postgres.settings import Settings
from turnspit.errors import EngineUnavailable
from turnspit.records import Inserted, NewJob
from turnspit.transactions import drive

__all__ = ["BY_INDEX", "Writer"]

_GROUP_LIMIT = 256
BY_INDEX = "enable_seqscan = off"
"""Of those that write: a plan is kept from when the tables were small until ANALYZE has seen them large."""
_LOCK_TIMEOUT = 250
"""Milliseconds. Who waits longer for a lock is rolled back with its group, and tried again alone."""


def _has_news(connection: Connection) -> bool:
    """Whether the server has said something unasked: most often, that it has gone. What is sent then without BEGIN
    would be lost without anybody knowing whether it was carried out.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


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
        send: Callable[[list[Wake], Callable[[str], bool]], None],
        insert_each: Callable[[list[NewJob[Any]]], Verb[list[Inserted]]],
    ) -> None:
        self._send = send
        self._insert_each = insert_each
        self._gave_up = False
        self._is_unanswered = False
        """A commit was given up, and none was answered since: they may all be waiting for a standby."""
        self._warned: str | None = None
        self._at: Call | None = None
        self._was_connected = False
        self._notification: Notification | None = None
        self._told: list[Wake] = []
        """What the last transaction had to tell."""
        super().__init__(queue, is_helper, settings, deadline)

    def _prepare(self, connection: Connection) -> None:
        if not self._settings.poll_only:
            connection.execute(f"SET lock_timeout = {_LOCK_TIMEOUT}; SET {BY_INDEX}")
            self._notification = Notification(connection, self._settings.channel)

    def _close_connection(self) -> None:
        if self._notification is not None:
            self._notification.await_answer()
        super()._close_connection()

    def _notify(self, payload: str) -> bool:
        return self._notification is not None and self._notification.send(payload)

    def _finish_notification(self) -> None:
        if self._notification is not None and not self._notification.finish():
            self._send(self._told, lambda _: False)  # once more, by a thread

    def _on_notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        # A COMMIT warns of nothing but that it did not wait for its synchronous standby.
        if self._is_committing and diagnostic.severity_nonlocalized == "WARNING":
            self._warned = diagnostic.message_primary or "the commit may be lost in a failover"

    def _serve(self, first: Call) -> None:
        if not self._await_connection(first):
            return
        group = [first, *self._queue.take_started(_GROUP_LIMIT - 1)]
        with self._state:
            self._started = group
        if not self._run_group(group):
            # The one to blame comes last: it may wait for a lock that somebody holds for long.
            for call in sorted(group, key=lambda call: call is self._at):
                self._run_alone(call)
        self._started = []

    def _serve_here(self, call: Call) -> bool:
        # Each call that is cut off leaves a backend that waits for its standby; on this thread calls wait behind one.
        if self._connection is None or self._connection.closed or self._is_unanswered:
            return False
        try:
            return self._run_group([call])
        except BaseException:  # Ctrl-C
            self._abandon()
            raise

    def _look(self) -> None:
        """A caller that runs its call itself cannot look at the time: end its connection at its deadline."""
        with self._state:
            since = self._busy_since
            is_late = since is not None and monotonic() - since > self._deadline
            if is_late and self._served_by != self._thread.ident:
                self._gave_up = True
                self._cut()

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
        self._abandon(error)
        return False

    def _is_worth_it(self, group: list[Call], error: BaseException, is_last: bool) -> bool:
        """Whether another try can do better: without the others, on a new connection, or a moment later."""
        if not self._was_connected or self._gave_up:  # there is no connection to be had, or the caller's time is over
            return False
        is_alone = len(group) == 1
        if is_alone and (is_last or group[0].dropped):
            return False
        return not is_alone or is_passing(error) or is_lost(error, self._connection)

    def _try(self, group: list[Call]) -> BaseException | None:
        """One try at a transaction; the error that ended it, and ``_is_committing`` if that was its COMMIT."""
        self._warned, self._was_connected, self._gave_up = None, False, False
        if not self._begin_try(group):
            return EngineUnavailable(f"store {self._settings.location}: nobody waits for this call any longer")
        began = monotonic()
        try:
            until = monotonic() + self._deadline
            connection = self._connected(lambda: monotonic() < until and not all(call.dropped for call in group))
            self._was_connected = True
            self._finish_notification()
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
            self.began_at = began
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
            self._busy_since, self._is_committing = monotonic(), True

    def _begin(self, connection: Connection) -> None:
        """Begin a transaction, unless one is open."""
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            return
        if self._settings.poll_only:
            commit = "" if self._settings.synchronous else "; SET LOCAL synchronous_commit = off"
            timeouts = (
                f"; SET LOCAL idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION}"
                f"; SET LOCAL lock_timeout = {_LOCK_TIMEOUT}; SET LOCAL {BY_INDEX}; SET LOCAL jit = off"
            )
            connection.execute("BEGIN" + timeouts + commit)
        else:
            connection.execute("BEGIN")

    def _settle(self, group: list[Call], error: BaseException | None) -> None:
        """Tell everybody what became of the transaction."""
        unsure, late = None, f"there was no answer within {self._deadline:g} s"
        if self._gave_up and self._is_committing:
            unsure = late
        elif error is not None and self._is_committing:
            unsure = f"the connection was lost in its COMMIT ({one_line(error)})"
        elif self._warned is not None:
            unsure = self._warned
        self._is_unanswered = (self._gave_up and self._is_committing) or (self._is_unanswered and error is not None)
        self._end_try()
        if error is not None:
            self._abandon(error)
        for call in group:
            call.error = None if error is None else self._translate(error)
            if unsure is not None:
                call.error = EngineUnavailable(
                    f"store {self._settings.location}: {unsure}: the call may or may not have been carried out"
                )
            elif error is not None and self._gave_up:
                call.error = EngineUnavailable(f"store {self._settings.location}: {late}: the call was not carried out")
        if error is None or unsure is not None:
            self._told = [wake for call in group for wake in call.wakes]
            self._send(self._told, self._notify)
        for call in group:
            call.resolve()
