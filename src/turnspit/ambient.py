"""Joining the transaction that a framework keeps for its users, who then need no ``tx=``.

A framework's adapter says which transaction the caller is in; every verb of that caller runs in it, also those that
read, so that it sees what it has stored.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from turnspit.contract import Engine
from turnspit.contract.verbs import Verb

__all__ = ["AmbientTransactions", "joined"]

Q = ParamSpec("Q")
T = TypeVar("T")


class AmbientTransactions(Protocol):
    """A framework's transactions on the database in which the app's store is."""

    def current(self) -> object | None:
        """The transaction that the calling thread is in, as ``tx=`` takes it; ``None`` outside of any."""
        ...

    async def acall(self, function: Callable[[], T]) -> T:
        """Call a function of sync code where the transactions of the calling coroutine live."""
        ...


def joined(engine: Engine, ambient: AmbientTransactions) -> Engine:
    """``engine``, with each call as a part of the framework's transaction that its caller is in."""
    return cast("Engine", _JoiningEngine(engine, ambient))


class _JoiningEngine:
    def __init__(self, engine: Engine, ambient: AmbientTransactions) -> None:
        self._engine = engine
        self._ambient = ambient

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def write(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        tx = self._ambient.current()
        if tx is None:
            return self._engine.write(verb, *args, **kwargs)
        return self._engine.write_in(tx, verb, *args, **kwargs)

    def write_later(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> Callable[[], T]:
        tx = self._ambient.current()
        if tx is None:
            return self._engine.write_later(verb, *args, **kwargs)
        stored = self._engine.write_in(tx, verb, *args, **kwargs)
        return lambda: stored

    def read(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        tx = self._ambient.current()
        if tx is None:
            return self._engine.read(verb, *args, **kwargs)
        return self._engine.write_in(tx, verb, *args, **kwargs)

    async def awrite(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        done = await self._ambient.acall(lambda: self._in_current(verb, *args, **kwargs))
        return done[0] if done else await self._engine.awrite(verb, *args, **kwargs)

    async def aread(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        done = await self._ambient.acall(lambda: self._in_current(verb, *args, **kwargs))
        return done[0] if done else await self._engine.aread(verb, *args, **kwargs)

    def _in_current(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> tuple[T] | None:
        """``(answer,)`` of the verb in the caller's transaction; ``None`` if the caller is in none."""
        tx = self._ambient.current()
        return None if tx is None else (self._engine.write_in(tx, verb, *args, **kwargs),)
