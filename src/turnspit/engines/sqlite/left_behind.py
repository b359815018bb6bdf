"""Connections that could not be closed, and the files that a forked child must not use because of them.

SQLite forbids a child to use or close its parent's connections, and the child inherits a memory of locks that it does
not hold.
"""

from typing import Protocol

__all__ = ["Identity", "is_lost", "leave_behind", "lose_busy", "note_busy"]

Identity = tuple[int, int]
"""Device and inode of a file."""


class InUse(Protocol):
    """Connections and the threads that use them."""

    @property
    def is_running(self) -> bool:
        """Whether a thread still lives and may use its connection."""
        ...


_left_behind: list[tuple[InUse, Identity | None]] = []
"""Kept for good, so that the garbage collector closes none of them."""
_busy: set[Identity] = set()
"""Files that a thread was still using when this process was last forked."""
_lost: set[Identity] = set()
"""The same files, in the child: SQLite's memory of their locks is wrong there, and its mutex may be locked for good."""


def leave_behind(in_use: InUse, identity: Identity | None) -> None:
    """Keep this, and never close it: a thread waits in it for a lock, or a fork copied it into this process."""
    _left_behind.append((in_use, identity))


def note_busy() -> None:
    """Before a fork: note the files that are in use."""
    _busy.clear()
    _busy.update(identity for in_use, identity in _left_behind if identity is not None and in_use.is_running)


def lose_busy() -> None:
    """In the child: give up the files that the parent was using at the fork."""
    _lost.update(_busy)


def is_lost(identity: Identity | None) -> bool:
    """Whether this process must not use the file."""
    return identity in _lost
