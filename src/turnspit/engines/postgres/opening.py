"""How a connection is opened and set up, and how opening is retried while the server is away."""

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

__all__ = ["IDLE_IN_TRANSACTION", "WARNINGS", "Connection", "connect", "connect_patiently", "cut", "patiently"]

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
IDLE_IN_TRANSACTION = 10_000
"""Milliseconds."""
WARNINGS = "client_min_messages=warning"
"""A COMMIT that did not wait for its standby reports that by a warning."""
_SERVER_SIDE = {
    "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION,
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 8000,
}
"""Makes the server give up a client that vanished, and its row locks, before a worker's lease runs out."""

Connection: TypeAlias = psycopg.Connection[Row]


def connect(settings: Settings, on_open: Callable[[Connection], None] = lambda _: None) -> Connection:
    """A connection in autocommit mode with Turnspit's settings; transactions are begun explicitly.

    :param on_open: is given the connection before the first statement, so that another thread can cut it.
    """
    # The database's own encoding may lack characters; with SQL_ASCII, which is no encoding, psycopg returns bytes.
    conninfo = dict(settings.conninfo, client_encoding="UTF8")
    if not settings.poll_only:  # a transaction pooler takes no options
        own = " ".join(f"-c {name}={value}" for name, value in _SERVER_SIDE.items())
        options = f"{own} {conninfo.get('options') or ''}"  # the URL's own options come later, and win
        options += " -c jit=off"  # our statements look costly to the planner and are not: compiling them takes longer
        options += r" -c default_transaction_isolation=read\ committed"
        options += f" -c {WARNINGS}"
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
    # Send every int as a bigint: with a type for each size, psycopg would prepare a statement for each combination.
    connection.adapters.register_dumper(int, Int8Dumper)
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    if settings.poll_only:
        connection.prepare_threshold = None
    elif settings.synchronous and connection.execute("SHOW synchronous_commit").fetchone() == ("off",):
        connection.execute("SET synchronous_commit = on")


def connect_patiently(
    settings: Settings, is_wanted: Callable[[], bool], on_open: Callable[[Connection], None] = lambda _: None
) -> Connection:
    """``connect``, retried while the server is away and somebody waits for the connection."""
    return patiently(lambda: connect(settings, on_open), is_wanted)


def patiently(attempt: Callable[[], T], is_wanted: Callable[[], bool]) -> T:
    """Call ``attempt``, which opens its own connection and may be repeated, until the server is there."""
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
    """Shut a connection's socket down, so that a thread that waits for an answer on it gets an error."""
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as own:
        if not connection.closed:  # else the number may be another socket's by now
            own.shutdown(socket.SHUT_RDWR)
