"""Answers that many ask for at the same time, asked for once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar, cast

from turnspit.clock import monotonic

__all__ = ["Shared"]

T = TypeVar("T")

_MOST = 500


class Shared:
    """Keeps each answer for a moment. A hundred screens that show the same cost the store what one costs."""

    def __init__(self) -> None:
        self._answers: dict[Hashable, tuple[float, Any]] = {}
        self._asking: dict[Hashable, asyncio.Task[Any]] = {}

    async def get(self, key: Hashable, seconds: float, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer under this key, not older than ``seconds``; who comes while it is asked for waits for that one."""
        known = self._answers.get(key)
        if known is not None and monotonic() - known[0] < seconds:
            return cast("T", known[1])
        own = (key, id(asyncio.get_running_loop()))
        asking = self._asking.get(own)
        if asking is None:
            asking = self._asking[own] = asyncio.create_task(self._ask(key, own, ask))
        return cast("T", await asyncio.shield(asking))

    def forget(self) -> None:
        """After a change, which everybody is to see at once."""
        self._answers.clear()

    async def _ask(self, key: Hashable, own: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        try:
            answer = await ask()
            if len(self._answers) >= _MOST:
                self._answers.clear()
            self._answers[key] = monotonic(), answer
            return answer
        finally:
            self._asking.pop(own, None)
