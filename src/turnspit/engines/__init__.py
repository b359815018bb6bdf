"""Engines by URL. The only place that names them; each is imported when its scheme is used."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from turnspit.contract import Engine
from turnspit.engines.migrations import Schema
from turnspit.errors import ConfigurationError

__all__ = ["DEFAULT_URL", "open_engine", "open_schema"]

DEFAULT_URL = "sqlite:///turnspit.db"

_SQLITE = ("sqlite", "sqlite+pysqlite", "sqlite+aiosqlite")
_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg", "postgresql+asyncpg", "postgresql+psycopg2")


def open_engine(url: str, **options: Any) -> Engine:
    """The engine of a URL; SQLAlchemy's dialects are accepted. Opens nothing yet.

    ``sqlite:///shop.db`` is a file in the working directory, ``sqlite:////srv/shop.db`` an absolute one;
    ``postgresql://user:password@host:5432/shop`` a database.

    :raises ConfigurationError: if no engine has the URL's scheme.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"a store's URL is text, as in 'sqlite:///shop.db', not {url!r}")
    scheme, separator, rest = url.partition("://")
    if separator and scheme in _POSTGRES:
        return _postgres_engine(url, options)
    if not separator or scheme not in _SQLITE:
        raise ConfigurationError(
            f"no engine for {_without_password(url)!r}: a store's URL begins with sqlite:///, "
            "as in sqlite:///shop.db (a file in the working directory) or sqlite:////srv/shop.db, or with postgresql://"
        )
    from turnspit.engines.sqlite import SqliteEngine

    return SqliteEngine(_sqlite_path(url, rest), **options)


def _postgres_engine(url: str, options: dict[str, Any]) -> Engine:
    try:
        from turnspit.engines.postgres import PostgresEngine
    except ImportError as error:
        if not (error.name or "psycopg").startswith("psycopg"):
            raise
        raise ConfigurationError(
            f"a store on PostgreSQL needs psycopg: pip install 'turnspit[postgres]' ({str(error).splitlines()[0]})"
        ) from error
    return PostgresEngine(url, **options)


def _sqlite_path(url: str, rest: str) -> Path:
    name, _, query = rest.partition("?")
    if not name.startswith("/"):
        raise ConfigurationError(
            f"{url!r} has two slashes: three make a path in the working directory (sqlite:///shop.db), "
            "four an absolute one (sqlite:////srv/shop.db)"
        )
    name = unquote(name[1:])
    if name in ("", ":memory:"):
        raise ConfigurationError(
            f"{url!r} is a database in memory, where no accepted job would survive: name a file, as in "
            "sqlite:///shop.db; for tests see turnspit.testing"
        )
    if "\0" in name:
        raise ConfigurationError(f"{url!r} has a NUL character, which no file's name can have")
    if query:
        raise ConfigurationError(f"{url!r}: options after ? are not supported; give them to Turnspit(...)")
    return Path(os.path.abspath(os.path.expanduser(name)))


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{user.partition(':')[0]}:***@{host}" if at and ":" in user else url


def open_schema(dialect: str, name: str = "turnspit") -> Schema:
    """The tables of an engine for somebody else's migrations, which bring the connection.

    :param dialect: as SQLAlchemy and Django call it: ``sqlite`` or ``postgresql``.
    :param name: the schema that holds the tables; a file has none.
    :raises ConfigurationError: if no engine has this dialect.
    """
    if dialect in _SQLITE:
        from turnspit.engines.sqlite.schema import SqliteSchema

        return SqliteSchema()
    if dialect in _POSTGRES:
        from turnspit.engines.postgres.schema import PostgresSchema
        from turnspit.engines.postgres.settings import check_schema

        return PostgresSchema(check_schema(name))
    raise ConfigurationError(f"no engine for {dialect!r}: jobs live on SQLite or PostgreSQL")
