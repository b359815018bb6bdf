"""Takes a file's write lock.

A call without ``tx=`` that waits for a transaction of its own process may wait for itself: it fails soon, and says so.
"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from turnspit.clock import monotonic, thread_sleep
from turnspit.engines.sqlite.holders import holds_write_lock
from turnspit.errors import EngineUnavailable

__all__ = ["begin", "is_busy", "use_wal"]

_SELF_LOCK_PATIENCE = 1.0
_PAUSE = 0.02


def is_busy(error: sqlite3.Error) -> bool:
    """Whether somebody else holds the lock. SQLite reports ``SQLITE_PROTOCOL`` after it has waited for ten seconds."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL)


def begin(connection: sqlite3.Connection, path: Path, patience: float, is_wanted: Callable[[], bool]) -> None:
    """Take the write lock, while it is wanted and for at most ``patience`` seconds.

    :raises EngineUnavailable: if another connection of this process holds it and commits nothing.
    """
    started = since = monotonic()
    version = None
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not is_busy(error) or not is_wanted() or monotonic() - started > patience:
                raise
            # A commit in between: whoever holds the lock makes progress, so nobody waits for us.
            newest = connection.execute("PRAGMA data_version").fetchone()
            if newest != version:
                version, since = newest, monotonic()
            _refuse_self_lock(path, monotonic() - since, error)
        else:
            return


def use_wal(connection: sqlite3.Connection, path: Path, patience: float) -> None:
    """Set WAL mode. The change needs an exclusive lock for which SQLite's busy handler does not wait, so this does."""
    started = monotonic()
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            waited = monotonic() - started
            if not is_busy(error) or waited > patience:
                raise
            _refuse_self_lock(path, waited, error)
            thread_sleep(_PAUSE)
        else:
            return


def _refuse_self_lock(path: Path, waited: float, cause: sqlite3.Error) -> None:
    if waited > _SELF_LOCK_PATIENCE and holds_write_lock(path, os.getpid()):
        raise EngineUnavailable(
            f"store {path} is locked by another connection of this very process: pass that connection or session "
            "as tx=, so that the job joins its transaction"
        ) from cause
