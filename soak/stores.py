"""The two kinds of store as a soak needs them: make one, break it, read everything from it."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import psycopg
from tests.postgres import Server

__all__ = ["Own", "PostgresStore", "SqliteStore", "Store", "open_own", "schema_of"]

_FINALS = """
SELECT 'history', id, task, state, attempt, crashes, fence, result, cancel_requested_at FROM {history}
UNION ALL SELECT 'jobs', id, task, state, attempt, crashes, fence, NULL, cancel_requested_at FROM {jobs}
"""
_ATTEMPTS = "SELECT job, fence, outcome, worker, finished_at FROM {attempts}"
_EFFECTS = "SELECT job FROM soak_effects"
_CREATE = "CREATE TABLE IF NOT EXISTS soak_effects (job bigint)"


def schema_of(url: str) -> str:
    """The schema of a store on PostgreSQL."""
    return dict(parse_qsl(urlsplit(url).query)).get("schema", "turnspit")


class Own:
    """A database connection of the application's own, whose transactions jobs join."""

    def __init__(self, url: str) -> None:
        self._is_file = url.startswith("sqlite:")
        self.tx: Any
        if self._is_file:
            self.tx = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=10)
        else:
            options = f"-c search_path={schema_of(url)}"
            self.tx = psycopg.connect(url.partition("?")[0], autocommit=True, options=options)

    def begin(self) -> None:
        """Begin a transaction that writes."""
        self.tx.execute("BEGIN IMMEDIATE" if self._is_file else "BEGIN")

    def execute(self, statement: str, *params: object) -> list[Any]:
        """One statement, written with ``%s``; its rows."""
        cursor = self.tx.execute(statement.replace("%s", "?") if self._is_file else statement, params)
        return list(cursor.fetchall()) if cursor.description else []

    def commit(self) -> None:
        """Commit."""
        self.tx.execute("COMMIT")

    def rollback(self) -> None:
        """Undo."""
        self.tx.execute("ROLLBACK")


@contextlib.contextmanager
def open_own(url: str) -> Iterator[Own]:
    """Open one, and close it: what was not committed is undone."""
    own = Own(url)
    try:
        yield own
    finally:
        own.tx.close()


class Store:
    """Reads a store directly, without Turnspit."""

    is_shut_by_stopped = False
    """Whether a process that is suspended in the middle of a write keeps all others from writing."""

    def __init__(self, url: str) -> None:
        self.url = url
        prefix = "turnspit_" if url.startswith("sqlite:") else f"{schema_of(url)}."
        self._tables = {name: f"{prefix}{name}" for name in ("jobs", "history", "attempts", "workers")}

    def prepare(self) -> None:
        """Make the table of the tasks' own effects, once the store's schema is there."""
        with open_own(self.url) as own:
            own.execute(_CREATE)

    def _rows(self, query: str) -> Iterable[tuple[Any, ...]]:
        if self.url.startswith("sqlite:"):
            path = self.url.removeprefix("sqlite:///")
            with contextlib.closing(sqlite3.connect(path, timeout=30)) as file:
                yield from file.execute(query)
        else:
            options = f"-c search_path={schema_of(self.url)}"
            place = self.url.partition("?")[0]
            with psycopg.connect(place, options=options) as connection, connection.cursor("soak") as cursor:
                cursor.itersize = 20_000
                yield from cursor.execute(query)

    def finals(self) -> Iterable[tuple[Any, ...]]:
        """Every job, final or not."""
        return self._rows(_FINALS.format(**self._tables))

    def attempts(self) -> Iterable[tuple[Any, ...]]:
        """Every attempt that did not complete."""
        return self._rows(_ATTEMPTS.format(**self._tables))

    def effects(self) -> Iterable[tuple[Any, ...]]:
        """What ``charge`` wrote."""
        return self._rows(_EFFECTS)

    def running_of(self, pid: int) -> set[tuple[int, int]]:
        """The claims that workers of a process hold."""
        query = (
            "SELECT id, fence FROM {jobs} WHERE state = 'running' AND worker IN (SELECT id FROM {workers} WHERE pid = "
        )
        return set(self._rows(query.format(**self._tables) + f"{pid})"))

    def unfinished(self) -> int:
        """How many jobs are not final."""
        [(count,)] = self._rows("SELECT count(*) FROM {jobs} WHERE state <> 'dead'".format(**self._tables))
        return int(count)

    def outages(self) -> dict[str, Callable[[float], None]]:
        """The faults of the store itself: functions that take the seconds that the fault may last."""
        return {}

    def close(self) -> None:
        """Remove what was made."""


class SqliteStore(Store):
    """A file of its own."""

    is_shut_by_stopped = True

    def __init__(self, folder: Path) -> None:
        super().__init__(f"sqlite:///{folder}/soak.db")

    def outages(self) -> dict[str, Callable[[float], None]]:
        return {"file locked": self._lock}

    def _lock(self, seconds: float) -> None:
        with open_own(self.url) as own:
            own.begin()
            time.sleep(seconds)
            own.rollback()


class PostgresStore(Store):
    """A private server, durable as by default."""

    def __init__(self, folder: Path) -> None:
        self._server = Server(18, "max_connections=100", "shared_buffers=256MB", "max_wal_size=2GB")
        self._restarting = threading.Lock()
        super().__init__(self._server.url)

    def outages(self) -> dict[str, Callable[[float], None]]:
        return {"backends terminated": self._terminate, "server restarted (immediate)": self._restart}

    def _terminate(self, seconds: float) -> None:
        with self._restarting, psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )

    def _restart(self, seconds: float) -> None:
        with self._restarting:
            self._server.stop("immediate")
            time.sleep(seconds)
            self._server.start()

    def close(self) -> None:
        self._server.remove()
