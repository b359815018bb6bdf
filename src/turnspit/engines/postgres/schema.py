"""The schema of a store, made and brought up to date when it is first used."""

import re
from collections.abc import Iterable, Iterator

import psycopg

from turnspit.contract import SchemaStatus
from turnspit.engines.migrations import Execute, Migration, Schema, load_migrations
from turnspit.engines.postgres.opening import Connection
from turnspit.errors import StoreRefused

__all__ = ["PostgresSchema", "check_server", "migrate", "migrations"]

_OLDEST = 150000
_VERSION_TABLE = """CREATE TABLE {schema}.migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    works_with integer NOT NULL,            -- the oldest schema whose release can work with this one
    applied_at timestamptz NOT NULL DEFAULT now()
)"""
# Not CREATE SCHEMA IF NOT EXISTS: that needs the privilege to create one even where it exists.
_MAKE_SCHEMA = """DO $make$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = '{schema}') THEN CREATE SCHEMA {schema}; END IF;
END $make$;

"""
_PART = re.compile(r"(\$\w*\$).*?\1|'(?:[^']|'')*'|--[^\n]*|;|[^$';-]+|.", re.DOTALL)


def migrations() -> tuple[Migration, ...]:
    """Every migration, in order."""
    return load_migrations("turnspit.engines.postgres")


class PostgresSchema(Schema):
    """Tables in a schema of their own.

    :param name: the schema's name, which needs no quotes.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def migrations(self) -> tuple[Migration, ...]:
        return migrations()

    def named(self, sql: str) -> str:
        return sql.replace("{schema}", self.name)

    def read_status(self, execute: Execute) -> SchemaStatus:
        # Query the catalogue, not to_regclass(): that may answer from a cache older than the lock that migrate() took.
        query = "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
        query = f"{query} WHERE nspname = '{self.name}'"
        if not list(execute(f"{query} AND relname = 'migrations'")):
            return self.find_status(None, None)
        [(version, works_with)] = execute(f"SELECT max(version), max(works_with) FROM {self.name}.migrations")  # noqa: S608
        # Read after the version: the tables of a migration that commits in between then count as made.
        tables = {f"{self.name}.{name}" for (name,) in execute(query)}
        return self.find_status(version, works_with, tables)

    def migrate(self, execute: Execute, location: str = "") -> tuple[str, ...]:
        """As on every engine. Any number of processes may do this at once: they take turns."""
        execute(f"SELECT pg_advisory_xact_lock(hashtext('{self.name}'), 1)")
        return super().migrate(execute, location)

    def steps(self, since: int) -> Iterator[str]:
        if not since:
            yield self.named(_MAKE_SCHEMA)
        yield from super().steps(since)

    def begin(self) -> Iterable[str]:
        return (_VERSION_TABLE,)

    def record(self, migration: Migration) -> str:
        return (
            "INSERT INTO {schema}.migrations (version, name, works_with) "  # noqa: S608 (our own)
            f"VALUES ({migration.number}, '{migration.name}', {migration.works_with})"
        )

    def statements_of(self, script: str) -> Iterator[str]:
        pending = ""
        for part in _PART.finditer(script):
            pending += part[0]
            if part[0] == ";":
                yield pending
                pending = ""


def check_server(connection: Connection, location: str) -> None:
    """Refuse a server that is too old, and a database whose encoding lacks characters: a result or an error that cannot
    be stored would hold up its worker.

    :raises StoreRefused: before PostgreSQL 15, or if the database is in neither UTF8 nor SQL_ASCII.
    """
    if connection.info.server_version < _OLDEST:
        version = connection.info.parameter_status("server_version")
        raise StoreRefused(f"store {location} is PostgreSQL {version}: Turnspit needs 15 or newer")
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8", "SQL_ASCII"):
        raise StoreRefused(
            f"store {location} is a database in {encoding}, which cannot hold every text: give the jobs one of their "
            "own, made with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )


def migrate(connection: Connection, schema: PostgresSchema, location: str) -> tuple[str, ...]:
    """Apply what is missing, in a transaction of its own; the names applied.

    :raises SchemaMismatch: if the schema was made by a newer release that this one cannot work with, or if this user
        may not change it.
    """

    def execute(sql: str) -> Iterable[tuple[object, ...]]:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description is not None else ()

    status = schema.read_status(execute)
    status.refuse_too_new(location)
    status.refuse_incomplete(location)
    if not status.pending:
        return ()
    try:
        with connection.transaction():
            return schema.migrate(execute, location)
    except psycopg.errors.InsufficientPrivilege as error:
        status.refuse_too_old(location, f"and this user may not change it ({error.diag.message_primary})")
        raise
