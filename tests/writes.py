"""What a worker writes, watched: on each of the connections that its engine writes on."""

from collections.abc import Callable
from typing import Any

from turnspit import Turnspit

__all__ = ["after_writes", "before_writes"]


def before_writes(app: Turnspit, look: Callable[[Any, tuple[Any, ...]], None]) -> None:
    """Call this with the verb and the arguments of each write, before it is made."""
    _watch(app, look, lambda verb, arguments, answer: None)


def after_writes(app: Turnspit, look: Callable[[Any, tuple[Any, ...], Any], None]) -> None:
    """Call this with the verb, the arguments and the answer of each write, once it is committed."""
    _watch(app, lambda verb, arguments: None, look)


def _watch(app: Turnspit, before: Callable[..., None], after: Callable[..., None]) -> None:
    def watched(name: str) -> Any:
        original = getattr(app.engine, name)

        async def write(verb: Any, *arguments: Any, **options: Any) -> Any:
            before(verb, arguments)
            answer = await original(verb, *arguments, **options)
            after(verb, arguments, answer)
            return answer

        return write

    for name in ("awrite", "awrite_beside"):
        setattr(app.engine, name, watched(name))
