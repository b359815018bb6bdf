"""Runs a verb's statements, on an engine's own connection or on the one that a caller gives as ``tx=``.

The caller's connection or session runs them inside the caller's transaction. SQLAlchemy and Django are recognised by
the names of their modules, and not imported for that.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import GeneratorType
from typing import Any, Protocol, TypeVar

from turnspit.contract.verbs import Row, Statement, Verb, Wake
from turnspit.errors import InvalidTransaction

__all__ = [
    "CallerTransaction",
    "DjangoTransaction",
    "SqlalchemyTransaction",
    "adrive",
    "async_transaction_error",
    "cause_of",
    "closed_connection_error",
    "drive",
    "failed_transaction_error",
    "is_aiosqlite",
    "is_async_sqlalchemy",
    "is_django",
    "is_sqlalchemy",
    "kind_of",
    "sync_transaction_error",
    "unscoped",
]

T = TypeVar("T")

_WAITING = "turnspit_after_commit"


def drive(
    verb: Verb[T], execute: Callable[[Statement], list[Row]], begin: Callable[[], object] | None = None
) -> tuple[T, list[Wake]]:
    """Run a verb to its end. It is told of errors, and may go on after one (``VerbBase.by_halves``).

    :param begin: begins a transaction; not called if the verb consists of one statement, which commits by itself.
    :returns: its result, and the wakes to send after the commit.

    >>> def seven() -> Verb[int]:
    ...     return (yield Statement("select 7", ()))[0][0]
    >>> drive(seven(), lambda statement: [(7,)])
    (7, [])
    """
    wakes: list[Wake] = []
    rows: list[Row] = []
    try:
        step = next(verb)
        if begin is not None and not _is_only_statement(verb, step):
            begin()
        while True:
            if isinstance(step, Wake):
                wakes.append(step)
                rows = []
            else:
                try:
                    rows = execute(step)
                except UnicodeEncodeError:
                    rows = execute(_encodable(step))
                except Exception as error:
                    step = verb.throw(error)
                    continue
                if step.wake is not None:
                    wakes.append(step.wake)
            step = verb.send(rows)
    except StopIteration as stop:
        return stop.value, wakes


def _is_only_statement(verb: Verb[Any], first: Statement | Wake) -> bool:
    """Whether a verb yields no other statement than its first one. If that comes from another verb by ``yield from``,
    its ``ends`` speaks of that verb only.
    """
    is_its_own = isinstance(verb, GeneratorType) and verb.gi_yieldfrom is None
    return is_its_own and isinstance(first, Statement) and first.ends


def _encodable(statement: Statement) -> Statement:
    """With each lone surrogate replaced: no store keeps one, but somebody may ask for it or give it as a reason."""
    if not isinstance(statement.params, Mapping):
        return statement
    params = {
        name: value.encode("utf-8", "surrogatepass").decode("utf-8", "replace") if isinstance(value, str) else value
        for name, value in statement.params.items()
    }
    return statement._replace(params=params)


async def adrive(verb: Verb[T], execute: Callable[[Statement], Awaitable[list[Row]]]) -> tuple[T, list[Wake]]:
    """``drive`` on an async connection."""
    wakes: list[Wake] = []
    rows: list[Row] = []
    try:
        step = next(verb)
        while True:
            if isinstance(step, Wake):
                wakes.append(step)
                rows = []
            else:
                try:
                    rows = await execute(step)
                except UnicodeEncodeError:
                    rows = await execute(_encodable(step))
                if step.wake is not None:
                    wakes.append(step.wake)
            step = verb.send(rows)
    except StopIteration as stop:
        return stop.value, wakes


def kind_of(tx: object) -> str:
    """The type of what was given as a transaction, as a person would import it."""
    kind = type(tx)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def sync_transaction_error(tx: object) -> InvalidTransaction:
    """The error for a sync transaction that was given to an async verb."""
    return InvalidTransaction(
        f"a {type(tx).__module__.partition('.')[0]} {type(tx).__name__} is not async: "
        "use the verb without an a in front, as in task.enqueue(...)"
    )


def async_transaction_error(tx: object) -> InvalidTransaction:
    """The error for an async transaction that was given to a sync verb."""
    return InvalidTransaction(
        f"the {type(tx).__module__.partition('.')[0]} {type(tx).__name__} is for async code: "
        "use the verb with an a in front, as in await task.aenqueue(...)"
    )


def failed_transaction_error() -> InvalidTransaction:
    """The error for a transaction that can only be rolled back."""
    return InvalidTransaction(
        "tx= is a transaction in which a statement has failed already: nothing more can be stored in it; "
        "roll it back, or back to a savepoint, and begin again"
    )


def closed_connection_error() -> InvalidTransaction:
    """The error for a connection that is closed."""
    return InvalidTransaction("tx= was given a connection that is closed")


def cause_of(error: Exception) -> Exception:
    """The driver's error, which SQLAlchemy wraps into one of its own.

    :raises InvalidTransaction: if SQLAlchemy says that its session or connection must be rolled back first.
    """
    if type(error).__name__ == "PendingRollbackError":
        raise failed_transaction_error() from error
    cause: Exception = getattr(error, "orig", None) or error
    return cause


class CallerTransaction(Protocol):
    """The caller's transaction, as an engine uses it."""

    @property
    def driver_connection(self) -> Any:
        """The driver's own connection."""
        ...

    def execute(self, statement: Statement) -> list[Row]:
        """Run one statement inside it."""
        ...

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call back once it has committed, if its library can tell; otherwise never, and workers find the jobs by
        polling.
        """
        ...


def is_aiosqlite(tx: object) -> bool:
    """Whether ``tx`` is a connection of ``aiosqlite``."""
    return any(kind.__module__.startswith("aiosqlite.") for kind in type(tx).__mro__)


def is_sqlalchemy(tx: object) -> bool:
    """Whether ``tx`` is a SQLAlchemy session or connection, sync or async."""
    return any(kind.__module__.startswith("sqlalchemy.") for kind in type(tx).__mro__)


def is_async_sqlalchemy(tx: object) -> bool:
    """Whether ``tx`` is an ``AsyncSession`` or an ``AsyncConnection``."""
    return any(kind.__module__.startswith("sqlalchemy.ext.asyncio") for kind in type(tx).__mro__)


def unscoped(tx: Any) -> Any:
    """``tx``, or the session of this thread or task if ``tx`` is a ``scoped_session``."""
    return tx() if is_sqlalchemy(tx) and hasattr(tx, "registry") and callable(tx) else tx


def is_django(tx: object) -> bool:
    """Whether ``tx`` is a Django database connection, also as the proxy ``django.db.connection``."""
    return any(kind.__module__.startswith(("django.db.", "django.utils.connection")) for kind in type(tx).__mro__)


class DjangoTransaction:
    """A Django database connection inside ``atomic()``: gives the driver's connection, and tells of the commit."""

    def __init__(self, tx: Any) -> None:
        if not hasattr(tx, "in_atomic_block"):
            raise InvalidTransaction(f"tx= takes a Django connection, as django.db.connection, not {type(tx).__name__}")
        if not tx.in_atomic_block and tx.get_autocommit():
            raise InvalidTransaction(
                "tx= was given a Django connection with no open transaction: call within `with transaction.atomic():`"
            )
        if tx.needs_rollback:
            raise failed_transaction_error()
        self._tx = tx

    @property
    def driver_connection(self) -> Any:
        """The driver's own connection."""
        return self._tx.connection

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call back by Django's ``on_commit``, which also follows savepoints. It works inside ``atomic()`` only."""
        if self._tx.in_atomic_block:
            self._tx.on_commit(callback, robust=True)


