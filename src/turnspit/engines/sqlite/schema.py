"""The schema of a file, made and brought up to date when it is first opened."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress

from turnspit.contract import SchemaStatus
from turnspit.engines.migrations import Execute, Migration, Schema, load_migrations

__all__ = ["SqliteSchema", "migrations"]

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
        # After the version: a migration that commits in between has made its tables.
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
