"""The shape of a verb: a plain generator that yields statements and receives rows.

A verb does no I/O, so one implementation serves sync and async callers, an engine's own connections and a
caller's open transaction. Whoever runs it opens and ends the transaction and sends the wakes after the commit.

>>> def double(number: int) -> Verb[int]:
...     rows = yield Statement("select :n * 2", {"n": number})
...     return rows[0][0]
>>> verb = double(21)
>>> next(verb)
Statement(sql='select :n * 2', params={'n': 21}, many=False, ends=False)
"""

from collections.abc import Generator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias, TypeVar

__all__ = ["Row", "Statement", "Verb", "Wake", "WakeKind"]

T = TypeVar("T")

Row: TypeAlias = tuple[Any, ...]


class Statement(NamedTuple):
    """One SQL statement; with ``many`` it runs once for each element of ``params`` and returns no rows.

    With ``ends`` the verb asks for nothing more: where it is the only one, it needs no transaction around it, and
    its commit no round trip of its own.
    """

    sql: str
    params: Mapping[str, Any] | Sequence[Any]
    many: bool = False
    ends: bool = False


class WakeKind(StrEnum):
    """What changed, for those who sleep."""

    READY = "ready"
    """Jobs can be claimed."""
    SCHEDULED = "scheduled"
    """A job was given a later time: the next due time may have changed."""
    SCHEDULE = "schedule"
    """A schedule was stored or changed: the next tick may have changed."""
    FINISHED = "finished"
    """Jobs reached a final state."""
    CANCEL = "cancel"
    """The end of a running job was requested."""
    PAUSE = "pause"
    """A queue, a task or a tag was paused."""
    WORKFLOW = "workflow"
    """Workflows (their ids are given) have ended, or there is something to do for them."""


class Wake(NamedTuple):
    """A hint to send after the commit. ``jobs`` is empty where it may be any."""

    kind: WakeKind
    jobs: tuple[int, ...] = ()


Verb: TypeAlias = Generator[Statement | Wake, list[Row], T]
