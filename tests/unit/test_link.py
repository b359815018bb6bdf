"""A worker's side of the line to its supervisor."""

import asyncio
import json
import logging
import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from turnspit._runtime import link as link_module
from turnspit._runtime.health import HealthReport
from turnspit._runtime.link import Link
from turnspit.errors import EngineUnavailable
from turnspit.records import RescueReport


class Store:
    """Declares workers dead, once it is there."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.may_answer = threading.Event()
        self.failures = 2

    def declare_dead(self, worker: int) -> RescueReport:
        self.asked.release()
        assert self.may_answer.wait(20)
        self.failures -= 1
        if self.failures >= 0:
            raise EngineUnavailable("away")
        return RescueReport((worker,), (), (), ())

    async def tell(self, report: RescueReport) -> None: ...


def said(line: Any) -> dict[str, Any]:
    return dict(json.loads(line.readline()))


def test_a_store_that_is_away_keeps_no_worker_from_saying_that_it_lives(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A dead sibling's jobs are offered to the store again and again, which is said once."""
    monkeypatch.setattr(link_module, "_SAY", 0.01)
    caplog.set_level(logging.INFO, "turnspit")
    supervisor, own = socket.socketpair()
    store = Store()
    worker: Any = SimpleNamespace(id=2, rescuer=store, finisher=SimpleNamespace(finished=0))

    async def live() -> None:
        link = Link(own, worker, lambda: HealthReport(live=True, ready=True))
        link.start()
        await asyncio.to_thread(listen)
        link.stop()
        for thread in (link._thread, link._declaring):  # they would find the line closed
            assert thread is not None
            thread.join(20)

    def listen() -> None:
        with supervisor.makefile() as line:
            supervisor.sendall(json.dumps({"declare_dead": 1}).encode() + b"\n")
            assert store.asked.acquire(timeout=20)
            assert [said(line)["live"] for _ in range(50)] == [True] * 50
            store.may_answer.set()
            while said(line)["declared"] != [1]:
                pass

    with supervisor, own:
        asyncio.run(live())
    assert [text for text in caplog.messages if "could not be returned" in text] == [
        "the jobs of worker 1, which died, could not be returned yet: away"
    ]


def test_the_last_counts_are_not_followed_by_older_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line's thread has looked at them when the worker ends and says its last ones."""
    monkeypatch.setattr(link_module, "_SAY", 0.01)
    supervisor, own = socket.socketpair()
    worker: Any = SimpleNamespace(id=2, rescuer=Store(), finisher=SimpleNamespace(finished=0))
    looked, may_go_on, counted = threading.Event(), threading.Event(), [1.0]

    def counts() -> dict[tuple[str, ...], list[float]]:
        seen = list(counted)
        if not looked.is_set():
            looked.set()
            assert may_go_on.wait(20)
        return {("jobs",): seen}

    async def live() -> None:
        link = Link(own, worker, lambda: HealthReport(live=True, ready=True), counts)
        link.start()
        assert await asyncio.to_thread(looked.wait, 20)
        counted[0] = 2.0
        threading.Timer(0.1, may_go_on.set).start()
        await asyncio.to_thread(link.stop)
        link._thread.join(20)

    with supervisor, own:
        asyncio.run(live())
        own.shutdown(socket.SHUT_WR)
        with supervisor.makefile() as line:
            told = [said["counts"][0][1] for said in map(json.loads, line) if "counts" in said]
    assert told[-1] == [2.0]
