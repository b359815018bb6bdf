"""The schema of a file, made and brought up to date when it is first opened."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator

from turnspit.contract import SchemaStatus
from turnspit.contract.verbs import Row
from turnspit.engines.migrations import Migration, find_status, load_migrations, steps_of

__all__ = ["Execute", "migrate", "migrations", "read_status", "schema_sql", "statements_of"]

Execute = Callable[[str], Iterable[Row]]
"""Runs one statement on some connection."""

_VERSION_TABLE = """CREATE TABLE IF NOT EXISTS turnspit_schema (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    works_with INTEGER NOT NULL,            -- the oldest schema whose release can work with this one
    applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
)"""


def migrations() -> tuple[Migration, ...]:
    """Every migration, in order."""
    return load_migrations("turnspit.engines.sqlite")


def read_status(execute: Execute) -> SchemaStatus:
    """Where the schema of a file stands."""
    applied: tuple[int | None, int | None] = (None, None)
    if list(execute("SELECT 1 FROM sqlite_master WHERE name = 'turnspit_schema'")):
        [(version, works_with)] = execute("SELECT max(version), max(works_with) FROM turnspit_schema")
        applied = version, works_with
    return find_status(migrations(), applied)


def migrate(execute: Execute, location: str) -> tuple[str, ...]:
    """Apply what is missing, inside a transaction that the caller has begun; the names applied.

    :raises SchemaMismatch: if the file was made by a newer release that this one cannot work with.
    """
    status = read_status(execute)
    status.refuse_too_new(location)
    if not status.pending:
        return ()
    for step in _steps(status.current):
        for statement in statements_of(step):
            execute(statement)
    return status.pending


def schema_sql(since: int = 0) -> str:
    """The migrations after version ``since`` as one script, as ``turnspit migrate --sql`` prints it."""
    return "".join(_steps(since))


def _steps(since: int) -> Iterator[str]:
    return steps_of([_VERSION_TABLE], migrations(), _record, since)


def statements_of(script: str) -> Iterator[str]:
    """The statements of a script, cut where SQLite itself says that one is complete."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def _record(migration: Migration) -> str:
    return (
        "INSERT INTO turnspit_schema (version, name, works_with) "  # noqa: S608 (our own)
        f"VALUES ({migration.number}, '{migration.name}', {migration.works_with})"
    )
