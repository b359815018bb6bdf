"""Who looks whether the event loop of a worker that was told to stop comes back."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from turnspit._runtime import last_resort as module
from turnspit._runtime.last_resort import LastResort


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    monkeypatch.setattr(module, "_ASK", 0.02)
    before = signal.getsignal(signal.SIGUSR1)
    yield []
    signal.signal(signal.SIGUSR1, before)


def watch(said: list[str], block: Callable[[threading.Event], None], *, is_busy: bool, signals: int = 1) -> None:
    """Send signals and run ``block`` on the loop; its event is set when the process would be left."""
    left = threading.Event()

    def leave() -> None:
        said.append("left")
        left.set()

    async def live() -> None:
        loop = asyncio.get_running_loop()
        warned = threading.Event()
        last = LastResort(loop, 0.01, is_busy=lambda: is_busy, warn=warned.set, leave=leave)
        last.hear(signal.SIGUSR1)
        last.start()
        for _ in range(signals):
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.sleep(0)
        block(left)
        last.stop()

    asyncio.run(live())


def test_a_loop_that_a_job_blocks_is_left(said: list[str]) -> None:
    watch(said, lambda left: said.append(f"blocked until {left.wait(20)}"), is_busy=True)
    assert set(said) == {"left", "blocked until True"}


def test_a_lifespan_may_take_its_time_to_close(said: list[str]) -> None:
    """What it blocks is nobody's job; twenty times the patience with a job."""
    watch(said, lambda left: said.append(f"blocked until {left.wait(1.2)}"), is_busy=False)
    assert said == ["blocked until False"]


def test_a_second_signal_does_not_wait_for_it(said: list[str]) -> None:
    watch(said, lambda left: said.append(f"blocked until {left.wait(20)}"), is_busy=False, signals=2)
    assert set(said) == {"left", "blocked until True"}


def test_a_loop_that_answers_is_let_be(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ASK", 5.0)
    asked = threading.Semaphore(0)

    class Counted(LastResort):
        def _answers(self) -> bool:
            answers = super()._answers()
            asked.release()
            return answers

    async def live() -> None:
        loop = asyncio.get_running_loop()
        last = Counted(loop, 0.0, is_busy=lambda: True, warn=lambda: None, leave=lambda: said.append("left"))
        last.hear(signal.SIGUSR1)
        last.start()
        os.kill(os.getpid(), signal.SIGUSR1)
        for _ in range(2):
            assert await asyncio.to_thread(asked.acquire, timeout=20)
        last.stop()

    asyncio.run(live())
    assert said == []
