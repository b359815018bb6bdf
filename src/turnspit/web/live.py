"""Screens that update live: server-sent events, drawn once for everybody who watches the same screen.

The store is asked nothing while nobody watches, and a hundred open pages cost it as much as one.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from turnspit.clock import monotonic, sleep
from turnspit.errors import TurnspitError
from turnspit.web.server_watch import ServerWatch

__all__ = ["Broadcaster"]

logger = logging.getLogger("turnspit")

_PAUSE = 2.0
_BUSY_SHARE = 10
"""A screen is drawn again after this many times as long as its last drawing took."""
_KEEP_ALIVE = 15.0
_LOOK_AGAIN = 0.5
_MOST_SCREENS = 50
_LONGEST_STREAM = 60.0
"""Then the page asks again, so that who has signed out, or may look no longer, sees no more."""


@dataclass(eq=False)
class _Topic:
    """One screen, and those who watch it."""

    draw: Callable[[], Awaitable[str]]
    html: str = ""
    version: int = 0
    begun: int = 0
    drawn: int = 0
    """The numbers of the last drawing that began, and of the last that is done."""
    watchers: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    drawing: "asyncio.Task[None] | None" = None


class Broadcaster:
    """Keeps drawing each screen that somebody watches, and sends it whenever it has changed."""

    def __init__(self) -> None:
        self._topics: dict[object, _Topic] = {}

    @property
    def screens(self) -> int:
        """How many different screens are watched."""
        return len(self._topics)

    async def watch(self, key: object, draw: Callable[[], Awaitable[str]]) -> AsyncIterator[str]:
        """Server-sent events: ``page`` with the drawn part whenever it changed, a comment when nothing did, ``again``
        where the page is to ask again.

        A new watcher has just loaded the page, perhaps after pressing a button. It is never sent a drawing that began
        before it came, which could be older than what it shows.
        """
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
            joined = topic.begun
            while monotonic() < until and not server.is_ending:
                if await self._news(topic, seen, joined):
                    seen, said = topic.version, monotonic()
                    yield _event("page", topic.html)
                elif monotonic() - said > _KEEP_ALIVE:
                    said = monotonic()
                    yield ": still here\n\n"
            if not server.is_ending:
                yield _event("again", "")
        finally:
            topic.watchers -= 1
            if not topic.watchers:
                self._topics.pop(key, None)
                topic.drawing.cancel()

    async def _news(self, topic: _Topic, seen: int, joined: int) -> bool:
        try:
            async with asyncio.timeout(_LOOK_AGAIN), topic.changed:
                await topic.changed.wait_for(lambda: topic.version > seen and topic.drawn > joined)
        except TimeoutError:
            return False
        return True

    async def _keep_drawing(self, topic: _Topic) -> None:
        while True:
            began = monotonic()
            topic.begun += 1
            try:
                html = await topic.draw()
            except TurnspitError:
                html = topic.html  # the store is away: the last drawing stays, and its times show how old it is
            except Exception:
                logger.exception("a screen of the dashboard could not be drawn")
                html = topic.html
            async with topic.changed:
                if html != topic.html or not topic.version:
                    topic.html, topic.version = html, topic.version + 1
                topic.drawn = topic.begun
                topic.changed.notify_all()
            await sleep(max(_PAUSE, (monotonic() - began) * _BUSY_SHARE))


def _event(name: str, text: str) -> str:
    return f"event: {name}\ndata: {json.dumps(text)}\n\n"
