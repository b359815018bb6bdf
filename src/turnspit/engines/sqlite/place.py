"""Checks the place of a store's file before SQLite opens it, whose own errors there do not help."""

import os
import stat
from pathlib import Path

from turnspit.errors import StoreRefused

__all__ = ["check_place", "find_file"]

_SMALLEST_DATABASE = 512


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
