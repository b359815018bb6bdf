"""Stores on PostgreSQL that have their tables already.

A server works as long on making and dropping the tables of a store as on all that most tests do with them. So a schema
that its test left as it was made is emptied, and the next test gets it. Nothing in it tells of that: its tables are
without a page, and its numbers begin at 1 again.
"""

import contextlib
import time
from typing import Any, NamedTuple

import psycopg

from turnspit.engines.postgres.schema import PostgresSchema

__all__ = ["PreparedSchema", "PreparedSchemas"]

_PATIENCE = 0.5
"""Seconds in which the server forgets the connections that a test has closed."""
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_MADE = "SELECT coalesce(array_agg(oid), '{{}}') FROM pg_class WHERE relnamespace = '{schema}'::regnamespace"
# The partitions of the days that a test's clock has shown.
_ADDED_DAYS = """
SELECT oid::regclass::text FROM pg_class
WHERE relnamespace = '{schema}'::regnamespace AND relkind = 'r' AND relispartition AND oid <> ALL (%s)
"""
_FILLED = """
SELECT string_agg(oid::regclass::text, ', ') FROM pg_class
WHERE relnamespace = '{schema}'::regnamespace AND relkind = 'r' AND relname <> 'migrations'
    AND pg_relation_size(oid) > 0
"""
_BEGIN_AT_ONE = "SELECT setval(seqrelid, seqstart, false) FROM pg_sequence WHERE seqrelid = ANY (%s)"
# All of it but where it is on the disk, and what statistics say.
_SHAPE = """
WITH class AS (SELECT * FROM pg_class WHERE relnamespace = '{schema}'::regnamespace), part(line) AS (
    SELECT (oid, relname, relkind, relowner, relpersistence, relrowsecurity, relacl, reloptions)::text FROM class
    UNION ALL SELECT pg_attribute::text FROM pg_attribute WHERE attrelid IN (SELECT oid FROM class)
    UNION ALL SELECT pg_attrdef::text FROM pg_attrdef WHERE adrelid IN (SELECT oid FROM class)
    UNION ALL SELECT pg_index::text FROM pg_index WHERE indrelid IN (SELECT oid FROM class)
    UNION ALL SELECT pg_trigger::text FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM class)
    UNION ALL SELECT pg_rewrite::text FROM pg_rewrite WHERE ev_class IN (SELECT oid FROM class)
    UNION ALL SELECT pg_sequence::text FROM pg_sequence WHERE seqrelid IN (SELECT oid FROM class)
    UNION ALL SELECT pg_constraint::text FROM pg_constraint WHERE connamespace = '{schema}'::regnamespace
    UNION ALL SELECT pg_proc::text FROM pg_proc WHERE pronamespace = '{schema}'::regnamespace
    UNION ALL SELECT pg_type::text FROM pg_type WHERE typnamespace = '{schema}'::regnamespace
    UNION ALL SELECT pg_namespace::text FROM pg_namespace WHERE nspname = '{schema}'
    UNION ALL SELECT migrations::text FROM {schema}.migrations
)
SELECT md5(string_agg(line, ' ' ORDER BY line)) FROM part
"""


class PreparedSchema(NamedTuple):
    """A schema with its tables."""

    name: str
    classes: list[int]
    shape: str


class PreparedSchemas:
    """The schemas of a database that wait for the next test.

    They are emptied through one connection: a new one would have to read the catalog first, for half of the time.

    :param url: of a database that only the tests of this process use.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None
        self.waiting: list[PreparedSchema] = []

    def take(self, new_name: str) -> PreparedSchema:
        """One that waits; else a new one of this name."""
        if self.waiting:
            return self.waiting.pop()
        with psycopg.connect(self._url) as connection:
            connection.execute(PostgresSchema(new_name).sql())
            return PreparedSchema(new_name, _value(connection, _MADE, new_name), _value(connection, _SHAPE, new_name))

    def give_back(self, prepared: PreparedSchema) -> None:
        """Empty it for the next test, or remove it: if its test changed it, or somebody may still write to it."""
        connection = self._connect()
        if _is_left(connection) and _is_emptied(connection, prepared):
            self.waiting.append(prepared)
        else:
            connection.execute(f"DROP SCHEMA IF EXISTS {prepared.name} CASCADE")

    def _connect(self) -> psycopg.Connection[Any]:
        if self._connection is not None:
            with contextlib.suppress(psycopg.OperationalError):  # a test ended it
                self._connection.execute("SELECT")
                return self._connection
            self._connection.close()
        options = "-c client_min_messages=warning"
        self._connection = psycopg.connect(self._url, autocommit=True, prepare_threshold=None, options=options)
        return self._connection

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()


def _is_left(connection: psycopg.Connection[Any]) -> bool:
    until = time.monotonic() + _PATIENCE
    while others := _value(connection, _OTHERS):
        if time.monotonic() > until:
            break
        time.sleep(0.005)
    return not others


def _is_emptied(connection: psycopg.Connection[Any], prepared: PreparedSchema) -> bool:
    schema, classes, shape = prepared
    try:
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '2s'")
            for (table,) in connection.execute(_ADDED_DAYS.format(schema=schema), [classes]).fetchall():
                connection.execute(f"DROP TABLE {table}")
            if _value(connection, _SHAPE, schema) != shape:
                return False
            filled = _value(connection, _FILLED, schema)
            if filled:
                connection.execute(f"TRUNCATE {filled}")
            connection.execute(_BEGIN_AT_ONE, [classes])
    except psycopg.Error:  # it is not there any more, or nearly so
        return False
    return True


def _value(connection: psycopg.Connection[Any], query: str, schema: str = "") -> Any:
    [(value,)] = connection.execute(query.format(schema=schema)).fetchall()
    return value
