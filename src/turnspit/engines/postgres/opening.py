"""How a connection is opened: with Turnspit's settings on both ends, and patiently."""

import contextlib
import os
import socket
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import psycopg
from psycopg.types.numeric import Int8Dumper

from turnspit.clock import thread_sleep
from turnspit.contract.verbs import Row
from turnspit.engines.postgres.errors import may_connect_later
from turnspit.engines.postgres.settings import Settings

__all__ = ["IDLE_IN_TRANSACTION", "Connection", "connect", "connect_patiently", "cut", "patiently"]

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
IDLE_IN_TRANSACTION = 10_000
"""Milliseconds."""
_SERVER_SIDE = {
    "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION,
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 8000,
}
"""What the server does about a client that vanished: its rows are free again before a worker's lease has run out."""

Connection: TypeAlias = psycopg.Connection[Row]


def connect(settings: Settings, on_open: Callable[[Connection], None] = lambda _: None) -> Connection:
    """A connection in autocommit mode with Turnspit's settings; transactions are begun explicitly.

    :param on_open: gets it before anything is asked on it: from then on it can be cut.
    """
    conninfo = dict(settings.conninfo)
    if not settings.poll_only:  # a transaction pooler takes no options
        own = " ".join(f"-c {name}={value}" for name, value in _SERVER_SIDE.items())
        options = f"{own} {conninfo.get('options') or ''}"  # the URL's own come later, and win
        options += " -c jit=off"  # what is estimated to be dear would be compiled first, and is not dear
        options += "" if settings.synchronous else " -c synchronous_commit=off"
        conninfo["options"] = options.strip()
    connection = psycopg.connect(autocommit=True, **conninfo)
    try:
        on_open(connection)
        _set_up(connection, settings)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: Connection, settings: Settings) -> None:
    # Whatever its size, a number is a bigint: each size would make a prepared statement of its own.
    connection.adapters.register_dumper(int, Int8Dumper)
    if settings.poll_only:
        connection.prepare_threshold = None
    elif settings.synchronous and connection.execute("SHOW synchronous_commit").fetchone() == ("off",):
        connection.execute("SET synchronous_commit = on")


def connect_patiently(
    settings: Settings, is_wanted: Callable[[], bool], on_open: Callable[[Connection], None] = lambda _: None
) -> Connection:
    """``connect``, tried again while the server is away and somebody waits for it."""
    return patiently(lambda: connect(settings, on_open), is_wanted)


def patiently(attempt: Callable[[], T], is_wanted: Callable[[], bool]) -> T:
    """What can be done twice on a connection that it opens itself, tried again while the server is away."""
    pause = _FIRST_PAUSE
    while True:
        try:
            return attempt()
        except psycopg.Error as error:
            if not may_connect_later(error) or not is_wanted():
                raise
            thread_sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)


def cut(connection: Connection) -> None:
    """End a connection under whoever waits for its answer, in any thread."""
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as own:
        own.shutdown(socket.SHUT_RDWR)
