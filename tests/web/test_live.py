"""Many look at the same: it is drawn once, and not at all while nobody looks."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
import uvicorn

from tests.web.conftest import TestClient
from turnspit.testing import TestStore
from turnspit.web import live, make_dashboard
from turnspit.web.answer_cache import AnswerCache
from turnspit.web.live import Broadcaster


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


def test_who_comes_is_sent_nothing_that_was_asked_of_the_store_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may have pressed a button since, and their page shows what came of it."""
    monkeypatch.setattr(live, "_PAUSE", 0.0)

    async def look() -> None:
        store, may_end = "before", asyncio.Event()

        async def draw() -> str:
            found = store
            await may_end.wait()
            return found

        broadcaster = Broadcaster()
        other = aiter(broadcaster.watch("/", draw))
        await anext(other)
        await asyncio.sleep(0)  # the drawing begins
        store = "after"
        page = asyncio.create_task(first_page(broadcaster, "/", draw))
        await asyncio.sleep(0)
        may_end.set()
        assert await page == "after"
        await other.aclose()  # type: ignore[attr-defined]

    asyncio.run(look())


def test_a_drawing_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it raises: the page would stand still, and look live."""
    monkeypatch.setattr(live, "_PAUSE", 0.0)
    drawings = 0

    async def draw() -> str:
        nonlocal drawings
        drawings += 1
        if drawings == 2:
            raise KeyError("a bug")
        return f"page {drawings}"

    async def look() -> None:
        events = aiter(Broadcaster().watch("/", draw))
        pages = [await anext(events), await anext(events), await anext(events)]
        assert "page 1" in pages[1]
        assert "page 3" in pages[2]
        await events.aclose()  # type: ignore[attr-defined]

    asyncio.run(asyncio.wait_for(look(), 10))


def test_a_page_asks_again_within_a_minute_whether_it_may_still_look(
    shop: TestStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For an hour it went on to be sent everything, though the person had signed out, or had lost the right."""
    monkeypatch.setattr(live, "_LOOK_AGAIN", 0.01)
    now, may_look = 0.0, True

    def authorize(request: object, action: str) -> bool:
        return may_look

    def monotonic() -> float:
        nonlocal now
        now += 10.0
        return now

    monkeypatch.setattr(live, "monotonic", monotonic)
    with TestClient(make_dashboard(shop.app, authorize=authorize)) as client:
        assert client.get("/live?page=/jobs").text.endswith('event: again\ndata: ""\n\n')
        assert now <= 120, "a minute, and what the drawings asked"
        may_look = False
        assert client.get("/live?page=/jobs").status_code == 403


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
    asked, cache = 0, AnswerCache()

    async def ask() -> int:
        nonlocal asked
        await asyncio.sleep(0)
        asked += 1
        return asked

    assert await asyncio.gather(*(cache.get("key", 60, ask) for _ in range(20))) == [1] * 20
    assert await cache.get("key", 60, ask) == 1
    cache.forget()
    assert await cache.get("key", 60, ask) == 2
    assert await cache.get("key", 0, ask) == 3


@in_a_loop
async def test_an_answer_that_a_change_overtook_is_not_shared() -> None:
    cache, is_paused = AnswerCache(), False
    has_looked, may_answer = asyncio.Event(), asyncio.Event()

    async def ask() -> bool:
        found = is_paused
        has_looked.set()
        await may_answer.wait()
        return found

    before = asyncio.create_task(cache.get("queue", 60, ask))
    await has_looked.wait()
    is_paused = True
    cache.forget()
    after = asyncio.create_task(cache.get("queue", 60, ask))
    asyncio.get_running_loop().call_soon(may_answer.set)
    assert await asyncio.gather(before, after) == [False, True]
    assert await cache.get("queue", 60, ask) is True


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
