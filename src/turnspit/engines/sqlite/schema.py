"""Numbered migrations of a file, applied by themselves when it is first opened."""

import re
import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from turnspit.contract import SchemaStatus
from turnspit.errors import SchemaMismatch

__all__ = ["migrate", "migrations", "read_status", "schema_sql"]

_FILE = re.compile(r"^(\d{4})_\w+\.sql$")
_VERSION_TABLE = """CREATE TABLE IF NOT EXISTS turnspit_schema (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
)"""


def migrations() -> list[tuple[int, str, str]]:
    """Number, name and SQL of every migration, in order."""
    folder = files("turnspit.engines.sqlite").joinpath("migrations")
    found = [
        (int(match[1]), Path(entry.name).stem, entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if (match := _FILE.match(entry.name))
    ]
    return sorted(found)


def read_status(connection: sqlite3.Connection) -> SchemaStatus:
    """Where the schema of this connection's file stands."""
    known = migrations()
    exists = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'turnspit_schema'").fetchone()
    row = connection.execute("SELECT max(version) FROM turnspit_schema").fetchone() if exists else (None,)
    current = row[0] or 0
    return SchemaStatus(current, known[-1][0], tuple(name for number, name, _ in known if number > current))


def migrate(connection: sqlite3.Connection, location: str) -> tuple[str, ...]:
    """Apply what is missing, in one transaction; the names applied. Safe from many processes at once.

    :raises SchemaMismatch: if the file was made by a newer release.
    """
    status = read_status(connection)
    if status.current > status.newest:
        raise SchemaMismatch(
            f"store {location} has schema {status.current}, but this Turnspit knows {status.newest}: "
            "upgrade turnspit on this machine"
        )
    if not status.pending:
        return ()
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_VERSION_TABLE)
        current = read_status(connection).current
        applied = []
        for number, name, sql in migrations():
            if number > current:
                for statement in _statements(sql):
                    connection.execute(statement)
                connection.execute("INSERT INTO turnspit_schema (version, name) VALUES (?, ?)", (number, name))
                applied.append(name)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return tuple(applied)


def schema_sql() -> str:
    """Every migration as one script, as ``turnspit migrate --sql`` prints it."""
    parts = [_VERSION_TABLE + ";\n"]
    for number, name, sql in migrations():
        parts.append(f"-- {name}\n{sql.strip()}\n")
        parts.append(f"INSERT INTO turnspit_schema (version, name) VALUES ({number}, '{name}');\n")  # noqa: S608 (our own)
    return "\n".join(parts)


def _statements(sql: str) -> Iterator[str]:
    """The statements of a script, cut where SQLite itself says that one is complete."""
    pending = ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
