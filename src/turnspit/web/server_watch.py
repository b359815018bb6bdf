"""Whether the server is shutting down: uvicorn waits for the end of every response, and a stream has no end."""

import asyncio
from typing import Any

__all__ = ["ServerWatch"]


class ServerWatch:
    """Looks for uvicorn, once, where it is constructed: inside a request. Other servers end streams by themselves."""

    def __init__(self) -> None:
        self._server = _find_uvicorn()

    @property
    def is_ending(self) -> bool:
        """Whether the server was told to shut down."""
        return bool(getattr(self._server, "should_exit", False))


def _find_uvicorn() -> Any:
    """The uvicorn server of this event loop. Nothing refers to it but the task that runs it."""
    for task in asyncio.all_tasks():
        frame = getattr(task.get_coro(), "cr_frame", None)
        found = None if frame is None else frame.f_locals.get("self")
        if type(found).__module__ == "uvicorn.server":
            return found
    return None
