"""``NOTIFY`` behind a commit: sent on the connection of the commit, its answer fetched before the next use.

The server tells the listeners while the caller goes on; a thread of its own would have to be woken first, and would
wait for the answer (docs/decisions/0072).
"""

import atexit
import contextlib
import logging
import select
import weakref

import psycopg
from psycopg.pq import ExecStatus

from turnspit.engines.postgres.opening import Connection

__all__ = ["Notification"]

logger = logging.getLogger("turnspit")

_NAME, _NOTIFY = b"turnspit_notify", b"SELECT pg_notify($1, $2)"
"""A transaction of its own. It waits for no disk and no standby, for it writes nothing that could be lost."""
_LAST = 1.0
"""Seconds that the answer to the last one is waited for before its connection is closed."""

_notifications: "weakref.WeakSet[Notification]" = weakref.WeakSet()


class Notification:
    """The notification that is under way on a connection, if one is.

    :param channel: where listeners hear it.
    """

    def __init__(self, connection: Connection, channel: str) -> None:
        self._connection = connection
        self._channel = channel.encode()
        self._is_under_way = False
        self._is_possible = True
        connection.pgconn.prepare(_NAME, _NOTIFY)
        _notifications.add(self)

    def send(self, payload: str) -> bool:
        """Send it, and wait for nothing; whether it was sent."""
        if not self._is_possible:
            return False
        try:
            self._connection.pgconn.send_query_prepared(_NAME, [self._channel, payload.encode()])
        except psycopg.Error:
            return False  # the connection is lost: its next call will notice
        self._is_under_way = True
        return True

    def finish(self) -> None:
        """Fetch the answer to the last one: the connection can be used again.

        :raises psycopg.OperationalError: if the connection is lost.
        """
        if not self._is_under_way:
            return
        self._is_under_way = False
        pgconn = self._connection.pgconn
        while True:
            while pgconn.is_busy():
                self._wait()
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                return
            if result.status != ExecStatus.TUPLES_OK:
                # Somebody holds the lock of all notifications for long: from now on a thread waits for it.
                self._is_possible = False
                logger.debug("a wake was not sent: %s", result.error_message.decode(errors="replace"))

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
