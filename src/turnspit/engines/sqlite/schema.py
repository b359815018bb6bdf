"""The schema of a file, made and brought up to date when it is first opened."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress

from turnspit.contract import SchemaStatus
from turnspit.engines.migrations import Execute, Migration, Schema, load_migrations
from turnspit.errors import StoreRefused

__all__ = ["SqliteSchema", "check_sqlite", "is_too_old", "migrations"]

_OLDEST = (3, 38)
"""The first with ``->>``."""
_VERSION_TABLE = """CREATE TABLE IF NOT EXISTS turnspit_schema (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    works_with INTEGER NOT NULL,            -- the oldest schema whose release can work with this one
    applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
)"""


def migrations() -> tuple[Migration, ...]:
    """Every migration, in order."""
    return load_migrations("turnspit.engines.sqlite")


class SqliteSchema(Schema):
    """Tables whose names begin with ``turnspit_``."""

    def migrations(self) -> tuple[Migration, ...]:
        return migrations()

    def read_status(self, execute: Execute) -> SchemaStatus:
        if not list(execute("SELECT 1 FROM sqlite_master WHERE name = 'turnspit_schema'")):
            return self.find_status(None, None)
        [(version, works_with)] = execute("SELECT max(version), max(works_with) FROM turnspit_schema")
        # Read after the version: the tables of a migration that commits in between then count as made.
        tables = {str(name) for (name,) in execute("SELECT name FROM sqlite_master")}
        return self.find_status(version, works_with, tables)

    def migrate(self, execute: Execute, location: str = "") -> tuple[str, ...]:
        """As on every engine. A savepoint holds it together where the caller's driver begins no transaction for it."""
        if not self.read_status(execute).pending:
            return super().migrate(execute, location)
        execute("SAVEPOINT turnspit_migration")
        try:
            applied = super().migrate(execute, location)
        except BaseException:
            with suppress(sqlite3.Error):  # a full disk has rolled everything back
                execute("ROLLBACK TO turnspit_migration")
            raise
        execute("RELEASE turnspit_migration")
        return applied

    def begin(self) -> Iterable[str]:
        return (_VERSION_TABLE,)

    def record(self, migration: Migration) -> str:
        return (
            "INSERT INTO turnspit_schema (version, name, works_with) "  # noqa: S608 (our own)
            f"VALUES ({migration.number}, '{migration.name}', {migration.works_with})"
        )

    def statements_of(self, script: str) -> Iterator[str]:
        pending = ""
        for line in script.splitlines(keepends=True):
            pending += line
            if sqlite3.complete_statement(pending):
                yield pending
                pending = ""


def is_too_old() -> bool:
    """Whether the SQLite library of this Python lacks what the SQL here needs."""
    return sqlite3.sqlite_version_info < _OLDEST


def check_sqlite(location: str) -> None:
    """Refuse an SQLite library that is too old, before it fails in the middle of a claim.

    :raises StoreRefused: before SQLite 3.38.
    """
    if is_too_old():
        raise StoreRefused(
            f"store {location} cannot be used: this Python comes with SQLite {sqlite3.sqlite_version}, and Turnspit "
            "needs 3.38 or newer: use a Python build with a newer SQLite, or PostgreSQL"
        )
