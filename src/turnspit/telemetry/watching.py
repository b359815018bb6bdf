"""An engine whose calls are timed."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from turnspit.clock import monotonic
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb
from turnspit.errors import EngineError

__all__ = ["Called", "watched"]

Q = ParamSpec("Q")
T = TypeVar("T")

Called = Callable[[str, float, str | None], None]
"""Is called with the verb, the seconds that its call took, and the type of the store's error if it failed."""


def watched(engine: Engine, called: Called) -> Engine:
    """``engine``, which reports each of its calls to ``called``."""
    return cast("Engine", _WatchedEngine(engine, called))


class _WatchedEngine:
    def __init__(self, engine: Engine, called: Called) -> None:
        self._engine = engine
        self._called = called

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def write(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        with _Timed(verb, self._called):
            return self._engine.write(verb, *args, **kwargs)

    def write_apart(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        with _Timed(verb, self._called):
            return self._engine.write_apart(verb, *args, **kwargs)

    def write_later(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> Callable[[], T]:
        timed = _Timed(verb, self._called)
        wait = self._engine.write_later(verb, *args, **kwargs)

        def answer() -> T:
            with timed:
                return wait()

        return answer

    def try_write(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T | None:
        timed = _Timed(verb, self._called)
        with timed:
            answer = self._engine.try_write(verb, *args, **kwargs)
            timed.was_made = answer is not None
        return answer

    async def awrite(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        with _Timed(verb, self._called):
            return await self._engine.awrite(verb, *args, **kwargs)

    async def awrite_beside(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        with _Timed(verb, self._called):
            return await self._engine.awrite_beside(verb, *args, **kwargs)

    def read(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        with _Timed(verb, self._called):
            return self._engine.read(verb, *args, **kwargs)

    async def aread(self, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        with _Timed(verb, self._called):
            return await self._engine.aread(verb, *args, **kwargs)

    def write_in(self, tx: Any, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        with _Timed(verb, self._called):
            return self._engine.write_in(tx, verb, *args, **kwargs)

    async def awrite_in(self, tx: Any, verb: Callable[Q, Verb[T]], *args: Q.args, **kwargs: Q.kwargs) -> T:
        with _Timed(verb, self._called):
            return await self._engine.awrite_in(tx, verb, *args, **kwargs)


class _Timed:
    """One call, timed from its construction."""

    __slots__ = ("_called", "_name", "_started", "was_made")

    def __init__(self, verb: Callable[..., object], called: Called) -> None:
        self._name = getattr(verb, "__name__", "call").strip("_")
        self._called = called
        self._started = monotonic()
        self.was_made = True
        """Whether the store was asked: else there is nothing to report."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        failed = kind.__name__ if kind is not None and issubclass(kind, EngineError) else None
        if self.was_made:
            self._called(self._name, monotonic() - self._started, failed)
