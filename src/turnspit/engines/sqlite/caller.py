"""The caller's own transaction on the same file: ``tx=`` with ``sqlite3``, SQLAlchemy or Django."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turnspit.contract.verbs import Row, Statement
from turnspit.errors import InvalidTransaction
from turnspit.transactions import (
    CallerTransaction,
    DjangoTransaction,
    SqlalchemyTransaction,
    is_async_sqlalchemy,
    is_django,
    is_sqlalchemy,
    not_sync,
)

__all__ = ["caller_transaction"]


class _Sqlite3Transaction:
    """A ``sqlite3.Connection``. It does not tell of its commit: other processes see the data version change."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        if _is_in_autocommit_mode(connection):
            raise InvalidTransaction(
                "tx= was given a sqlite3 connection in autocommit mode with no open transaction: "
                'run connection.execute("BEGIN") first, and commit when you are done'
            )
        self._connection = connection

    def execute(self, statement: Statement) -> list[Row]:
        # A cursor of our own: the caller's row_factory may make dicts of rows.
        cursor = self._connection.cursor()
        cursor.row_factory = None
        if statement.many:
            cursor.executemany(statement.sql, statement.params)
            return []
        return cursor.execute(statement.sql, statement.params).fetchall()

    def after_commit(self, callback: Callable[[], None]) -> None:
        return


class _DjangoSqlite(_Sqlite3Transaction):
    """Django's connection to a file; it tells of its commit."""

    def __init__(self, tx: Any) -> None:
        django = DjangoTransaction(tx)
        if not isinstance(django.driver_connection, sqlite3.Connection):
            raise InvalidTransaction(f"tx= is a Django connection to {tx.vendor}, but this app's jobs are in SQLite")
        super().__init__(django.driver_connection)
        self._django = django

    def after_commit(self, callback: Callable[[], None]) -> None:
        self._django.after_commit(callback)


def caller_transaction(tx: object, path: Path) -> CallerTransaction:
    """``tx`` as a runner, if sync code can use it and it is a transaction of this file.

    :raises InvalidTransaction: otherwise, naming the right verb or the right file.
    """
    transaction: CallerTransaction
    if isinstance(tx, sqlite3.Connection):
        transaction = _Sqlite3Transaction(tx)
    elif is_async_sqlalchemy(tx):
        raise not_sync(tx)
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
            "on SQLite tx= takes a sqlite3, SQLAlchemy or Django connection or a SQLAlchemy session, "
            f"not {type(tx).__module__}.{type(tx).__qualname__}"
        )
    _check_same_file(transaction, path)
    return transaction


def _is_in_autocommit_mode(connection: Any) -> bool:
    """Whether a connection of ``sqlite3``, or one that is made like it, would commit each statement by itself."""
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
