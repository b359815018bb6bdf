"""Exceptions that cross from one process to another: as JSON, never as a pickle.

They come back as the type that they were, where this process has imported it, so that ``Retry(on=...)`` and the
outcomes that a task raises mean the same on both sides; else as the nearest type above it.
"""

import contextlib
import json
import linecache
import re
import sys
from traceback import FrameSummary, format_list
from typing import Any

from turnspit._runtime.worker.failures import Foreign, format_traceback, is_ours, message_of

__all__ = ["pack", "stack_of_dump", "unpack"]

_FRAME = re.compile(r'  File "(.+)", line (\d+) in (.+)')


def pack(error: BaseException) -> dict[str, Any]:
    """An exception as JSON values."""
    kinds = [kind for kind in type(error).__mro__ if issubclass(kind, BaseException)]
    return {
        "kinds": [[kind.__module__, kind.__qualname__] for kind in kinds],
        "name": type(error).__name__,
        "message": message_of(error),
        "traceback": format_traceback(error),
        "args": list(error.args) if all(_is_plain(value) for value in error.args) else [message_of(error)],
        "state": {name: value for name, value in vars(error).items() if _is_plain(value) and name != "__notes__"},
    }


def unpack(packed: dict[str, Any]) -> BaseException:
    """The exception that ``pack`` took apart."""
    error = next(filter(None, (_make(module, name, packed) for module, name in packed["kinds"])), None)
    error = error or Exception(*packed["args"])
    error.__cause__ = Foreign(packed["name"], packed["message"], packed["traceback"])
    return error


def _make(module: str, name: str, packed: dict[str, Any]) -> BaseException | None:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        return None
    try:
        error = found.__new__(found, *packed["args"])
        error.args = tuple(packed["args"])
    except Exception:  # a __new__ of the user's own
        return None
    for key, value in packed["state"].items():
        with contextlib.suppress(AttributeError):
            setattr(error, key, value)
    return error


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def stack_of_dump(text: str) -> str:
    """What faulthandler wrote, as Python writes a traceback: without Turnspit's own frames, the newest last."""
    _, _, frames = text.partition("(most recent call first):\n")
    found: list[FrameSummary] = []
    for line in frames.splitlines():
        match = _FRAME.fullmatch(line)
        if match is None:
            break
        file, number, name = match[1], int(match[2]), match[3]
        found.append(FrameSummary(file, number, name, line=linecache.getline(file, number).strip()))
    while found and is_ours(found[-1].filename):
        found.pop()  # how Turnspit called the function helps nobody
    return "Traceback (most recent call last):\n" + "".join(format_list(found[::-1])) if found else ""
