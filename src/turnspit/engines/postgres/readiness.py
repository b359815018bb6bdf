"""Waits for a socket by ``poll``, which takes file descriptors of any number, or by ``select`` where there is none."""

import select
from collections.abc import Callable, Collection

__all__ = ["when_readable", "when_writable"]

Wait = Callable[[float | None], Collection[object]]
"""Waits at most so many milliseconds, or without a limit; returns something empty if the time ran out."""


def when_readable(*files: int) -> Wait:
    """A wait until one of these file descriptors has something to read, or is at its end."""
    return _polling(files, select.POLLIN) if hasattr(select, "poll") else _selecting(files, ())


def when_writable(file: int) -> Wait:
    """A wait until this file descriptor can be written to, or is at its end."""
    return _polling((file,), select.POLLOUT) if hasattr(select, "poll") else _selecting((), (file,))


def _polling(files: Collection[int], event: int) -> Wait:
    poll = select.poll()
    for file in files:
        poll.register(file, event)
    return poll.poll


def _selecting(readable: Collection[int], writable: Collection[int]) -> Wait:  # Windows
    def wait(timeout: float | None = None) -> Collection[object]:
        seconds = None if timeout is None else timeout / 1000
        return [file for files in select.select(readable, writable, (), seconds) for file in files]

    return wait
