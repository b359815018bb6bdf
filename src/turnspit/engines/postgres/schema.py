"""The schema of a store, made and brought up to date when it is first used."""

from collections.abc import Iterator

import psycopg

from turnspit.contract import SchemaStatus
from turnspit.engines.migrations import Migration, find_status, load_migrations, steps_of
from turnspit.engines.postgres.connection import Connection
from turnspit.errors import EngineUnavailable

__all__ = ["check_version", "migrate", "migrations", "read_status", "schema_sql"]

_OLDEST = 150000
_NAMESPACE = "SELECT oid FROM pg_namespace WHERE nspname = %s"
_VERSION_TABLE = """CREATE TABLE {schema}.migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    works_with integer NOT NULL,            -- the oldest schema whose release can work with this one
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


def migrations() -> tuple[Migration, ...]:
    """Every migration, in order."""
    return load_migrations("turnspit.engines.postgres")


def check_version(connection: Connection, location: str) -> None:
    """Refuse a server that is too old.

    :raises EngineUnavailable: before PostgreSQL 15.
    """
    if connection.info.server_version < _OLDEST:
        version = connection.info.parameter_status("server_version")
        raise EngineUnavailable(f"store {location} is PostgreSQL {version}: Turnspit needs 15 or newer")


def read_status(connection: Connection, schema: str) -> SchemaStatus:
    """Where a schema stands."""
    # Asked of the catalogue by a query: to_regclass() may answer from a cache that is older than the lock of migrate().
    query = "SELECT FROM pg_class WHERE relname = 'migrations' AND relnamespace = (%s)"
    applied: tuple[int | None, int | None] | None = None
    if connection.execute(query.replace("%s", _NAMESPACE), (schema,)).fetchone() is not None:
        newest = f"SELECT max(version), max(works_with) FROM {schema}.migrations"  # noqa: S608
        applied = connection.execute(newest).fetchone()
    return find_status(migrations(), applied or (None, None))


def migrate(connection: Connection, schema: str, location: str) -> tuple[str, ...]:
    """Apply what is missing; the names applied. Any number of processes may do this at once: they take turns.

    :raises SchemaMismatch: if the schema was made by a newer release that this one cannot work with, or if this user
        may not change it.
    """
    status = read_status(connection, schema)
    status.refuse_too_new(location)
    if not status.pending:
        return ()
    try:
        return _apply(connection, schema, location)
    except psycopg.errors.InsufficientPrivilege as error:
        status.refuse_too_old(location, f"and this user may not change it ({error.diag.message_primary})")
        raise


def _apply(connection: Connection, schema: str, location: str) -> tuple[str, ...]:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s), 1)", (schema,))
        status = read_status(connection, schema)
        status.refuse_too_new(location)
        if status.pending:
            if connection.execute(_NAMESPACE, (schema,)).fetchone() is None:
                connection.execute(f"CREATE SCHEMA {schema}")
            for step in _steps(schema, status.current):
                connection.execute(step)
    return status.pending


def schema_sql(schema: str, since: int = 0) -> str:
    """The migrations after version ``since`` as one script, as ``turnspit migrate --sql`` prints it."""
    begin = "" if since else f"CREATE SCHEMA IF NOT EXISTS {schema};\n\n"
    return begin + "".join(_steps(schema, since))


def _steps(schema: str, since: int) -> Iterator[str]:
    for step in steps_of([_VERSION_TABLE], migrations(), _record, since):
        yield step.replace("{schema}", schema)


def _record(migration: Migration) -> str:
    return (
        "INSERT INTO {schema}.migrations (version, name, works_with) "  # noqa: S608 (our own)
        f"VALUES ({migration.number}, '{migration.name}', {migration.works_with})"
    )
