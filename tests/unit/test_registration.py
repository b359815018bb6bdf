"""How a worker that was declared dead comes back."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from turnspit._runtime.outage import Outage
from turnspit._runtime.worker.registration import Registration
from turnspit._runtime.worker.settings import WorkerSettings
from turnspit.errors import EngineError, EngineUnavailable


class Store:
    """Fails a few times, each time otherwise."""

    location = "here"
    register_worker = renew_lease = None

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.registered = 0

    async def awrite(self, verb: Any, new: Any) -> int:
        if self.failures:
            raise self.failures.pop(0)
        self.registered += 1
        return self.registered

    def write_apart(self, *_: Any) -> bool:
        return True

    def find_danger(self) -> None:
        """There is none."""


def test_it_comes_back_whatever_goes_wrong_meanwhile(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    parts: Any = SimpleNamespace(engine=store, version="1", tasks=SimpleNamespace(names=frozenset()))

    async def live() -> None:
        back, lost = asyncio.Event(), []
        registration = Registration(
            parts, WorkerSettings(), Outage(), back.set, on_lost=lambda: lost.append(1), look=lambda: None
        )
        await registration.register()
        back.clear()
        store.failures = [EngineUnavailable("away"), EngineError("refused"), RuntimeError("can't start new thread")]
        registration._lose()
        assert (registration.id, lost) == (0, [1])
        async with asyncio.timeout(20):
            await back.wait()
        assert registration.id == 2
        registration.let_go()

    asyncio.run(live())
    assert "could not register again: can't start new thread; trying again in" in caplog.text
