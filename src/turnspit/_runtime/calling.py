"""Calling the application's own functions, whatever they raise."""

import asyncio
import logging
import os
import sys
import traceback
from collections.abc import Callable
from inspect import isawaitable, iscoroutinefunction
from typing import Any, TypeVar

from turnspit.events import LISTENER_ERRORS, is_stopping

__all__ = ["call_listener", "leave_if_copy", "without_stop_iteration"]

T = TypeVar("T")

logger = logging.getLogger("turnspit")


async def call_listener(function: Callable[..., Any], *arguments: Any, failure: str) -> None:
    """Call a function that is only told of something: a plain one in a thread. What it raises is logged.

    :param failure: the line for the log where it raises.
    """
    try:
        if iscoroutinefunction(function):
            await function(*arguments)
            return
        answer = await asyncio.to_thread(without_stop_iteration, lambda: function(*arguments))
        if isawaitable(answer):
            await answer
    except LISTENER_ERRORS:
        if is_stopping():
            raise
        logger.exception(failure)


def without_stop_iteration(function: Callable[[], T]) -> T:
    """Call a function in a thread: a future cannot carry StopIteration, and whoever awaits it would never hear."""
    try:
        return function()
    except StopIteration as error:
        raise RuntimeError("the function raised StopIteration") from error


def leave_if_copy(original: int, error: BaseException | None = None) -> None:
    """End this process if it is a copy that a task has forked from this one, and that comes back from its function: all
    that follows is for the original to do.
    """
    if os.getpid() == original:
        return
    if error is not None:
        traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(error is not None))
