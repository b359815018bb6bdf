"""Notifications that a writer sends right after a commit, without waiting for the answer.

The caller goes on while the server notifies the listeners; a separate thread would first have to be woken, and would
wait for the answer (docs/decisions/0072). If the notification is known before the commit, both are sent together, which
saves a round trip (0074). This uses libpq's pipeline mode directly: psycopg's ``pipeline()`` waits for every answer.
"""

import atexit
import contextlib
import logging
import weakref
from collections.abc import Sequence
from enum import Enum, auto

import psycopg
from psycopg.errors import InvalidSqlStatementName, error_from_result
from psycopg.pq import Escaping, ExecStatus
from psycopg.pq.abc import PGresult

from turnspit.contract.verbs import Row, Statement
from turnspit.engines.postgres.blocks import clean, to_numbered
from turnspit.engines.postgres.opening import Connection
from turnspit.engines.postgres.readiness import when_readable, when_writable

__all__ = ["Pipeline"]

logger = logging.getLogger("turnspit")

_CLOSE_TIMEOUT = 1.0
"""Seconds to wait for the answer to the last notification before the connection is closed."""
_INT8 = 20
"""The type id of ``bigint``."""

_pipelines: "weakref.WeakSet[Pipeline]" = weakref.WeakSet()


class _Answer(Enum):
    """Where the answer to the last notification is."""

    NONE = auto()
    """None is to be fetched."""
    UNDER_WAY = auto()
    ARRIVED = auto()
    """It came together with the one to the statement before it, and need only be fetched."""


class Pipeline:
    """Sends a connection's notifications, and the statements that are each a transaction of their own.

    The answer to a notification is fetched later, by ``finish``. A notification waits neither for the disk nor for a
    standby, because its transaction writes nothing.

    :param channel: the channel that listeners ``LISTEN`` to.
    """

    def __init__(self, connection: Connection, channel: str) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._encoding = connection.info.encoding
        self._wait_to_read = when_readable(connection.fileno())
        self._command = f"NOTIFY {channel}, ".encode()
        self._names: dict[str, bytes] = {}
        """The prepared statements: name by SQL."""
        self._is_open = False
        """libpq is in pipeline mode, or about to be."""
        self._answer = _Answer.NONE
        self.is_possible = psycopg.Pipeline.is_supported()
        """Whether notifications can be sent without waiting for an answer."""
        _pipelines.add(self)

    def notify(self, payload: str) -> bool:
        """Send a notification without waiting for the answer; whether it was sent."""
        if not self.is_possible:
            return False
        try:
            self._enter()
            self._send_notification(payload)
            self._flush()
        except psycopg.Error:
            return False  # the connection is lost: its next call will notice
        return True

    def execute(self, statement: Statement, payload: str | None) -> list[Row]:
        """Run a statement that is a transaction of its own, and fetch its rows of integers and texts.

        :param payload: of the notification to send right after it, which is sent even if the statement then fails.
        """
        sql, names = to_numbered(statement.sql)
        params = clean(statement.params)
        values = [None if params[name] is None else str(params[name]).encode(self._encoding) for name in names]
        try:
            return self._try(sql, values, payload)
        except InvalidSqlStatementName:  # psycopg deallocates all prepared statements after a rollback
            self._names.clear()
            return self._try(sql, values, payload)

    def _try(self, sql: str, values: Sequence[bytes | None], payload: str | None) -> list[Row]:
        self._enter()
        name = self._names.get(sql) or f"turnspit_{len(self._names)}".encode()
        is_new = sql not in self._names
        if is_new:
            self._pgconn.send_prepare(name, sql.encode(self._encoding))
        self._pgconn.send_query_prepared(name, values)
        self._pgconn.pipeline_sync()
        if payload is not None:
            self._send_notification(payload)
        self._flush()
        results = self._results()
        if is_new and results[0].status == ExecStatus.COMMAND_OK:
            self._names[sql] = name
        if refusals := _refusals(results):
            self.finish()
            raise error_from_result(refusals[0], self._encoding)
        if self._answer is _Answer.UNDER_WAY and not self._pgconn.is_busy():
            self._answer = _Answer.ARRIVED
        return [self._row(results[-1], number) for number in range(results[-1].ntuples)]

    def _row(self, result: PGresult, number: int) -> Row:
        row: list[int | str] = []
        for column in range(result.nfields):
            value = result.get_value(number, column) or b""
            row.append(int(value) if result.ftype(column) == _INT8 else bytes(value).decode(self._encoding))
        return tuple(row)

    def _enter(self) -> None:
        self._is_open = True
        self._pgconn.enter_pipeline_mode()

    def _send_notification(self, payload: str) -> None:
        literal = Escaping(self._pgconn).escape_literal(payload.encode(self._encoding))
        self._pgconn.send_query_params(self._command + literal, None)
        self._pgconn.pipeline_sync()
        self._answer = _Answer.UNDER_WAY

    def _flush(self) -> None:
        while self._pgconn.flush():
            when_writable(self._connection.fileno())(None)

    def finish(self) -> bool:
        """Fetch the answer to the last notification, so that the connection can be used again.

        :returns: ``False`` if it may not have reached the listeners. A lost connection is noticed by the next call.
        """
        if not self._is_open:
            return True
        was_sent = self._answer is not _Answer.NONE
        self._is_open, self._answer = False, _Answer.NONE
        try:
            refusals = _refusals(self._results()) if was_sent else []
            self._pgconn.exit_pipeline_mode()
        except psycopg.Error as error:
            logger.debug("a wake may not have been sent: %s", error)
            return not was_sent
        for refusal in refusals:
            # Another session holds the lock that all notifications need: from now on a separate thread waits for it.
            self.is_possible = False
            logger.debug("a wake was not sent: %s", refusal.error_message.decode(errors="replace"))
        return not refusals

    def _results(self) -> list[PGresult]:
        """Fetch results up to the next synchronisation point, or up to the end where the connection is lost."""
        pgconn = self._pgconn
        results: list[PGresult] = []
        is_at_end = False
        while True:
            while pgconn.is_busy():
                self._wait_to_read(None)
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is not None and result.status == ExecStatus.PIPELINE_SYNC:
                return results
            if result is not None:
                results.append(result)
            elif is_at_end:  # a single ``None`` separates two commands, a second one means that nothing more comes
                if results:
                    return results
                raise psycopg.OperationalError("the connection was lost")
            is_at_end = result is None

    def await_answer(self) -> None:
        """Wait before the connection is closed: closed with an unread answer, it could lose the notification too."""
        if self._answer is _Answer.UNDER_WAY:
            with contextlib.suppress(psycopg.Error, ValueError):
                # Not ``_wait_to_read``: its own thread may be using that at this moment.
                when_readable(self._connection.fileno())(_CLOSE_TIMEOUT * 1000)


def _refusals(results: Sequence[PGresult]) -> list[PGresult]:
    return [result for result in results if result.status == ExecStatus.FATAL_ERROR]


@atexit.register
def _await_last_answers() -> None:
    """Otherwise a program that enqueues and exits at once could lose its notification."""
    for pipeline in list(_pipelines):
        pipeline.await_answer()
