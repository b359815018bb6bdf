"""The place of a store's file, looked at before SQLite opens it, whose own words there help nobody."""

import os
import stat
from pathlib import Path

from turnspit.errors import StoreRefused

__all__ = ["check_place", "find_file"]

_SMALLEST_DATABASE = 512


def find_file(path: Path) -> os.stat_result | None:
    """What the system knows of the file; ``None`` if there is none yet.

    :raises StoreRefused: if this user may not look, or if it is a folder.
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
    """See that a store can be there.

    :raises StoreRefused: if it cannot.
    """
    file = find_file(path)
    if file is None and not path.parent.is_dir():
        raise StoreRefused(f"store {path} cannot be made: its folder does not exist; create {path.parent} first")
    if file is not None and 0 < file.st_size < _SMALLEST_DATABASE and stat.S_ISREG(file.st_mode):
        # SQLite would take so short a file for an empty one, and overwrite it.
        raise StoreRefused(f"store {path} is not an SQLite database: check the URL")
