"""The caller's own transaction on the same database: ``tx=`` with psycopg, asyncpg, SQLAlchemy or Django."""

import asyncio
import threading
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache
from typing import Any, Protocol, TypeVar

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.rows import tuple_row

from turnspit.contract.verbs import Row, Statement, Verb, Wake
from turnspit.engines.postgres.blocks import clean, to_numbered, to_pyformat
from turnspit.engines.postgres.errors import FROZEN
from turnspit.errors import EngineError, InvalidTransaction, StoreFrozen
from turnspit.transactions import (
    DjangoTransaction,
    SqlalchemyTransaction,
    adrive,
    async_transaction_error,
    cause_of,
    closed_connection_error,
    drive,
    failed_transaction_error,
    is_async_sqlalchemy,
    is_django,
    is_sqlalchemy,
    kind_of,
    sync_transaction_error,
    unscoped,
)

__all__ = ["CallerTransactions"]

T = TypeVar("T")

_IDENTIFY = Statement(
    "SELECT current_database()::text, oid::bigint, extract(epoch FROM pg_postmaster_start_time())::text "
    "FROM pg_database WHERE datname = current_database()",
    {},
)
"""Identifies a database: its name, its oid, and when its server was started, which tells servers apart."""
_READ_ONLY = "25006"
"""The SQLSTATE of a transaction, or a server, in which nothing can be written."""
_TAKES = "a psycopg, asyncpg, SQLAlchemy or Django connection, or a SQLAlchemy session"

Announce = Callable[[list[Wake]], Statement | None]
"""Makes the statement that notifies of these wakes when the transaction commits; ``None`` if there is none to send."""


class _Sync(Protocol):
    @property
    def connection(self) -> object:
        """The driver's connection, which never changes its database."""
        ...

    def execute(self, statement: Statement) -> list[Row]: ...


class _Async(Protocol):
    @property
    def connection(self) -> object: ...

    async def execute(self, statement: Statement) -> list[Row]: ...


class CallerTransactions:
    """Runs verbs on connections and sessions that callers bring."""

    def __init__(self, location: str, ask: Callable[[Statement], list[Row]]) -> None:
        self._location = location
        self._ask = ask
        """Runs a statement on a connection of the engine's own."""
        self._checked: weakref.WeakSet[Any] = weakref.WeakSet()
        """Connections that are known to lead to the store's database."""
        self._identity: Row | None = None
        self._lock = threading.Lock()

    def run(self, tx: object, make_verb: Callable[[], Verb[T]], announce: Announce) -> T:
        """Run a verb inside a sync caller's transaction; its notification is sent when that commits.

        :raises InvalidTransaction: if ``tx`` is no transaction of this database that sync code can use.
        """
        return self._run(lambda: _sync(tx), make_verb, announce)

    async def arun(self, tx: object, make_verb: Callable[[], Verb[T]], announce: Announce) -> T:
        """``run`` for async code."""
        if is_async_sqlalchemy(tx):
            return await unscoped(tx).run_sync(  # type: ignore[no-any-return]
                lambda own: self._run(lambda: _Sqlalchemy(own), make_verb, announce)
            )
        transaction = _async(tx)
        try:
            await self._acheck(transaction)
            notice = _Notice(announce)
            result, wakes = await adrive(
                make_verb(), lambda statement: transaction.execute(notice.sent_with(statement))
            )
            notification = notice.of_others(wakes)
            if notification is not None:
                await transaction.execute(notification)
        except Exception as error:
            raise self._translate(error) from error
        return result

    def _run(self, join: Callable[[], _Sync], make_verb: Callable[[], Verb[T]], announce: Announce) -> T:
        try:
            transaction = join()
            self._check(transaction)
            notice = _Notice(announce)
            result, wakes = drive(make_verb(), lambda statement: transaction.execute(notice.sent_with(statement)))
            notification = notice.of_others(wakes)
            if notification is not None:
                transaction.execute(notification)
        except Exception as error:
            raise self._translate(error) from error
        return result

    def _check(self, transaction: _Sync) -> None:
        if not self._is_checked(transaction.connection):
            [identity] = transaction.execute(_IDENTIFY)
            self._compare(identity, transaction.connection)

    async def _acheck(self, transaction: _Async) -> None:
        if not self._is_checked(transaction.connection):
            [identity] = await transaction.execute(_IDENTIFY)
            await asyncio.to_thread(self._compare, identity, transaction.connection)

    def _is_checked(self, connection: object) -> bool:
        with self._lock, suppress(TypeError):  # of a type that allows no weak references
            return connection in self._checked
        return False

    def _compare(self, theirs: Row, connection: object) -> None:
        if theirs != self._identity:
            # The server may have been restarted since we asked.
            [self._identity] = self._ask(_IDENTIFY)
        if theirs != self._identity:
            raise InvalidTransaction(
                f"tx= is a transaction of the database {theirs[0]!r} of another server or name, but the jobs of this "
                f"app are in {self._location}"
            )
        with self._lock, suppress(TypeError):
            self._checked.add(connection)

    def _translate(self, error: Exception) -> Exception:
        """A driver's error as Turnspit's own; any other error as it is."""
        cause = cause_of(error)
        state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
        if not type(error).__module__.startswith(("psycopg", "asyncpg", "sqlalchemy")):
            return error
        if state == "25P02":
            return failed_transaction_error()
        line = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
        if state == FROZEN:
            return StoreFrozen(f"store {self._location} {line}")
        if state == _READ_ONLY:
            line = "it is read-only, so that nothing can be stored in it"
        return EngineError(f"store {self._location}, in the transaction given as tx=: {line}")


