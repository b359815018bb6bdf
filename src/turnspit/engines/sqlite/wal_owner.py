"""Notices a write-ahead log that belongs to another file.

SQLite knows a log by its name alone. If a file was replaced, as by a backup, and the old file's log is still there,
SQLite would write the old pages into the new file. So a note beside the file holds which log belonged to which file.
"""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from turnspit.errors import EngineUnavailable

__all__ = ["note_wal", "refuse_foreign_wal", "remove_foreign_wal"]


class _Inodes(NamedTuple):
    """A file and its log, on one device."""

    device: int
    file: int
    log: int


def note_wal(path: Path) -> None:
    """Note, once a connection is open, that the log that is there now belongs to this file."""
    inodes, note = _inodes(path), _note_of(path)
    with contextlib.suppress(OSError):  # without the right to write there, only this check is lost
        if inodes is not None and _read(note) != inodes:
            new = note.with_name(f"{note.name}.{os.getpid()}")
            new.write_text("{} {} {}".format(*inodes))
            new.replace(note)


def refuse_foreign_wal(path: Path) -> None:
    """Check the log before the file is opened.

    :raises EngineUnavailable: if the log beside it is that of another file.
    """
    found, noted = _inodes(path), _read(_note_of(path))
    if found is None or noted is None or found.file == noted.file:
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


def _inodes(path: Path) -> _Inodes | None:
    """Those that are there now; ``None`` if the file or its log is missing, or the file is still empty."""
    try:
        file, log = path.stat(), Path(f"{path}-wal").stat()
    except OSError:
        return None
    return _Inodes(file.st_dev, file.st_ino, log.st_ino) if file.st_size else None


def _read(note: Path) -> _Inodes | None:
    try:
        device, file, log = map(int, note.read_text().split())
    except (OSError, ValueError):
        return None
    return _Inodes(device, file, log)
