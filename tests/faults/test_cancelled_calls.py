"""A cancellation that meets the store's answer is not swallowed: a worker that stops would wait for ever."""

import asyncio
from concurrent.futures import Future
from pathlib import Path

import pytest

from turnspit.engines.sqlite import SqliteEngine

LOOP_TURNS = range(6)


@pytest.mark.parametrize("turns", LOOP_TURNS)
def test_a_call_cancelled_some_turns_of_the_loop_after_its_answer(tmp_path: Path, turns: int) -> None:
    engine = SqliteEngine(tmp_path / "shop.db")

    async def cancel() -> tuple[bool, bool]:
        answer: Future[int] = Future()
        call = asyncio.create_task(engine._await(answer))
        await asyncio.sleep(0)
        answer.set_result(1)
        for _ in range(turns):
            await asyncio.sleep(0)
        was_waiting = call.cancel()
        await asyncio.wait([call])
        return was_waiting, call.cancelled()

    was_waiting, cancelled = asyncio.run(cancel())
    assert cancelled == was_waiting