class _Notice:
    """Notifies of what one verb did. Where a statement tells beforehand what it will wake, the notification travels
    with it, which saves the caller a round trip.
    """

    def __init__(self, announce: Announce) -> None:
        self._announce = announce
        self._sent: list[Wake] = []

    def sent_with(self, statement: Statement) -> Statement:
        """The statement, with the notification of its wake."""
        notification = None if statement.wake is None else self._announce([statement.wake])
        if statement.wake is None or notification is None:
            return statement
        self._sent.append(statement.wake)
        params = clean(statement.params) | clean(notification.params)
        return Statement(_with_notification(statement.sql), params)

    def of_others(self, wakes: list[Wake]) -> Statement | None:
        """The notification of all wakes that were not sent; ``None`` if there is none to send."""
        return self._announce([wake for wake in wakes if wake not in self._sent])


@cache
def _with_notification(sql: str) -> str:
    stored = sql.rstrip().rstrip(";")
    return f"WITH stored AS ({stored}) SELECT stored.* FROM stored, pg_notify(:channel, :payload)"  # noqa: S608


class _Psycopg:
    """A ``psycopg.Connection``."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        _check_psycopg(connection)
        self.connection = connection

    def execute(self, statement: Statement) -> list[Row]:
        # A cursor of our own: the caller's row_factory may make dicts of rows.
        with psycopg.Cursor(self.connection, row_factory=tuple_row) as cursor:
            cursor.execute(to_pyformat(statement.sql), clean(statement.params))
            if _is_pipelined(self.connection):
                with self.connection.pipeline():
                    pass
            return cursor.fetchall() if cursor.description is not None else []


class _AsyncPsycopg:
    """A ``psycopg.AsyncConnection``."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        _check_psycopg(connection)
        self.connection = connection

    async def execute(self, statement: Statement) -> list[Row]:
        async with psycopg.AsyncCursor(self.connection, row_factory=tuple_row) as cursor:
            await cursor.execute(to_pyformat(statement.sql), clean(statement.params))
            if _is_pipelined(self.connection):
                async with self.connection.pipeline():
                    pass
            return await cursor.fetchall() if cursor.description is not None else []


