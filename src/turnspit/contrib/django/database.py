"""A Django database as the place of the jobs: its URL, and its transactions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

__all__ = ["DjangoTransactions", "url_of", "use_file_in_tests"]

T = TypeVar("T")

_NOT_FOR_LIBPQ = {"pool", "isolation_level", "server_side_binding", "assume_role"}
"""Options that Django itself reads."""


class DjangoTransactions:
    """The ``atomic()`` of one database; implements ``turnspit.ambient.AmbientTransactions``."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def current(self) -> object | None:
        """This thread's connection, while it is in ``atomic()``."""
        connection = connections[self._alias]
        return connection if connection.in_atomic_block else None

    async def acall(self, function: Callable[[], T]) -> T:
        """In the thread where Django runs the sync code of this coroutine, and its async ORM.

        A loop that was started inside ``atomic()`` by other means than ``async_to_sync`` has no way there, nor has the
        async ORM.
        """
        result: T = await sync_to_async(function)()
        return result


def url_of(alias: str) -> str:
    """The store's URL for one of ``DATABASES``; during tests, for the test database.

    :raises ImproperlyConfigured: if no engine of Turnspit has such a database.
    """
    connection = connections[alias]
    settings: dict[str, Any] = connection.settings_dict
    if connection.vendor == "sqlite":
        if connection.is_in_memory_db():
            raise ImproperlyConfigured(
                f"the database {alias!r} is in memory, where no worker can see a job: give it a file as NAME, in tests "
                "as TEST['NAME']; or keep the jobs elsewhere with TURNSPIT['DATABASE'] = None"
            )
        return f"sqlite:///{quote(str(Path(settings['NAME']).absolute()))}"
    if connection.vendor == "postgresql":
        return _postgres_url(settings)
    raise ImproperlyConfigured(
        f"the database {alias!r} is {connection.display_name}, but jobs live in SQLite or PostgreSQL: name another "
        "one as TURNSPIT['DATABASE'], or None and give the app a URL of its own"
    )


def _postgres_url(settings: dict[str, Any]) -> str:
    options = {name: value for name, value in settings["OPTIONS"].items() if name not in _NOT_FOR_LIBPQ}
    parts = {"user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT", "dbname": "NAME"}
    options |= {name: settings[key] for name, key in parts.items() if settings[key]}
    return f"postgresql:///?{urlencode(options, quote_via=quote)}"


def use_file_in_tests(alias: str) -> None:
    """Let the test database of a SQLite alias be a file beside the real one, where Django would take memory."""
    connection = connections[alias]
    settings: dict[str, Any] = connection.settings_dict
    if connection.vendor == "sqlite" and not settings["TEST"]["NAME"] and not connection.is_in_memory_db():
        path = Path(settings["NAME"]).absolute()
        settings["TEST"]["NAME"] = str(path.with_name(f"test_{path.name}"))
