"""A cancellation that meets the store's answer is not swallowed: a worker that stops would wait for ever."""

import asyncio

import pytest

from turnspit.contract.verbs import Verb
from turnspit.engines.answers import ServingThreads, await_answer
from turnspit.engines.calls import Call

LOOP_TURNS = range(6)


class Idle:
    """Nobody who could help."""

    def help(self) -> None: ...

    def drop(self, call: Call) -> None: ...


def nothing() -> Verb[None]:
    yield from ()


@pytest.mark.parametrize("threads", [None, Idle()], ids=["sqlite", "postgres"])
@pytest.mark.parametrize("turns", LOOP_TURNS)
def test_a_call_cancelled_some_turns_of_the_loop_after_its_answer(turns: int, threads: ServingThreads | None) -> None:
    async def cancel() -> tuple[bool, bool]:
        call = Call(nothing)
        call.hand_over()
        waiter = asyncio.create_task(await_answer(call, 10, lambda: "too late", threads))
        await asyncio.sleep(0)
        call.resolve()
        for _ in range(turns):
            await asyncio.sleep(0)
        was_waiting = waiter.cancel()
        await asyncio.wait([waiter])
        return was_waiting, waiter.cancelled()

    was_waiting, cancelled = asyncio.run(cancel())
    assert cancelled == was_waiting