class _Asyncpg:
    """An ``asyncpg`` connection, or a pool's proxy for one."""

    def __init__(self, connection: Any) -> None:
        if connection.is_closed():
            raise closed_connection_error()
        if not connection.is_in_transaction():
            raise InvalidTransaction(
                "tx= was given an asyncpg connection with no open transaction: "
                "call within `async with connection.transaction():`"
            )
        self.connection = connection

    async def execute(self, statement: Statement) -> list[Row]:
        sql, names = to_numbered(statement.sql)
        params = clean(statement.params)
        fetch: Callable[..., Awaitable[list[Any]]] = self.connection.fetch
        return [tuple(record) for record in await fetch(sql, *(params[name] for name in names))]


class _Sqlalchemy(SqlalchemyTransaction):
    """A SQLAlchemy session or connection, whatever its driver."""

    def __init__(self, tx: Any) -> None:
        super().__init__(tx)
        dialect = self._connection.dialect
        if dialect.name != "postgresql":
            raise InvalidTransaction(f"tx= is a transaction of {dialect.name}, but this app's jobs are in PostgreSQL")
        self._is_numbered = dialect.paramstyle == "numeric_dollar"
        self.connection = self._connection.connection.dbapi_connection
        isolation = getattr(self.connection, "isolation_level", None)
        if getattr(self.connection, "autocommit", None) is True or isolation == "autocommit":
            raise _autocommit("SQLAlchemy connection")

    def execute(self, statement: Statement) -> list[Row]:
        params: Any = clean(statement.params)
        sql = statement.sql
        if self._is_numbered:
            sql, names = to_numbered(sql)
            params = tuple(params[name] for name in names)
        else:
            sql = to_pyformat(sql)
        result = self._connection.exec_driver_sql(sql, params)
        return [tuple(row) for row in result] if result.returns_rows else []


def _sync(tx: object) -> _Sync:
    if isinstance(tx, psycopg.Connection):
        return _Psycopg(tx)
    if isinstance(tx, psycopg.AsyncConnection) or is_async_sqlalchemy(tx) or _is_asyncpg(tx):
        raise async_transaction_error(tx)
    if is_sqlalchemy(tx):
        return _Sqlalchemy(tx)
    if is_django(tx):
        return _of_django(tx)
    raise InvalidTransaction(f"on PostgreSQL tx= takes {_TAKES}, not {kind_of(tx)}")


def _async(tx: object) -> _Async:
    if isinstance(tx, psycopg.AsyncConnection):
        return _AsyncPsycopg(tx)
    if _is_asyncpg(tx):
        return _Asyncpg(tx)
    if isinstance(tx, psycopg.Connection) or is_sqlalchemy(tx) or is_django(tx):
        raise sync_transaction_error(tx)
    raise InvalidTransaction(f"on PostgreSQL tx= takes {_TAKES}, not {kind_of(tx)}")


def _of_django(tx: Any) -> _Psycopg:
    connection = DjangoTransaction(tx).driver_connection
    if not isinstance(connection, psycopg.Connection):
        raise InvalidTransaction(
            f"tx= is a Django connection that uses {kind_of(connection)}, but this app's jobs are in PostgreSQL, where "
            "Django needs psycopg 3: pip install 'psycopg[binary]'"
        )
    return _Psycopg(connection)


def _is_asyncpg(tx: object) -> bool:
    return type(tx).__module__.startswith("asyncpg.") and hasattr(tx, "is_in_transaction")


def _check_psycopg(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    status = connection.info.transaction_status
    if status is TransactionStatus.INERROR:
        raise failed_transaction_error()
    if connection.closed:
        raise closed_connection_error()
    if connection.autocommit and status is TransactionStatus.IDLE:
        raise _autocommit("psycopg connection")


def _is_pipelined(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    """Whether the caller's pipeline would keep an answer back; the end of one inside of it fetches them."""
    return connection.pgconn.pipeline_status != PipelineStatus.OFF


def _autocommit(what: str) -> InvalidTransaction:
    return InvalidTransaction(
        f"tx= was given a {what} in autocommit mode with no open transaction: "
        "call within `with connection.transaction():`, or leave autocommit off"
    )
