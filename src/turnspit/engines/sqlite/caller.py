"""The caller's own transaction on the same file: ``tx=`` with ``sqlite3``, ``aiosqlite``, SQLAlchemy or Django."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from turnspit.contract.verbs import Row, Statement, Verb, Wake
from turnspit.errors import InvalidTransaction
from turnspit.transactions import (
    CallerTransaction,
    DjangoTransaction,
    SqlalchemyTransaction,
    async_transaction_error,
    closed_connection_error,
    drive,
    is_aiosqlite,
    is_async_sqlalchemy,
    is_django,
    is_sqlalchemy,
    kind_of,
)

__all__ = ["AllOrNothing", "caller_transaction", "run_in_aiosqlite"]

T = TypeVar("T")


class _Sqlite3Transaction:
    """A ``sqlite3.Connection``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        _check_usable(connection)
        if _is_in_autocommit_mode(connection):
            raise InvalidTransaction(
                "tx= was given a sqlite3 connection in autocommit mode with no open transaction: "
                'run connection.execute("BEGIN") first, and commit when you are done'
            )
        self.driver_connection: Any = connection

    def execute(self, statement: Statement) -> list[Row]:
        # A cursor of our own: the caller's row_factory may make dicts of rows.
        cursor = self.driver_connection.cursor()
        cursor.row_factory = None
        if statement.many:
            cursor.executemany(statement.sql, statement.params)
            return []
        rows: list[Row] = cursor.execute(statement.sql, statement.params).fetchall()
        return rows

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Never called back: ``sqlite3`` does not tell of a commit. Listeners notice it by the file's data version."""


class _DjangoSqlite(_Sqlite3Transaction):
    """Django's connection to a file. Unlike a bare one, it tells of its commit."""

    def __init__(self, tx: Any) -> None:
        django = DjangoTransaction(tx)
        if not isinstance(django.driver_connection, sqlite3.Connection):
            raise InvalidTransaction(f"tx= is a Django connection to {tx.vendor}, but this app's jobs are in SQLite")
        super().__init__(django.driver_connection)
        self._django = django

    def after_commit(self, callback: Callable[[], None]) -> None:
        self._django.after_commit(callback)


def caller_transaction(tx: object, path: Path) -> CallerTransaction:
    """``tx`` as something that runs statements, if sync code can use it and it is a transaction of this file.

    :raises InvalidTransaction: otherwise, naming the right verb or the right file.
    """
    transaction: CallerTransaction
    if isinstance(tx, sqlite3.Connection):
        transaction = _Sqlite3Transaction(tx)
    elif is_async_sqlalchemy(tx) or is_aiosqlite(tx):
        raise async_transaction_error(tx)
    elif is_sqlalchemy(tx):
        transaction = SqlalchemyTransaction(tx)
        if _is_in_autocommit_mode(transaction.driver_connection):
            raise InvalidTransaction(
                f"tx= was given a SQLAlchemy {type(tx).__name__} in autocommit mode, which has no transaction that "
                "the job could join: use one without AUTOCOMMIT"
            )
    elif is_django(tx):
        transaction = _DjangoSqlite(tx)
    else:
        raise InvalidTransaction(
            "on SQLite tx= takes a sqlite3, aiosqlite, SQLAlchemy or Django connection or a SQLAlchemy session, "
            f"not {kind_of(tx)}"
        )
    _check_same_file(transaction, path)
    return transaction


async def run_in_aiosqlite(tx: Any, function: Callable[[sqlite3.Connection], T]) -> T:
    """Call ``function`` with the connection that ``tx`` wraps, on the thread to which that belongs. No public method of
    ``aiosqlite`` does so; SQLAlchemy uses these too.
    """
    try:
        connection = tx._conn
    except ValueError as error:
        raise closed_connection_error() from error
    result: T = await tx._execute(function, connection)
    return result


class _ReadTooEarly(Exception):
    """A verb has begun to write by what it had read outside of a transaction."""


class AllOrNothing:
    """Undoes all of a call that fails, because its caller may catch the error and commit: SQLite itself undoes only the
    statement that failed. ``begin`` is called before the first statement of a call that has several.
    """

    def __init__(self, transaction: CallerTransaction) -> None:
        self._transaction = transaction
        self._undo: tuple[str, ...] = ()
        self._keep: tuple[str, ...] = ()
        self._has_read = False
        """Whether something was read before the transaction began."""

    def run(self, verb: Callable[[], Verb[T]]) -> tuple[T, list[Wake]]:
        """Run a verb to its end; its result, and the wakes to send after the commit.

        Python's ``sqlite3`` begins a transaction at its first write. What a verb has read by then, such as who holds a
        unique key, may have changed since: then it is run again, under the write lock.
        """
        try:
            return drive(verb(), self._execute, self.begin)
        except _ReadTooEarly:
            self._run("ROLLBACK", "BEGIN IMMEDIATE")
            return drive(verb(), self._transaction.execute, self.begin)

    def _execute(self, statement: Statement) -> list[Row]:
        connection = self._transaction.driver_connection
        is_outside = not connection.in_transaction
        rows = self._transaction.execute(statement)
        if is_outside and connection.in_transaction and self._has_read:
            raise _ReadTooEarly
        self._has_read = is_outside
        return rows

    def begin(self) -> None:
        """Remember how to undo what follows."""
        if self._undo:
            return
        if self._transaction.driver_connection.in_transaction:
            self._run("SAVEPOINT turnspit_call")
            self._undo = "ROLLBACK TO turnspit_call", "RELEASE turnspit_call"
            self._keep = ("RELEASE turnspit_call",)
        else:  # the first statement that writes begins one; the end of a savepoint would commit it
            self._undo = ("ROLLBACK",)

    def begin_to_write(self) -> None:
        """``begin``, for statements before which Python's ``sqlite3`` begins no transaction, as ``CREATE TABLE``."""
        self.begin()
        if not self._transaction.driver_connection.in_transaction:
            self._run("BEGIN IMMEDIATE")

    def keep(self) -> None:
        """The call has succeeded."""
        self._run(*self._keep)

    def undo(self) -> None:
        """The call has failed; the whole transaction may be gone with it, as on a full disk."""
        with suppress(Exception):
            self._run(*self._undo)

    def _run(self, *statements: str) -> None:
        for sql in statements:
            self._transaction.execute(Statement(sql, ()))


def _check_usable(connection: sqlite3.Connection) -> None:
    """``sqlite3`` itself tells, by any method, that a connection is closed or belongs to another thread."""
    try:
        connection.cursor().close()
    except sqlite3.ProgrammingError as error:
        raise InvalidTransaction(f"tx= was given a sqlite3 connection that cannot be used here: {error}") from error


def _is_in_autocommit_mode(connection: Any) -> bool:
    """Whether a connection of ``sqlite3``, or of a driver with the same attributes, would commit each statement."""
    if connection.in_transaction:
        return False
    return connection.isolation_level is None or getattr(connection, "autocommit", None) is True


def _check_same_file(transaction: CallerTransaction, path: Path) -> None:
    rows = transaction.execute(Statement("PRAGMA database_list", {}))
    files = [row[2] for row in rows if row[1] == "main"]
    other = files[0] if files and files[0] else "a database in memory"
    try:
        same = bool(files and files[0]) and os.path.samefile(other, path)
    except OSError:
        same = False
    if not same:
        raise InvalidTransaction(f"tx= is a transaction of {other}, but the jobs of this app are in {path}")
