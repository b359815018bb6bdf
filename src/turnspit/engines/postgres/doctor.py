"""What can be wrong with a database, and what to do."""

from contextlib import closing
from typing import Any

import psycopg

from turnspit.contract import SchemaStatus
from turnspit.engines.postgres.errors import translate
from turnspit.engines.postgres.opening import Connection, connect
from turnspit.engines.postgres.schema import PostgresSchema
from turnspit.engines.postgres.settings import Settings

__all__ = ["diagnose"]

_LONG = 300
_CROWDED = 0.8

Finding = tuple[str, bool, str]


def diagnose(settings: Settings) -> list[Finding]:
    """Each finding: subject, whether it is well, and what it is or what to do."""
    try:
        with closing(connect(settings)) as connection:
            looks = (_version, _writable, _durability, _connections, _oldest_transaction)
            findings = [_schema(PostgresSchema(settings.schema).read_status(connection.execute))]
            return [*(look(connection) for look in looks), *findings, _waking(settings)]
    except psycopg.Error as error:
        return [("connection", False, str(translate(error, settings.location)))]


def _one(connection: Connection, sql: str) -> Any:
    row = connection.execute(sql).fetchone()
    return row[0] if row is not None else None


def _version(connection: Connection) -> Finding:
    version = connection.info.parameter_status("server_version") or ""
    is_well = connection.info.server_version >= 150000
    return "version", is_well, f"PostgreSQL {version}" + ("" if is_well else ": Turnspit needs 15 or newer")


def _writable(connection: Connection) -> Finding:
    read_only = _one(connection, "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean")
    text = "read-only: connect to a primary that can be written" if read_only else "can be written"
    return "role", not read_only, text


def _durability(connection: Connection) -> Finding:
    fsync = _one(connection, "SHOW fsync")
    commit = _one(connection, "SHOW synchronous_commit")
    text = f"fsync is {fsync}, synchronous_commit is {commit}"
    return "durability", fsync == "on", text + ("" if fsync == "on" else ": a power cut can damage the database")


def _connections(connection: Connection) -> Finding:
    used = _one(connection, "SELECT count(*) FROM pg_stat_activity")
    most = int(_one(connection, "SHOW max_connections"))
    is_well = used < most * _CROWDED
    text = f"{used} of {most} in use"
    return "connections", is_well, text if is_well else f"{text}: use a pooler, or raise max_connections"


def _oldest_transaction(connection: Connection) -> Finding:
    row = connection.execute(
        "SELECT extract(epoch FROM clock_timestamp() - xact_start)::bigint, pid, application_name "
        "FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 1"
    ).fetchone()
    if row is None or row[0] is None:
        return "transactions", True, "none holds an old snapshot"
    age, pid, name = row
    text = f"the oldest one has been open for {age} s (pid {pid}{f', {name}' if name else ''})"
    advice = ": it keeps dead rows from being removed, and claims get slower; end it with pg_terminate_backend"
    return "transactions", age < _LONG, text if age < _LONG else text + advice


def _schema(status: SchemaStatus) -> Finding:
    if status.is_newer and not status.is_too_new:
        return "schema", True, f"version {status.current}, of a newer Turnspit, with which this one still works"
    if status.is_newer:
        return "schema", False, f"version {status.current} is newer than this Turnspit ({status.newest}): upgrade it"
    if status.pending:
        return "schema", False, f"version {status.current}; run `turnspit migrate` for {', '.join(status.pending)}"
    return "schema", True, f"version {status.current}, up to date"


def _waking(settings: Settings) -> Finding:
    if settings.poll_only:
        return "waking", True, "poll_only: workers look once a second"
    return "waking", True, f"LISTEN {settings.channel}"
