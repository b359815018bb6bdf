"""Handlers and what happens when one fails."""

import asyncio
import logging

import pytest

from turnspit import Event
from turnspit.events import EVENT_NAMES, EventBus

EVENT = Event("dead", 7, "send", "email", 3, "OSError", "gone")


def test_handlers_are_called_in_order_plain_and_async() -> None:
    bus, heard = EventBus(), []

    async def second(event: Event) -> None:
        await asyncio.sleep(0)
        heard.append(("second", event.job_id))

    bus.on(("dead", "failed"), lambda event: heard.append(("first", event.job_id)))
    bus.on(("dead",), second)
    asyncio.run(bus.send(EVENT))
    assert heard == [("first", 7), ("second", 7)]
    assert {name for name in EVENT_NAMES if bus.wants(name)} == {"dead", "failed"}


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), asyncio.CancelledError()])
def test_a_handler_that_raises_is_logged_and_the_next_one_called(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    bus, heard = EventBus(), []

    def failing(event: Event) -> None:
        raise error

    bus.on(("dead",), failing)
    bus.on(("dead",), lambda event: heard.append(event))
    with caplog.at_level(logging.ERROR, "turnspit"):
        asyncio.run(bus.send(EVENT))
    assert heard == [EVENT]
    assert "the dead handler" in caplog.text
    assert "failed for job 7" in caplog.text


def test_whoever_sends_can_be_cancelled_while_a_handler_waits() -> None:
    bus, began = EventBus(), asyncio.Event()

    async def waits(event: Event) -> None:
        began.set()
        await asyncio.Event().wait()

    async def main() -> bool:
        bus.on(("dead",), waits)
        sending = asyncio.create_task(bus.send(EVENT))
        await began.wait()
        sending.cancel()
        await asyncio.wait([sending])
        return sending.cancelled()

    assert asyncio.run(main())
