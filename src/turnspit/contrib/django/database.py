"""Keeping jobs in a Django database: the store's URL, and joining its transactions."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from glob import escape
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from turnspit.engines.sqlite.wal_owner import remove_foreign_wal

__all__ = ["DjangoTransactions", "remove_logs_of_tests", "url_of", "use_file_in_tests", "use_files_of_clones"]

T = TypeVar("T")

_CLONE = re.compile(r"file:memorydb_\w+_(\d+)\?mode=memory&cache=shared")
"""The in-memory database that Django's SQLite back end (``setup_worker_connection``) gives to the test process N."""
_NOT_FOR_LIBPQ = {"pool", "isolation_level", "server_side_binding", "assume_role"}
"""Options that Django reads itself, and libpq does not know."""


class DjangoTransactions:
    """The ``atomic()`` of one database; implements ``turnspit.ambient.AmbientTransactions``."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def current(self) -> object | None:
        """This thread's connection, while it is in ``atomic()``."""
        connection = connections[self._alias]
        return connection if connection.in_atomic_block else None

    async def acall(self, function: Callable[[], T]) -> T:
        """Call the function in the thread in which Django runs this coroutine's sync code, and its async ORM.

        From an event loop that was started inside ``atomic()`` without ``async_to_sync``, that thread cannot be
        reached; the async ORM cannot reach it either.
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
    """Make the test database of a SQLite alias a file beside the real one, where Django would keep it in memory."""
    connection = connections[alias]
    settings: dict[str, Any] = connection.settings_dict
    if connection.vendor == "sqlite" and not settings["TEST"]["NAME"] and not connection.is_in_memory_db():
        path = Path(settings["NAME"]).absolute()
        settings["TEST"]["NAME"] = str(path.with_name(f"test_{path.name}"))


def remove_logs_of_tests(alias: str) -> None:
    """Remove the write-ahead logs of earlier test databases: Django removes the files, but leaves these beside them.

    SQLite would apply such a log to a new file of the same name as soon as Django connects to it.
    """
    connection = connections[alias]
    name = connection.settings_dict["TEST"]["NAME"]
    if connection.vendor != "sqlite" or not name or connection.is_in_memory_db():
        return
    path = Path(name)
    for log in path.parent.glob(f"{escape(path.stem)}*{escape(path.suffix)}-wal"):
        file = log.with_name(log.name.removesuffix("-wal"))
        if file.exists():
            remove_foreign_wal(file)
            with closing(sqlite3.connect(file, timeout=0)) as last, suppress(sqlite3.Error):
                last.execute("PRAGMA wal_checkpoint")  # the last connection to close removes the log
        else:
            for left in (log, log.with_name(f"{file.name}-shm")):
                left.unlink(missing_ok=True)


def use_files_of_clones(connection: Any) -> None:
    """Let a process of ``test --parallel`` that was not forked (Python 3.14, macOS) use its copy of the test database.

    Django has made the copy as a file, but connects the process to an in-memory database filled from it.
    """
    settings: dict[str, Any] = connection.settings_dict
    clone = _CLONE.fullmatch(str(settings["NAME"])) if connection.vendor == "sqlite" else None
    if clone is not None and settings["TEST"]["NAME"]:
        path = Path(settings["TEST"]["NAME"])
        settings["NAME"] = str(path.with_name(f"{path.stem}_{clone[1]}{path.suffix}"))
        connection.close()  # Django connects again, now to the file
