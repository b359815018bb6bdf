"""Notices a write-ahead log that belongs to another file, and one that was deleted while it was in use.

SQLite knows a log by its name alone. If a file was replaced, as by a backup, and the old file's log is still there,
SQLite would write the old pages into the new file. If a log is deleted, those who have it open go on in it, and who
comes later may begin another one: each then reads pages of its own at the places that their common index names. So a
note beside the file holds which log belonged to which file.
"""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from turnspit.engines.sqlite.holders import explain_lost_log
from turnspit.errors import EngineUnavailable

__all__ = ["Inodes", "has_lost_wal", "note_wal", "refuse_foreign_wal", "remove_foreign_wal"]


class Inodes(NamedTuple):
    """A file and its log, on one device."""

    device: int
    file: int
    log: int


def note_wal(path: Path) -> Inodes | None:
    """Note, once a connection is open, that the log that is there now belongs to this file: both, if both are there."""
    inodes, note = _inodes(path), _note_of(path)
    with contextlib.suppress(OSError):  # without the right to write there, only this check is lost
        if inodes is not None and _read(note) != inodes:
            new = note.with_name(f"{note.name}.{os.getpid()}")
            new.write_text("{} {} {}".format(*inodes))
            new.replace(note)
    return inodes


def has_lost_wal(path: Path, opened: Inodes) -> bool:
    """Whether the file is still the one that was opened, and its log is not: somebody deleted that."""
    try:
        if path.stat().st_ino != opened.file:
            return False
        return Path(f"{path}-wal").stat().st_ino != opened.log
    except FileNotFoundError as error:
        return str(error.filename).endswith("-wal")
    except OSError:
        return False


def refuse_foreign_wal(path: Path) -> None:
    """Check the log before the file is opened.

    :raises EngineUnavailable: if the log beside it is that of another file, or if another process has one open that
        was deleted (Linux).
    """
    found, noted = _inodes(path), _read(_note_of(path))
    if noted is None:
        return
    # Without the index of the log, nobody has it open: then it went in order, and this is the first to come after.
    if has_lost_wal(path, noted) and Path(f"{path}-shm").exists():
        lost = explain_lost_log(path)
        if lost is not None:
            raise EngineUnavailable(f"store {path} {lost}")
    if found is None or found.file == noted.file:
        return
    if (found.device, found.log) != (noted.device, noted.log):
        return
    raise EngineUnavailable(
        f"store {path} was put in the place of another file, whose write-ahead log {path}-wal is still there, and "
        f"SQLite would write that over it: stop everything that uses the store, delete {path}-wal and {path}-shm, and "
        f"begin again (if the log is this file's own after all, delete {_note_of(path)} instead)"
    )


def remove_foreign_wal(path: Path) -> None:
    """For a file that is known to be new, as a test database: remove the log of the file that was here before."""
    try:
        refuse_foreign_wal(path)
    except EngineUnavailable:
        for name in (f"{path}-wal", f"{path}-shm"):
            Path(name).unlink(missing_ok=True)


def _note_of(path: Path) -> Path:
    return Path(f"{path}-turnspit") / "wal"


def _inodes(path: Path) -> Inodes | None:
    """Those that are there now; ``None`` if the file or its log is missing, or the file is still empty."""
    try:
        file, log = path.stat(), Path(f"{path}-wal").stat()
    except OSError:
        return None
    return Inodes(file.st_dev, file.st_ino, log.st_ino) if file.st_size else None


def _read(note: Path) -> Inodes | None:
    try:
        device, file, log = map(int, note.read_text().split())
    except (OSError, ValueError):
        return None
    return Inodes(device, file, log)
