"""Reads the schema of a file, and brings it up to date, on short-lived connections. Nothing here keeps a deadline."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from turnspit.contract import SchemaStatus
from turnspit.engines.migrations import Execute, refuse_unprepared
from turnspit.engines.sqlite.connection import connect, connect_to_look
from turnspit.engines.sqlite.errors import translate
from turnspit.engines.sqlite.holders import turnstile_of
from turnspit.engines.sqlite.locks import begin
from turnspit.engines.sqlite.place import check_place, find_file
from turnspit.engines.sqlite.schema import SqliteSchema, check_sqlite
from turnspit.engines.sqlite.turnstile import Turnstile
from turnspit.engines.sqlite.wal_owner import refuse_foreign_wal

__all__ = ["SchemaFile"]

_PATIENCE = 10.0


class SchemaFile:
    """The schema of a store's file.

    :param synchronous: SQLite's setting of this name, for migrations.
    :param migrates: whether the first use brings the schema up to date.
    """

    schema = SqliteSchema()

    def __init__(self, path: Path, synchronous: str, *, migrates: bool) -> None:
        self._path = path
        self._synchronous = synchronous
        self._migrates = migrates
        self.is_migrating = False
        """Whether a migration no longer waits for the write lock, but works."""

    def migrate(self) -> tuple[str, ...]:
        """See ``contract``. Processes take turns."""
        check_sqlite(str(self._path))
        check_place(self._path)
        turnstile = Turnstile(turnstile_of(self._path))
        with closing(turnstile), turnstile, self._connected(self._connect) as connection:
            if not self.schema.read_status(connection.execute).pending:
                return self.schema.migrate(connection.execute, str(self._path))
            connection.execute("PRAGMA busy_timeout = 500")  # then ``begin`` finds out who holds the lock
            begin(connection, self._path, _PATIENCE, lambda: True)
            self.is_migrating = True
            try:
                with connection:
                    return self.schema.migrate(connection.execute, str(self._path))
            finally:
                self.is_migrating = False

    def read_status(self) -> SchemaStatus:
        """See ``contract.schema_status``."""
        if find_file(self._path) is None:
            with closing(sqlite3.connect(":memory:")) as empty:
                return self.schema.read_status(empty.execute)
        with self._connected(connect_to_look) as connection:
            return self.schema.read_status(connection.execute)

    def prepare(self) -> None:
        """See ``contract``."""
        check_sqlite(str(self._path))
        if not self._migrates:
            refuse_unprepared(self.read_status(), str(self._path))
        elif not self._is_prepared():
            self.migrate()

    def prepare_in(self, execute: Execute, begin: Callable[[], None]) -> None:
        """``prepare``, in a caller's transaction. It is only begun, by ``begin``, if there is something to write: one
        that has read could wait for no other writer any more.
        """
        check_sqlite(str(self._path))
        status = self.schema.read_status(execute)
        if self._migrates and status.pending:
            begin()
            self.schema.migrate(execute, str(self._path))
        else:
            refuse_unprepared(status, str(self._path))

    def _is_prepared(self) -> bool:
        """Whether nothing is left to do. It takes no turn, so that it works while another process is stopped in its."""
        if find_file(self._path) is None:
            return False
        with self._connected(_connect_as_it_is) as connection:
            is_wal = connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            status = self.schema.read_status(connection.execute)
        status.refuse_too_new(str(self._path))
        status.refuse_incomplete(str(self._path))
        return is_wal and not status.pending

    def _connect(self, path: Path) -> sqlite3.Connection:
        return connect(path, synchronous=self._synchronous)

    @contextmanager
    def _connected(self, connect_: Callable[[Path], sqlite3.Connection]) -> Iterator[sqlite3.Connection]:
        """A connection for a moment, with SQLite's errors translated."""
        find_file(self._path)
        refuse_foreign_wal(self._path)
        try:
            with closing(connect_(self._path)) as connection:
                connection.execute(f"PRAGMA busy_timeout = {int(_PATIENCE * 1000)}")
                yield connection
        except sqlite3.Error as error:
            raise translate(error, str(self._path)) from error


def _connect_as_it_is(path: Path) -> sqlite3.Connection:
    """Unlike a read-only connection, this may roll back what a killed process left behind."""
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None)
