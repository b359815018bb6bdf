"""Runners: on whose connection a verb runs.

An engine drives verbs on its own connections; with ``tx=`` the caller's own connection or session drives them,
inside the caller's transaction. SQLAlchemy and Django are recognised by their modules, never imported.
"""

from collections.abc import Awaitable, Callable
from types import GeneratorType
from typing import Any, Protocol, TypeVar

from turnspit.contract.verbs import Row, Statement, Verb, Wake
from turnspit.errors import InvalidTransaction

__all__ = [
    "CallerTransaction",
    "DjangoTransaction",
    "SqlalchemyTransaction",
    "adrive",
    "drive",
    "has_failed",
    "is_async_sqlalchemy",
    "is_django",
    "is_sqlalchemy",
    "not_async",
    "not_sync",
    "unscoped",
]

T = TypeVar("T")

_WAITING = "turnspit_after_commit"


def drive(
    verb: Verb[T], execute: Callable[[Statement], list[Row]], begin: Callable[[], object] | None = None
) -> tuple[T, list[Wake]]:
    """Run a verb to its end: its result, and the wakes to send after the commit.

    :param begin: called before a first statement that is not the only one.

    >>> def seven() -> Verb[int]:
    ...     return (yield Statement("select 7", ()))[0][0]
    >>> drive(seven(), lambda statement: [(7,)])
    (7, [])
    """
    wakes: list[Wake] = []
    rows: list[Row] = []
    try:
        step = next(verb)
        if begin is not None and not _is_all(verb, step):
            begin()
        while True:
            if isinstance(step, Wake):
                wakes.append(step)
                rows = []
            else:
                rows = execute(step)
            step = verb.send(rows)
    except StopIteration as stop:
        return stop.value, wakes


def _is_all(verb: Verb[Any], first: Statement | Wake) -> bool:
    """Whether a verb consists of its first statement. One that another verb makes use of does not end it."""
    is_its_own = isinstance(verb, GeneratorType) and verb.gi_yieldfrom is None
    return is_its_own and isinstance(first, Statement) and first.ends


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
                rows = await execute(step)
            step = verb.send(rows)
    except StopIteration as stop:
        return stop.value, wakes


def not_async(tx: object) -> InvalidTransaction:
    """What to say when a sync transaction was given to an async verb."""
    return InvalidTransaction(
        f"tx= was given a {type(tx).__module__.partition('.')[0]} {type(tx).__name__}, which is not async: "
        "use the verb without an a in front, as in task.enqueue(...)"
    )


def not_sync(tx: object) -> InvalidTransaction:
    """What to say when an async transaction was given to a sync verb."""
    return InvalidTransaction(
        f"tx= was given a {type(tx).__name__}: use the verb with an a in front, as in await task.aenqueue(...)"
    )


def has_failed() -> InvalidTransaction:
    """What to say when the transaction can only be rolled back."""
    return InvalidTransaction(
        "tx= is a transaction in which a statement has failed already: nothing more can be stored in it; "
        "roll it back, or back to a savepoint, and begin again"
    )


class CallerTransaction(Protocol):
    """The caller's transaction, as a verb's runner sees it."""

    def execute(self, statement: Statement) -> list[Row]:
        """Run one statement inside it."""
        ...

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call back once it has committed, where its library says so; else never (polling sees the jobs)."""
        ...


def is_sqlalchemy(tx: object) -> bool:
    """Whether ``tx`` is a SQLAlchemy session or connection, sync or async."""
    return any(kind.__module__.startswith("sqlalchemy.") for kind in type(tx).__mro__)


def is_async_sqlalchemy(tx: object) -> bool:
    """Whether ``tx`` is an ``AsyncSession`` or an ``AsyncConnection``."""
    return any(kind.__module__.startswith("sqlalchemy.ext.asyncio") for kind in type(tx).__mro__)


def unscoped(tx: Any) -> Any:
    """The session itself where ``tx`` is a ``scoped_session``, which stands for the one of this thread or task."""
    return tx() if is_sqlalchemy(tx) and hasattr(tx, "registry") and callable(tx) else tx


def is_django(tx: object) -> bool:
    """Whether ``tx`` is a Django database connection, also as the proxy ``django.db.connection``."""
    return any(kind.__module__.startswith(("django.db.", "django.utils.connection")) for kind in type(tx).__mro__)


class DjangoTransaction:
    """A Django database connection inside ``atomic()``: hands out the driver's own, and tells of the commit."""

    def __init__(self, tx: Any) -> None:
        if not hasattr(tx, "in_atomic_block"):
            raise InvalidTransaction(f"tx= takes a Django connection, as django.db.connection, not {type(tx).__name__}")
        if not tx.in_atomic_block and tx.get_autocommit():
            raise InvalidTransaction(
                "tx= was given a Django connection with no open transaction: call within `with transaction.atomic():`"
            )
        if tx.needs_rollback:
            raise has_failed()
        self._tx = tx

    @property
    def driver_connection(self) -> Any:
        """The driver's own connection."""
        return self._tx.connection

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Through Django's ``on_commit``, which also follows savepoints; outside of ``atomic()`` Django has none."""
        if self._tx.in_atomic_block:
            self._tx.on_commit(callback, robust=True)


class SqlalchemyTransaction:
    """A SQLAlchemy ``Session`` or ``Connection`` as the runner of verbs."""

    def __init__(self, tx: Any) -> None:
        tx = unscoped(tx)
        self._is_session = hasattr(tx, "get_bind")
        if not self._is_session and not hasattr(tx, "exec_driver_sql"):
            raise InvalidTransaction(f"tx= takes a SQLAlchemy Session or Connection, not {type(tx).__name__}")
        self._tx = tx
        self._connection = tx.connection() if self._is_session else tx

    def execute(self, statement: Statement) -> list[Row]:
        """Run the statement through the driver, as it is."""
        result = self._connection.exec_driver_sql(statement.sql, statement.params or {})
        return [tuple(row) for row in result] if result.returns_rows else []

    @property
    def driver_connection(self) -> Any:
        """The driver's own connection."""
        return self._connection.connection.driver_connection

    def after_commit(self, callback: Callable[[], None]) -> None:
        """A session tells after its commit; a bare connection only before, so there polling sees the jobs."""
        if not self._is_session:
            return
        waiting: list[Callable[[], None]] | None = self._tx.info.get(_WAITING)
        if waiting is None:
            waiting = self._tx.info[_WAITING] = []
            _listen(self._tx, waiting)
        waiting.append(callback)


def _listen(session: Any, waiting: list[Callable[[], None]]) -> None:
    """Once for each session: call what waits after the commit, drop it after a rollback."""
    from sqlalchemy import event  # noqa: PLC0415  (a lazy door: only callers who brought it get here)

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
