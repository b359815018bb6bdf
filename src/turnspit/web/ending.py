"""Whether the server that serves us wants to end: uvicorn waits until every answer has, and a stream never would."""

import asyncio
from typing import Any

__all__ = ["ServerWatch"]


class ServerWatch:
    """Made inside a request. Other servers than uvicorn cut streams off by themselves."""

    def __init__(self) -> None:
        self._server = _find_uvicorn()

    @property
    def is_ending(self) -> bool:
        """Whether it was told to."""
        return bool(getattr(self._server, "should_exit", False))


def _find_uvicorn() -> Any:
    """The server whose loop this is: it can be known by its task alone."""
    for task in asyncio.all_tasks():
        frame = getattr(task.get_coro(), "cr_frame", None)
        found = None if frame is None else frame.f_locals.get("self")
        if type(found).__module__ == "uvicorn.server":
            return found
    return None
