"""Whose write-ahead log lies beside a file.

SQLite knows a log by its name alone. Beside a file that was put in the place of another one, as a backup is, it would
write the other's pages over it. So it is kept in mind which file had which log when it was opened.
"""

import contextlib
import os
from pathlib import Path

from turnspit.errors import EngineUnavailable

__all__ = ["note_wal", "refuse_foreign_wal", "remove_foreign_wal"]


def note_wal(path: Path) -> None:
    """A connection is open: the log that is there now is this file's own."""
    pair, note = _pair(path), _note_of(path)
    with contextlib.suppress(OSError):  # who may not write there only loses the check
        if pair is not None and _read(note) != pair:
            new = note.with_name(f"{note.name}.{os.getpid()}")
            new.write_text("{} {} {}".format(*pair))
            new.replace(note)


def refuse_foreign_wal(path: Path) -> None:
    """Look before the file is opened.

    :raises EngineUnavailable: if the log beside it is that of another file.
    """
    pair, known = _pair(path), _read(_note_of(path))
    if pair is None or known is None or pair[1:2] == known[1:2] or pair[::2] != known[::2]:
        return
    raise EngineUnavailable(
        f"store {path} was put in the place of another file, whose write-ahead log {path}-wal is still there, and "
        f"SQLite would write that over it: stop everything that uses the store, delete {path}-wal and {path}-shm, and "
        f"begin again (if the log is this file's own after all, delete {_note_of(path)} instead)"
    )


def remove_foreign_wal(path: Path) -> None:
    """Where the file is known to be new, as a test database is: remove the log of the one that was here before."""
    try:
        refuse_foreign_wal(path)
    except EngineUnavailable:
        for name in (f"{path}-wal", f"{path}-shm"):
            Path(name).unlink(missing_ok=True)


def _note_of(path: Path) -> Path:
    return Path(f"{path}-turnspit") / "wal"


def _pair(path: Path) -> tuple[int, int, int] | None:
    """Device, file and log; ``None`` where one of them is missing, or nothing is in the file yet."""
    try:
        file, log = path.stat(), Path(f"{path}-wal").stat()
    except OSError:
        return None
    return (file.st_dev, file.st_ino, log.st_ino) if file.st_size else None


def _read(note: Path) -> tuple[int, int, int] | None:
    try:
        device, file, log = map(int, note.read_text().split())
    except (OSError, ValueError):
        return None
    return device, file, log
