"""Numbered migrations of a schema, applied by themselves when a store is first opened."""

import re
from functools import cache
from importlib.resources import files
from pathlib import Path

from turnspit.contract import SchemaStatus
from turnspit.engines.postgres.connection import Connection
from turnspit.errors import EngineUnavailable, SchemaMismatch

__all__ = ["check_version", "migrate", "read_status", "schema_sql"]

_FILE = re.compile(r"^(\d{4})_\w+\.sql$")
_OLDEST = 150000
_NAMESPACE = "SELECT oid FROM pg_namespace WHERE nspname = %s"
_VERSION_TABLE = """CREATE TABLE {schema}.migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


@cache
def _migrations() -> list[tuple[int, str, str]]:
    """Number, name and SQL of every migration, in order."""
    folder = files("turnspit.engines.postgres").joinpath("migrations")
    return sorted(
        (int(match[1]), Path(entry.name).stem, entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if (match := _FILE.match(entry.name))
    )


def check_version(connection: Connection, location: str) -> None:
    """Refuse a server that is too old.

    :raises EngineUnavailable: before PostgreSQL 15.
    """
    if connection.info.server_version < _OLDEST:
        version = connection.info.parameter_status("server_version")
        raise EngineUnavailable(f"store {location} is PostgreSQL {version}: Turnspit needs 15 or newer")


def read_status(connection: Connection, schema: str) -> SchemaStatus:
    """Where a schema stands."""
    known = _migrations()
    # Asked of the catalogue by a query: to_regclass() may answer from a cache that is older than the lock of migrate().
    query = "SELECT FROM pg_class WHERE relname = 'migrations' AND relnamespace = (%s)"
    exists = connection.execute(query.replace("%s", _NAMESPACE), (schema,)).fetchone() is not None
    current = 0
    if exists:
        newest = connection.execute(f"SELECT max(version) FROM {schema}.migrations").fetchone()  # noqa: S608
        current = (newest[0] if newest else None) or 0
    return SchemaStatus(current, known[-1][0], tuple(name for number, name, _ in known if number > current))


def migrate(connection: Connection, schema: str, location: str) -> tuple[str, ...]:
    """Apply what is missing; the names applied. Any number of processes may do this at once: they take turns.

    :raises SchemaMismatch: if the schema was made by a newer release.
    """
    status = _checked(read_status(connection, schema), location)
    if not status.pending:
        return ()
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s), 1)", (schema,))
        status = _checked(read_status(connection, schema), location)
        if not status.pending:
            return ()
        if not _has_schema(connection, schema):
            connection.execute(f"CREATE SCHEMA {schema}")
        if status.current == 0:
            connection.execute(_VERSION_TABLE.replace("{schema}", schema))
        for number, name, sql in _migrations():
            if name in status.pending:
                connection.execute(_named(sql, schema))
                connection.execute(_record(number, name, schema))
    return status.pending


def schema_sql(schema: str) -> str:
    """Every migration as one script, as ``turnspit migrate --sql`` prints it."""
    parts = [f"CREATE SCHEMA IF NOT EXISTS {schema};\n", _VERSION_TABLE.replace("{schema}", schema) + ";\n"]
    for number, name, sql in _migrations():
        parts.append(f"-- {name}\n{_named(sql, schema).strip()}\n")
        parts.append(f"{_record(number, name, schema)};\n")
    return "\n".join(parts)


def _checked(status: SchemaStatus, location: str) -> SchemaStatus:
    if status.current > status.newest:
        raise SchemaMismatch(
            f"store {location} has schema {status.current}, but this Turnspit knows {status.newest}: "
            "upgrade turnspit on this machine"
        )
    return status


def _has_schema(connection: Connection, schema: str) -> bool:
    return connection.execute(_NAMESPACE, (schema,)).fetchone() is not None


def _named(sql: str, schema: str) -> str:
    return sql.replace("{schema}", schema)


def _record(number: int, name: str, schema: str) -> str:
    return f"INSERT INTO {schema}.migrations (version, name) VALUES ({number}, '{name}')"  # noqa: S608 (our own)