class SqlalchemyTransaction:
    """A SQLAlchemy ``Session`` or ``Connection``."""

    def __init__(self, tx: Any) -> None:
        tx = unscoped(tx)
        self._is_session = hasattr(tx, "get_bind")
        if not self._is_session and not hasattr(tx, "exec_driver_sql"):
            raise InvalidTransaction(f"tx= takes a SQLAlchemy Session or Connection, not {type(tx).__name__}")
        self._tx = tx
        self._connection = tx.connection() if self._is_session else tx
        if self._connection.closed:
            raise closed_connection_error()

    def execute(self, statement: Statement) -> list[Row]:
        """Run a statement as it is, without SQLAlchemy's parsing."""
        result = self._connection.exec_driver_sql(statement.sql, statement.params or {})
        return [tuple(row) for row in result] if result.returns_rows else []

    @property
    def driver_connection(self) -> Any:
        """The driver's own connection."""
        return self._connection.connection.driver_connection

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call back after a session's commit. A bare connection has an event before its commit only, which is of no
        use: workers find its jobs by polling.
        """
        if not self._is_session:
            return
        waiting: list[Callable[[], None]] | None = self._tx.info.get(_WAITING)
        if waiting is None:
            waiting = self._tx.info[_WAITING] = []
            _listen(self._tx, waiting)
        waiting.append(callback)


def _listen(session: Any, waiting: list[Callable[[], None]]) -> None:
    """Called once for each session: run the waiting callbacks after a commit, drop them after a rollback."""
    from sqlalchemy import event  # noqa: PLC0415  (lazily: only callers who use SQLAlchemy get here)

    def committed(session: Any) -> None:
        if not session.in_nested_transaction():  # the end of a savepoint is no commit
            callbacks = waiting[:]
            waiting.clear()
            for callback in callbacks:
                callback()

    def ended(_session: Any, transaction: Any) -> None:
        if transaction.parent is None:
            waiting.clear()

    event.listen(session, "after_commit", committed)
    event.listen(session, "after_transaction_end", ended)
