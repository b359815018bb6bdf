"""Screens that change while one looks: server-sent events, drawn once for all who look at the same.

Nothing is asked of the store while nobody looks, and a hundred open pages cost it what one costs.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from turnspit.clock import monotonic, sleep
from turnspit.errors import TurnspitError
from turnspit.web.ending import ServerWatch

__all__ = ["Broadcaster"]

_PAUSE = 2.0
_BUSY_SHARE = 10
"""A screen that took long to draw is drawn again after so many times as long."""
_KEEP_ALIVE = 15.0
_LOOK_AGAIN = 0.5
_MOST_SCREENS = 50
_LONGEST_STREAM = 3600.0


@dataclass(eq=False)
class _Topic:
    """One screen, and those who look at it."""

    draw: Callable[[], Awaitable[str]]
    html: str = ""
    version: int = 0
    watchers: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    drawing: "asyncio.Task[None] | None" = None


class Broadcaster:
    """Draws each screen that somebody looks at again and again, and sends it where it changed."""

    def __init__(self) -> None:
        self._topics: dict[object, _Topic] = {}

    @property
    def screens(self) -> int:
        """How many different screens are being looked at."""
        return len(self._topics)

    async def watch(self, key: object, draw: Callable[[], Awaitable[str]]) -> AsyncIterator[str]:
        """Server-sent events: ``page`` with the drawn part whenever it changed, a comment when nothing did."""
        key = (id(asyncio.get_running_loop()), key)
        if key not in self._topics and len(self._topics) >= _MOST_SCREENS:
            yield _event("busy", "too many different screens are open")
            return
        topic = self._topics.setdefault(key, _Topic(draw))
        topic.watchers += 1
        if topic.drawing is None:
            topic.drawing = asyncio.create_task(self._keep_drawing(topic))
        try:
            yield "retry: 3000\n\n"
            until, seen, said, server = monotonic() + _LONGEST_STREAM, 0, monotonic(), ServerWatch()
            while monotonic() < until and not server.is_ending:
                if await self._news(topic, seen):
                    seen, said = topic.version, monotonic()
                    yield _event("page", topic.html)
                elif monotonic() - said > _KEEP_ALIVE:
                    said = monotonic()
                    yield ": still here\n\n"
        finally:
            topic.watchers -= 1
            if not topic.watchers:
                self._topics.pop(key, None)
                topic.drawing.cancel()

    async def _news(self, topic: _Topic, seen: int) -> bool:
        try:
            async with asyncio.timeout(_LOOK_AGAIN), topic.changed:
                await topic.changed.wait_for(lambda: topic.version > seen)
        except TimeoutError:
            return False
        return True

    async def _keep_drawing(self, topic: _Topic) -> None:
        while True:
            began = monotonic()
            try:
                html = await topic.draw()
            except TurnspitError:
                html = topic.html  # the store is away: what was seen last stays, and its age shows
            if html != topic.html or not topic.version:
                async with topic.changed:
                    topic.html, topic.version = html, topic.version + 1
                    topic.changed.notify_all()
            await sleep(max(_PAUSE, (monotonic() - began) * _BUSY_SHARE))


def _event(name: str, text: str) -> str:
    return f"event: {name}\ndata: {json.dumps(text)}\n\n"
