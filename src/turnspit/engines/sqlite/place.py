"""Checks the place of a store's file before SQLite opens it, whose own errors there do not help."""

import os
import stat
from pathlib import Path

from turnspit.errors import StoreRefused

__all__ = ["check_place", "explain_refusal", "find_file"]

_SMALLEST_DATABASE = 512
_READ_ONLY = getattr(os, "ST_RDONLY", 0)  # Windows has none
_EFFECTIVE = os.access in os.supports_effective_ids


def find_file(path: Path) -> os.stat_result | None:
    """The file's status; ``None`` if it does not exist yet.

    :raises StoreRefused: if this user may not enter its folder, or if it is a folder itself.
    """
    try:
        status = path.stat()
    except PermissionError as error:
        raise StoreRefused(
            f"store {path} cannot be reached: this user may not enter its folder; give it the right, or check the URL"
        ) from error
    except OSError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise StoreRefused(f"store {path} is a folder: name a file in it")
    return status


def check_place(path: Path) -> None:
    """Check that a store can be at this path.

    :raises StoreRefused: if it cannot.
    """
    file = find_file(path)
    if file is None and not path.parent.is_dir():
        raise StoreRefused(f"store {path} cannot be made: its folder does not exist; create {path.parent} first")
    if file is not None and 0 < file.st_size < _SMALLEST_DATABASE and stat.S_ISREG(file.st_mode):
        # SQLite would take such a short file for an empty database, and overwrite it.
        raise StoreRefused(f"store {path} is not an SQLite database: check the URL")


def explain_refusal(path: Path) -> str | None:
    """What the system does not let this process do with the store, after its name; ``None`` if it may write it."""
    log = [path.with_name(path.name + ending) for ending in ("-wal", "-shm")]
    try:
        if _READ_ONLY and os.statvfs(path.parent).f_flag & _READ_ONLY:
            return "cannot be written: its file system is mounted read-only"
        for file in (path, *log):
            if file.exists() and not _may(file, os.R_OK | os.W_OK):
                return f"cannot be written: this user may not read and write {file}; give it the right"
        if not all(file.exists() for file in log) and not _may(path.parent, os.W_OK | os.X_OK):
            return f"cannot be written: this user may make no file in {path.parent}, as SQLite must; give it the right"
    except OSError:
        return None
    return None


def _may(file: Path, mode: int) -> bool:
    return os.access(file, mode, effective_ids=_EFFECTIVE)
