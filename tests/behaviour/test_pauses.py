"""``app.queues.pause`` and ``resume``, seen from an application."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from turnspit import ConfigurationError, Turnspit, testing
from turnspit._runtime.worker.prefetch import Prefetch
from turnspit._runtime.worker.wake_listener import WakeListener
from turnspit.errors import InvalidPayload


@pytest.fixture
def app() -> Turnspit:
    return Turnspit("sqlite:///never-opened.db")


@pytest.mark.parametrize("what", [{"queue": ""}, {"queue": 5}, {"task": "a\0"}, {"tag": "\ud800"}])
def test_what_is_no_name_is_not_paused(app: Turnspit, what: Any) -> None:
    for verb in (app.queues.pause, app.queues.resume):
        with pytest.raises(InvalidPayload, match=f"a {next(iter(what))}'s name must be text"):
            verb(**what)


def test_a_paused_queue_waits_and_goes_on(app: Turnspit) -> None:
    ran: list[int] = []

    @app.task(queue="email")
    def send(number: int) -> None:
        ran.append(number)

    with testing.override(app) as store:
        assert app.queues.pause("email")
        send.enqueue(number=1)
        store.drain()
        assert ran == []
        [pause] = app.queues.paused()
        assert (pause.kind, pause.name, pause.paused_at) == ("queue", "email", store.now)
        assert app.queues.resume("email")
        store.drain()
    assert ran == [1]


@pytest.mark.parametrize("wakes", [True, False])
def test_jobs_claimed_in_advance_go_back(tmp_path: Path, wakes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no wake arrives: then the worker sees the pause when it looks around."""
    app = Turnspit(f"sqlite:///{tmp_path}/jobs.db")
    if not wakes:
        monkeypatch.setattr(WakeListener, "_react", lambda *_: None)
    begun, end = threading.Event(), threading.Event()
    returned = threading.Event()
    awrite = app.engine.awrite

    async def seen(verb: Any, *args: Any) -> Any:
        answer = await awrite(verb, *args)
        if verb == app.engine.return_jobs:
            returned.set()
        return answer

    monkeypatch.setattr(app.engine, "awrite", seen)

    @app.task
    def send(number: int) -> None:
        begun.set()
        assert end.wait(20)

    # Claimed ahead of their turn, as a worker does that has measured fast jobs.
    monkeypatch.setattr(Prefetch, "measure", lambda self, now, **counts: setattr(self, "jobs", 10))
    with app.worker(concurrency=1):
        app.enqueue_many(send.new(number=number) for number in range(5))
        assert begun.wait(20)
        app.queues.pause("default")
        is_returned = returned.wait(20)
        running = app.queues.stats()[0].running
        end.set()
    assert (is_returned, running) == (True, 1)
    app.close()


def test_async_twins(app: Turnspit) -> None:
    @app.task
    async def send() -> None: ...

    async def go() -> None:
        async with testing.override(app) as store:
            assert await app.queues.apause(task="send")
            assert not await app.queues.apause(task="send")
            await send.aenqueue()
            assert await store.adrain() == []
            assert [pause.name for pause in await app.queues.apaused()] == ["send"]
            assert await app.queues.aresume(task="send")
            assert len(await store.adrain()) == 1

    asyncio.run(go())


def test_a_paused_tag_holds_those_jobs_alone(app: Turnspit) -> None:
    ran: list[int] = []

    @app.task
    def load(number: int) -> None:
        ran.append(number)

    with testing.override(app) as store:
        app.queues.pause(tag="import")
        load.using(tags=["import", "nightly"]).enqueue(number=1)
        load.using(tags=["nightly"]).enqueue(number=2)
        store.drain()
        assert ran == [2]
        app.queues.resume(tag="import")
        store.drain()
    assert ran == [2, 1]


@pytest.mark.parametrize("names", [{}, {"queue": "email", "task": "send"}, {"task": "send", "tag": "import"}])
def test_what_is_meant_has_to_be_named(app: Turnspit, names: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="name what is meant"):
        app.queues.pause(**names)
