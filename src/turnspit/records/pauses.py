"""Pauses of queues, tasks and tags."""

from typing import Literal, NamedTuple

__all__ = ["PauseKind", "PauseRecord"]

PauseKind = Literal["queue", "task", "tag"]


class PauseRecord(NamedTuple):
    """A queue, a task or a tag whose jobs do not start."""

    kind: PauseKind
    name: str
    paused_at: int
    """Microseconds since 1970 UTC."""
