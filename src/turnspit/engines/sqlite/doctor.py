"""What ``turnspit doctor`` checks in a file."""

import os
import shutil
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

from turnspit.engines.migrations import examine_status
from turnspit.engines.sqlite.connection import connect_to_look
from turnspit.engines.sqlite.errors import translate
from turnspit.engines.sqlite.holders import age_of_process, explain_lost_log, find_holder
from turnspit.engines.sqlite.locks import is_busy
from turnspit.engines.sqlite.place import explain_refusal, find_file
from turnspit.engines.sqlite.schema import SqliteSchema, is_too_old
from turnspit.engines.sqlite.wal_owner import refuse_foreign_wal
from turnspit.errors import EngineUnavailable
from turnspit.records import StoreLock

__all__ = ["diagnose", "find_lock"]

_NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs", "lustre")
_LOCK_PATIENCE = 5.0
_SET_BACK = 5.0
_RECENT = 86_400.0
"""Seconds for which a file counts as new."""
_START = 60.0
"""Seconds that a process may take from its start until it makes its store."""
_MUCH_FREE = 1_000_000_000
_FIXED_RESET_BUG = (3, 51, 3)
_BACKPORTS = {(3, 44): 6, (3, 50): 7}


def diagnose(path: Path) -> list[tuple[str, bool, str]]:
    """Each finding: subject, whether it is well, and what it is or what to do."""
    findings = [*_version(), _file_system(path)]
    try:
        file = find_file(path)
        refuse_foreign_wal(path)
    except EngineUnavailable as error:
        return [*findings, ("file", False, str(error))]
    if file is None:
        missing = "does not exist yet: the first enqueue or worker makes it; was another working directory meant?"
        return [*findings, ("file", False, f"{path} {missing}")]
    try:
        with closing(connect_to_look(path)) as connection:
            findings += _inside(connection, path)
            lost = explain_lost_log(path)
            if lost is not None:
                return [*findings, ("file", False, f"store {path} {lost}")]
            return [*findings, _lock(path), _free_space(path)]
    except sqlite3.Error as error:
        holder = find_holder(path) if is_busy(error) else None
        return [*findings, ("file", False, str(translate(error, str(path))) + (f": {holder}" if holder else ""))]


def _inside(connection: sqlite3.Connection, path: Path) -> list[tuple[str, bool, str]]:
    status = SqliteSchema().read_status(connection.execute)
    findings = [examine_status(status), _integrity(connection)]
    # The first use of a file sets WAL.
    return (
        [*findings, _journal(connection), *_clock(connection), *_replaced(connection, path), _bloat(connection)]
        if status.current
        else findings
    )


def _clock(connection: sqlite3.Connection) -> list[tuple[str, bool, str]]:
    """A lease that was renewed in the future: the clock was set back since."""
    ahead = connection.execute(
        "SELECT (max(renewed_at) / 1000000.0) - (julianday('now') - 2440587.5) * 86400 FROM turnspit_workers"
    ).fetchone()[0]
    if ahead is None or ahead <= _SET_BACK:
        return []
    text = f"a worker renewed its lease {ahead:.0f} s from now: this machine's clock was set back since"
    return [("clock", False, f"{text}; what is scheduled waits as much longer: have it follow a time server")]


def _replaced(connection: sqlite3.Connection, path: Path) -> list[tuple[str, bool, str]]:
    """Whether a worker's process is older than the file: then it began with another one, whose jobs are not here."""
    [age] = connection.execute(
        "SELECT (julianday('now') - julianday(min(applied_at))) * 86400 FROM turnspit_schema"
    ).fetchone()
    workers = connection.execute(
        "SELECT pid FROM turnspit_workers WHERE host = ? AND stopped_at IS NULL", [socket.gethostname()]
    ).fetchall()
    older = [pid for (pid,) in workers if (age_of_process(pid) or 0.0) > age + _START]
    if not older or age > _RECENT:
        return []
    said = (
        f"{path} was made {age:.0f} s ago, when the worker process {older[0]} was running already: was the file that "
        "it began with moved or deleted? Then its jobs are in that one, but for the newest, if its log was left "
        f"behind. To go on with it, stop everything that uses the store in order, give {path} another name (what was "
        "enqueued since is in there), and move the old file back"
    )
    return [("advice", True, said)]


