"""What the systems on a SQLite file share: looking into the file from outside."""

import sqlite3
from functools import cached_property
from pathlib import Path

__all__ = ["Look"]


class Look:
    """Questions to a file, on one connection that only reads."""

    def __init__(self, store: Path) -> None:
        self._store = store

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        return sqlite3.connect(self._store, timeout=10, isolation_level=None)

    def number(self, sql: str) -> int:
        """The first value of the first row; 0 where there is none."""
        row = self._connection.execute(sql).fetchone()
        return int(row[0]) if row else 0
