"""``NOTIFY`` behind a commit: sent on the connection of the commit, its answer fetched before the next use.

The server tells the listeners while the caller goes on; a thread of its own would have to be woken first, and would
wait for the answer (docs/decisions/0072).
"""

import atexit
import contextlib
import logging
import select
import weakref
from collections.abc import Iterator

import psycopg
from psycopg.pq import Escaping, ExecStatus
from psycopg.pq.abc import PGresult

from turnspit.engines.postgres.opening import Connection

__all__ = ["Notification"]

logger = logging.getLogger("turnspit")

_LAST = 1.0
"""Seconds that the answer to the last one is waited for before its connection is closed."""

_notifications: "weakref.WeakSet[Notification]" = weakref.WeakSet()


class Notification:
    """The notification that is under way on a connection, if one is.

    A command of its own, not a prepared statement: the driver forgets those behind each rollback. It waits for no disk
    and no standby, for its transaction writes nothing that could be lost.

    :param channel: where listeners hear it.
    """

    def __init__(self, connection: Connection, channel: str) -> None:
        self._connection = connection
        self._command = f"NOTIFY {channel}, ".encode()
        self._is_under_way = False
        self._is_possible = True
        _notifications.add(self)

    def send(self, payload: str) -> bool:
        """Send it, and wait for nothing; whether it was sent."""
        if not self._is_possible:
            return False
        pgconn = self._connection.pgconn
        try:
            pgconn.send_query(self._command + Escaping(pgconn).escape_literal(payload.encode()))
        except psycopg.Error:
            return False  # the connection is lost: its next call will notice
        self._is_under_way = True
        return True

    def finish(self) -> bool:
        """Fetch the answer to the last one, so that the connection can be used again.

        :returns: whether the listeners were told. Not if the connection is lost, which its next call will notice.
        """
        if not self._is_under_way:
            return True
        self._is_under_way = False
        try:
            refusals = [result for result in self._results() if result.status != ExecStatus.COMMAND_OK]
        except psycopg.Error as error:
            logger.debug("a wake may not have been sent: %s", error)
            return False
        for refusal in refusals:
            # Somebody holds the lock of all notifications for long: from now on a thread waits for it.
            self._is_possible = False
            logger.debug("a wake was not sent: %s", refusal.error_message.decode(errors="replace"))
        return not refusals

    def _results(self) -> Iterator[PGresult]:
        pgconn = self._connection.pgconn
        while True:
            while pgconn.is_busy():
                self._wait()
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                return
            yield result

    def await_answer(self) -> None:
        """Before the connection is closed: bytes that nobody has read would take the notification along."""
        if self._is_under_way:
            with contextlib.suppress(psycopg.Error, ValueError):
                self._wait(_LAST)

    def _wait(self, seconds: float | None = None) -> None:
        poll = select.poll()
        poll.register(self._connection.fileno(), select.POLLIN)
        poll.poll(None if seconds is None else seconds * 1000)


@atexit.register
def _await_last_answers() -> None:
    """A program that enqueues and ends at once takes its wake along otherwise."""
    for notification in list(_notifications):
        notification.await_answer()
