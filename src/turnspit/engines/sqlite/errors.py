"""SQLite's errors in words that say what to do."""

import sqlite3
from pathlib import Path

from turnspit.engines.sqlite.holders import explain_lost_log
from turnspit.engines.sqlite.place import explain_refusal
from turnspit.errors import EngineError, EngineUnavailable, InvalidTransaction, StoreFrozen, StoreRefused

__all__ = ["translate"]

_PRIMARY_CODE = 0xFF

_FROZEN = "turnspit: "
"""How the notice of a frozen store begins (``freeze_store_refuse``)."""

_NO_TABLE = "no such table: turnspit_"

_UNREAD = "SQL statements in progress"
"""SQLite takes that for a lock, too."""

_UNSURE = ": the call may or may not have been carried out"

_REASONS = {
    sqlite3.SQLITE_BUSY: "is locked by another connection that holds its write lock for long",
    sqlite3.SQLITE_PROTOCOL: "is locked by another process that opens or recovers it and does not get on",
    sqlite3.SQLITE_LOCKED: "is locked by another connection of this process",
    sqlite3.SQLITE_FULL: "cannot grow: the disk is full; free some space, nothing acknowledged was lost",
    sqlite3.SQLITE_READONLY: "cannot be written: the file, its folder or the file system is read-only",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: check that its folder exists and that this user may write there",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database: check the URL",
    sqlite3.SQLITE_CORRUPT: "is damaged: restore it from a backup, or see `sqlite3 FILE .recover`",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk reports an error",
    sqlite3.SQLITE_PERM: "cannot be used: this user has no permission",
    sqlite3.SQLITE_AUTH: "cannot be used: this user has no permission",
}

_BUSY_IN_TRANSACTION = (
    "is locked by another connection, and SQLite lets no transaction wait that has read before it writes: begin yours "
    'with BEGIN IMMEDIATE (in Django: "OPTIONS": {"transaction_mode": "IMMEDIATE"}), or run it again from its beginning'
)


def translate(
    error: sqlite3.Error, location: str, *, is_committing: bool = False, is_callers: bool = False
) -> EngineError:
    """The error as Turnspit's own, naming the store and the cure.

    :param is_committing: it comes from a COMMIT, which may be on the disk although the disk reports an error.
    :param is_callers: it comes from the caller's own transaction.
    """
    if isinstance(error, sqlite3.IntegrityError) and str(error).startswith(_FROZEN):
        return StoreFrozen(f"store {location} {str(error).removeprefix(_FROZEN)}")
    if is_callers and _UNREAD in str(error):
        return InvalidTransaction(
            f"a statement that writes on the connection given as tx= (DELETE ... RETURNING, say) has rows left, and "
            f"store {location} takes nothing before its end: read them all first, as with fetchall()"
        )
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    reason = _BUSY_IN_TRANSACTION if is_callers and code == sqlite3.SQLITE_BUSY else _REASONS.get(code)
    if code == sqlite3.SQLITE_IOERR:
        reason = explain_lost_log(Path(location)) or reason
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        reason = explain_refusal(Path(location)) or reason
    if str(error).startswith(_NO_TABLE):
        reason = "lacks a table that was there before: somebody dropped it; restore a backup, or see `turnspit doctor`"
        return EngineError(f"store {location} {reason} ({error})")
    if reason is None:
        return EngineError(f"store {location}: {error}")
    kind = StoreRefused if code == sqlite3.SQLITE_NOTADB else EngineUnavailable
    is_unsure = is_committing and code == sqlite3.SQLITE_IOERR
    return kind(f"store {location} {reason} ({error})" + (_UNSURE if is_unsure else ""))
