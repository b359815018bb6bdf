"""Engines by URL. The only place that names them; each is imported when its scheme is used."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from turnspit.contract import Engine
from turnspit.errors import ConfigurationError

__all__ = ["DEFAULT_URL", "open_engine"]

DEFAULT_URL = "sqlite:///turnspit.db"

_SQLITE = ("sqlite", "sqlite+pysqlite", "sqlite+aiosqlite")


def open_engine(url: str, **options: Any) -> Engine:
    """The engine of a URL; SQLAlchemy's dialects are accepted. Opens nothing yet.

    ``sqlite:///shop.db`` is a file in the working directory, ``sqlite:////srv/shop.db`` an absolute one.

    :raises ConfigurationError: if no engine has the URL's scheme.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"a store's URL is text, as in 'sqlite:///shop.db', not {url!r}")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _SQLITE:
        raise ConfigurationError(
            f"no engine for {_without_password(url)!r}: a store's URL begins with sqlite:///, "
            "as in sqlite:///shop.db (a file in the working directory) or sqlite:////srv/shop.db"
        )
    from turnspit.engines.sqlite import SqliteEngine

    return SqliteEngine(_sqlite_path(url, rest), **options)


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
    if query:
        raise ConfigurationError(f"{url!r}: options after ? are not supported; give them to Turnspit(...)")
    return Path(os.path.abspath(os.path.expanduser(name)))


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{user.partition(':')[0]}:***@{host}" if at and ":" in user else url
