"""Taking a file's write lock, and who holds it.

A call without ``tx=`` that waits for a transaction of its own process waits on itself: it fails fast and says so.
"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from turnspit.clock import monotonic, thread_sleep
from turnspit.errors import EngineUnavailable

__all__ = ["begin", "is_busy", "use_wal"]

_SELF_LOCK_PATIENCE = 1.0
_PAUSE = 0.02
_WAL_WRITE_LOCK = 120
_RESERVED_LOCK = 0x40000001


def is_busy(error: sqlite3.Error) -> bool:
    """Whether somebody else holds the lock."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) == sqlite3.SQLITE_BUSY


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
            # Others that commit in between are not waiting for us.
            newest = connection.execute("PRAGMA data_version").fetchone()
            if newest != version:
                version, since = newest, monotonic()
            _refuse_self_lock(path, monotonic() - since, error)
        else:
            return


def use_wal(connection: sqlite3.Connection, path: Path, patience: float) -> None:
    """Set WAL mode. SQLite's busy handler does not wait for the exclusive lock that the change needs, so this does."""
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
    if waited > _SELF_LOCK_PATIENCE and _locked_by_this_process(path):
        raise EngineUnavailable(
            f"store {path} is locked by another connection of this very process: pass that connection or session "
            "as tx=, so that the job joins its transaction"
        ) from cause


def _locked_by_this_process(path: Path) -> bool:
    """Whether a connection of this process holds the write lock (Linux; elsewhere always ``False``)."""
    return _holds_lock(Path(f"{path}-shm"), _WAL_WRITE_LOCK) or _holds_lock(path, _RESERVED_LOCK)


def _holds_lock(path: Path, byte: int) -> bool:
    try:
        inode = path.stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return False
    for line in locks.splitlines():
        fields = line.replace("->", "").split()
        if len(fields) == 8 and fields[3] == "WRITE" and fields[4] == str(os.getpid()):
            is_this = fields[5].endswith(f":{inode}") and fields[7] != "EOF"
            if is_this and int(fields[6]) <= byte <= int(fields[7]):
                return True
    return False
