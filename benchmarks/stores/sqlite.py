"""A SQLite file a measurement, on a real disk."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path

from benchmarks.stores.base import Kind, Store

__all__ = ["Sqlite"]


class Sqlite(Kind):
    """Files in one folder."""

    title = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.conditions = f"SQLite {sqlite3.sqlite_version}, WAL, synchronous=FULL for every system"

    @contextmanager
    def new_store(self) -> Iterator[Store]:
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        os.sync()  # what the step before has not written yet must not slow this one down
        store = File(folder / "store.db")
        try:
            yield store
        finally:
            store.close()
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Nothing runs between measurements."""


class File(Store):
    """One file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.url = f"sqlite:///{path}"

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=10, isolation_level=None)

    def number(self, question: str) -> int:
        row = self._connection.execute(question).fetchone()
        return int(row[0] or 0) if row else 0

    def execute(self, sql: str) -> None:
        self._connection.execute(sql)

    def columns(self, table: str) -> list[str]:
        return [column[0] for column in self._connection.execute(f"SELECT * FROM {table} LIMIT 0").description]

    def settle(self) -> None:
        with closing(sqlite3.connect(self._path, timeout=10, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        os.sync()

    def close(self) -> None:
        """Let go of the file."""
        if "_connection" in self.__dict__:
            self._connection.close()