def _bloat(connection: sqlite3.Connection) -> tuple[str, bool, str]:
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    text = f"{pages * size / 1e6:.1f} MB, of which {free * size / 1e6:.1f} MB are free for what comes"
    if free * size > _MUCH_FREE and free > pages / 2:
        return "size", False, f"{text}: VACUUM gives them back, while nobody else writes"
    return "size", True, text


def _version() -> list[tuple[str, bool, str]]:
    version = sqlite3.sqlite_version_info
    fixed = version >= _FIXED_RESET_BUG or version[2] >= _BACKPORTS.get(version[:2], 1000)
    text = f"SQLite {sqlite3.sqlite_version}"
    if is_too_old():
        return [("version", False, f"{text}: Turnspit needs 3.38 or newer")]
    if fixed:
        return [("version", True, text)]
    advice = (
        f"{text}, as all before 3.51.3 (and 3.50.7, 3.44.6), can in rare cases damage a WAL file when two connections "
        "write and checkpoint at the same instant: Turnspit's turnstile keeps its own apart; prefer a newer Python "
        "build for a file that other programs write too"
    )
    return [("version", True, text), ("advice", True, advice)]


def _file_system(path: Path) -> tuple[str, bool, str]:
    folder = os.path.realpath(path.parent)
    best = ("", "unknown")
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "file system", True, "not known on this platform; keep the file off network drives"
    for line in mounts.splitlines():
        _, mount, kind, *_ = line.split(" ")
        inside = folder == mount or folder.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best[0]):
            best = mount, kind
    if best[1].startswith(_NETWORK_FILE_SYSTEMS):
        text = (
            f"{best[0]} is {best[1]}: WAL needs shared memory, which a network file system does not give; "
            "move the file to a local disk, or use PostgreSQL"
        )
        return "file system", False, text
    return "file system", True, f"{best[1]} at {best[0] or '/'}"


def _journal(connection: sqlite3.Connection) -> tuple[str, bool, str]:
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    return "journal", mode == "wal", f"journal_mode is {mode}" + ("" if mode == "wal" else ": Turnspit needs WAL")


def _lock(path: Path) -> tuple[str, bool, str]:
    refusal = explain_refusal(path)
    if refusal is not None:  # SQLite begins a transaction all the same: one that only reads
        return "privileges", False, f"store {path} {refusal}"
    # Not through the turnstile: it may be held by a worker that waits for the lock itself.
    connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=_LOCK_PATIENCE, isolation_level=None)
    with closing(connection):
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                return "file", False, str(translate(error, str(path)))
            reason = find_holder(path) or "another connection holds a transaction open: end it, or pass it as tx="
            return "lock", False, f"no turn to write within {_LOCK_PATIENCE:g} s ({error}): {reason}"
    found = find_lock(path)
    return ("lock", True, "free") if found is None else ("lock", False, f"{found.holder}: {found.cure}")


def find_lock(path: Path) -> StoreLock | None:
    """A process that is stopped while it holds the write lock: it lets nobody write until it goes on."""
    holder = find_holder(path)
    if holder is None or not holder.is_stopped:
        return None
    return StoreLock("nobody's turn to write", str(holder))


def _free_space(path: Path) -> tuple[str, bool, str]:
    free = shutil.disk_usage(path).free
    text = f"{free / 1e9:.1f} GB free"
    return "disk", free > 100_000_000, text if free > 100_000_000 else f"{text}: enqueue fails when it is full"


def _integrity(connection: sqlite3.Connection) -> tuple[str, bool, str]:
    answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    return "integrity", answer == "ok", "quick_check is ok" if answer == "ok" else f"{answer}: restore a backup"
