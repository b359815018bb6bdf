"""A cache of the store's answers: what many people ask for at the same time is read once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar, cast

from turnspit.clock import monotonic

__all__ = ["AnswerCache"]

T = TypeVar("T")

_MOST = 500


class AnswerCache:
    """Keeps each answer for some seconds, so that a hundred open screens cost the store as much as one."""

    def __init__(self) -> None:
        self._answers: dict[Hashable, tuple[float, Any]] = {}
        self._asking: dict[Hashable, asyncio.Task[Any]] = {}

    async def get(self, key: Hashable, seconds: float, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer for this key, at most ``seconds`` old. Callers that come while it is being fetched share it."""
        known = self._answers.get(key)
        if known is not None and monotonic() - known[0] < seconds:
            return cast("T", known[1])
        own = (key, id(asyncio.get_running_loop()))
        asking = self._asking.get(own)
        if asking is None:
            asking = self._asking[own] = asyncio.create_task(self._ask(key, own, ask))
        return cast("T", await asyncio.shield(asking))

    def forget(self) -> None:
        """Ask anew from now on, after a change. An answer that is still on its way may not have the change yet."""
        self._answers.clear()
        self._asking.clear()

    async def _ask(self, key: Hashable, own: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        asking = asyncio.current_task()
        try:
            answer = await ask()
            if self._asking.get(own) is asking:  # else a change came meanwhile
                if len(self._answers) >= _MOST:
                    self._answers.clear()
                self._answers[key] = monotonic(), answer
            return answer
        finally:
            if self._asking.get(own) is asking:
                self._asking.pop(own, None)
