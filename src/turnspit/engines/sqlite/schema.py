"""Numbered migrations of a file, applied by themselves when it is first opened."""

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from turnspit.contract import SchemaStatus
from turnspit.contract.verbs import Row
from turnspit.errors import SchemaMismatch

__all__ = ["migrate", "migrations", "read_status", "schema_sql"]

Execute = Callable[[str], Iterable[Row]]
"""Runs one statement on some connection."""

_FILE = re.compile(r"^(\d{4})_\w+\.sql$")
_VERSION_TABLE = """CREATE TABLE IF NOT EXISTS turnspit_schema (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
)"""


@cache
def migrations() -> list[tuple[int, str, str]]:
    """Number, name and SQL of every migration, in order."""
    folder = files("turnspit.engines.sqlite").joinpath("migrations")
    found = [
        (int(match[1]), Path(entry.name).stem, entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if (match := _FILE.match(entry.name))
    ]
    return sorted(found)


def read_status(execute: Execute) -> SchemaStatus:
    """Where the schema of a file stands."""
    known = migrations()
    exists = list(execute("SELECT 1 FROM sqlite_master WHERE name = 'turnspit_schema'"))
    [(version,)] = execute("SELECT max(version) FROM turnspit_schema") if exists else [(None,)]
    current = version or 0
    return SchemaStatus(current, known[-1][0], tuple(name for number, name, _ in known if number > current))


def migrate(execute: Execute, location: str) -> tuple[str, ...]:
    """Apply what is missing, inside a transaction that the caller has begun; the names applied.

    :raises SchemaMismatch: if the file was made by a newer release.
    """
    status = read_status(execute)
    if status.current > status.newest:
        raise SchemaMismatch(
            f"store {location} has schema {status.current}, but this Turnspit knows {status.newest}: "
            "upgrade turnspit on this machine"
        )
    if not status.pending:
        return ()
    execute(_VERSION_TABLE)
    for number, name, sql in migrations():
        if name in status.pending:
            for statement in _statements(sql):
                execute(statement)
            execute(_record(number, name))
    return status.pending


def schema_sql() -> str:
    """Every migration as one script, as ``turnspit migrate --sql`` prints it."""
    parts = [_VERSION_TABLE + ";\n"]
    for number, name, sql in migrations():
        parts.append(f"-- {name}\n{sql.strip()}\n")
        parts.append(f"{_record(number, name)};\n")
    return "\n".join(parts)


def _record(number: int, name: str) -> str:
    return f"INSERT INTO turnspit_schema (version, name) VALUES ({number}, '{name}')"  # noqa: S608 (our own)


def _statements(sql: str) -> Iterator[str]:
    """The statements of a script, cut where SQLite itself says that one is complete."""
    pending = ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
