"""One timer for the earliest of many moments, on both kinds of event loop."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from turnspit._runtime.worker.alarm import Alarm

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.mark.parametrize("new_loop", LOOPS, ids=["asyncio", "uvloop"])
def test_it_rings_once_at_the_earliest_moment(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def ring() -> int:
        rung: list[float] = []
        done = asyncio.Event()
        alarm = Alarm(lambda: (rung.append(0), done.set()))  # type: ignore[func-returns-value]
        for delay in (3600.0, 0.01, 60.0):
            alarm.set(delay)
        async with asyncio.timeout(10):
            await done.wait()
        return len(rung)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(ring()) == 1


@pytest.mark.parametrize("delay", [0.0, -1.0, 1e-9])
@pytest.mark.parametrize("new_loop", LOOPS, ids=["asyncio", "uvloop"])
def test_it_is_set_again_while_it_is_due_at_once(
    new_loop: Callable[[], asyncio.AbstractEventLoop], delay: float
) -> None:
    """uvloop has no timer for what is due now, and the handle that it returns knows no time."""

    async def ring() -> None:
        done = asyncio.Event()
        alarm = Alarm(done.set)
        alarm.set(delay)
        alarm.set(delay)
        alarm.set(0.02)
        async with asyncio.timeout(10):
            await done.wait()
        alarm.set(0.0)
        alarm.clear()
        alarm.clear()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(ring())
