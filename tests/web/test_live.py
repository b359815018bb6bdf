"""Many look at the same: it is drawn once, and not at all while nobody looks."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import uvicorn

from turnspit.testing import TestStore
from turnspit.web import make_dashboard
from turnspit.web.live import Broadcaster
from turnspit.web.sharing import Shared


def in_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    return lambda: asyncio.run(test())


async def first_page(broadcaster: Broadcaster, key: str, draw: "object") -> str:
    stream = broadcaster.watch(key, draw)  # type: ignore[arg-type]
    async for event in stream:
        if event.startswith("event: page"):
            await stream.aclose()  # type: ignore[attr-defined]
            return str(json.loads(event.partition("data: ")[2]))
    return ""


@in_a_loop
async def test_a_hundred_who_look_cost_what_one_costs() -> None:
    drawn = 0

    async def draw() -> str:
        nonlocal drawn
        drawn += 1
        return f"page {drawn}"

    broadcaster = Broadcaster()
    pages = await asyncio.gather(*(first_page(broadcaster, "/", draw) for _ in range(100)))
    assert set(pages) == {"page 1"}
    assert drawn == 1
    assert broadcaster.screens == 0
    await asyncio.sleep(0)
    assert drawn == 1


@in_a_loop
async def test_only_so_many_different_screens_are_drawn() -> None:
    async def draw() -> str:
        return ""

    broadcaster = Broadcaster()
    streams = [broadcaster.watch(number, draw) for number in range(50)]
    for stream in streams:
        await anext(aiter(stream))
    assert (await anext(aiter(broadcaster.watch("another", draw)))).startswith("event: busy")
    for stream in streams:
        await stream.aclose()  # type: ignore[attr-defined]


@in_a_loop
async def test_what_is_asked_for_at_the_same_time_is_asked_once() -> None:
    asked, shared = 0, Shared()

    async def ask() -> int:
        nonlocal asked
        await asyncio.sleep(0)
        asked += 1
        return asked

    assert await asyncio.gather(*(shared.get("key", 60, ask) for _ in range(20))) == [1] * 20
    assert await shared.get("key", 60, ask) == 1
    shared.forget()
    assert await shared.get("key", 60, ask) == 2
    assert await shared.get("key", 0, ask) == 3


def test_an_open_page_keeps_no_server_from_ending(shop: TestStore) -> None:
    """uvicorn, as it is by default, waits for every answer to end."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    app = make_dashboard(shop.app, only_loopback=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    with listener, httpx.stream("GET", f"http://127.0.0.1:{listener.getsockname()[1]}/live?page=/jobs") as answer:
        lines = answer.iter_lines()
        while next(lines) != "event: page":
            pass
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
