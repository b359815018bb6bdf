"""A cancellation that meets the store's answer is not swallowed: a worker that stops would wait for ever."""

import asyncio
from concurrent.futures import Future
from typing import Any

import pytest

from turnspit.engines.calls import Waiting, await_answer

LOOP_TURNS = range(6)


class Idle:
    """Nobody who could help."""

    def help(self) -> None: ...

    def drop(self, future: Future[Any]) -> None: ...


@pytest.mark.parametrize("waiting", [None, Idle()], ids=["sqlite", "postgres"])
@pytest.mark.parametrize("turns", LOOP_TURNS)
def test_a_call_cancelled_some_turns_of_the_loop_after_its_answer(turns: int, waiting: Waiting | None) -> None:
    async def cancel() -> tuple[bool, bool]:
        answer: Future[int] = Future()
        call = asyncio.create_task(await_answer(answer, 10, lambda: "too late", waiting))
        await asyncio.sleep(0)
        answer.set_result(1)
        for _ in range(turns):
            await asyncio.sleep(0)
        was_waiting = call.cancel()
        await asyncio.wait([call])
        return was_waiting, call.cancelled()

    was_waiting, cancelled = asyncio.run(cancel())
    assert cancelled == was_waiting
