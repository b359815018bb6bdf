"""How sync and async code wait for the answer to a call."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from turnspit.delivery import delivery_to
from turnspit.engines.calls import Call
from turnspit.errors import EngineUnavailable

__all__ = ["APART_DEADLINE", "ServingThreads", "await_answer", "wait_for_answer"]

APART_DEADLINE = 3.0
"""Seconds that ``write_apart`` waits at most: within a lease of 15 seconds there is then time for another try."""
_HELP_AFTER = 0.25
"""Seconds after which a caller asks for help: its call may be queued behind one that waits for a lock."""


class ServingThreads(Protocol):
    """The threads that serve a queue of calls, and what a caller who waits can ask of them."""

    def help(self) -> None:
        """An answer takes long: bring in another thread."""
        ...

    def drop(self, call: Call) -> None:
        """Stop a call that has started and that nobody waits for any longer."""
        ...


def wait_for_answer(call: Call, deadline: float, late: Callable[[], str], threads: ServingThreads | None = None) -> Any:
    """Wait for the answer to a call, in sync code.

    :param deadline: seconds to wait at most.
    :param late: makes the first half of the error message that says there was no answer in time.
    :raises EngineUnavailable: if there was none.
    """
    if call.is_answered:
        return call.answer()
    try:
        remaining = deadline
        if threads is not None and deadline > _HELP_AFTER and not call.wait(_HELP_AFTER):
            threads.help()
            remaining -= _HELP_AFTER
        is_answered = call.wait(remaining)
    except BaseException:  # Ctrl-C
        call.take_back()
        raise
    return call.answer() if is_answered else _late_answer(call, late, threads)


async def await_answer(
    call: Call, deadline: float, late: Callable[[], str], threads: ServingThreads | None = None
) -> Any:
    """``wait_for_answer`` for async code."""
    loop = asyncio.get_running_loop()
    has_come: asyncio.Future[bool] = loop.create_future()
    delivery = delivery_to(loop)
    call.when_answered(lambda: delivery.add(has_come))
    timer = _Timer(loop, has_come, deadline, threads)
    try:
        is_answered = await has_come
    except asyncio.CancelledError:
        call.take_back()
        raise
    finally:
        timer.cancel()
    return call.answer() if is_answered else _late_answer(call, late, threads)


class _Timer:
    """The timer of a call that waits: asks for help when the answer takes long, and gives up at the deadline."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        has_come: "asyncio.Future[bool]",
        deadline: float,
        threads: ServingThreads | None,
    ) -> None:
        self._loop = loop
        self._has_come = has_come
        self._helpers = threads
        self._remaining = deadline - _HELP_AFTER if threads is not None else 0.0
        delay, action = (_HELP_AFTER, self._ask_for_help) if self._remaining > 0 else (deadline, self._give_up)
        self._handle = loop.call_later(delay, action)

    def _ask_for_help(self) -> None:
        if not self._has_come.done() and self._helpers is not None:
            self._helpers.help()
            self._handle = self._loop.call_later(self._remaining, self._give_up)

    def _give_up(self) -> None:
        if not self._has_come.done():
            self._has_come.set_result(False)

    def cancel(self) -> None:
        self._handle.cancel()


def _late_answer(call: Call, late: Callable[[], str], threads: ServingThreads | None) -> Any:
    """Return an answer that came at the last moment; otherwise raise what is known of the call's fate."""
    is_not_run = call.take_back()
    if call.is_answered:
        return call.answer()
    if threads is not None and not is_not_run:
        threads.drop(call)
    fate = "the call was not carried out" if is_not_run else "the call may or may not have been carried out"
    raise EngineUnavailable(f"{late()}: {fate}")
