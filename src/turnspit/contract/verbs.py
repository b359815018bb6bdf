"""What a verb is: a plain generator that yields statements and receives their rows.

A verb does no I/O, so one implementation serves sync and async callers, an engine's own connections and a caller's open
transaction. Whoever runs it begins and commits the transaction, and sends the verb's wakes after the commit.

>>> def double(number: int) -> Verb[int]:
...     rows = yield Statement("select :n * 2", {"n": number})
...     return rows[0][0]
>>> verb = double(21)
>>> next(verb)
Statement(sql='select :n * 2', params={'n': 21}, many=False, ends=False, wake=None)
"""

from collections.abc import Generator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias, TypeVar

__all__ = ["Row", "Statement", "Verb", "Wake", "WakeKind"]

T = TypeVar("T")

Row: TypeAlias = tuple[Any, ...]


class Statement(NamedTuple):
    """One SQL statement."""

    sql: str
    params: Mapping[str, Any] | Sequence[Any]
    many: bool = False
    """Run it once for each element of ``params``, without returning rows."""
    ends: bool = False
    """It is the verb's last statement. If it is also the first, it needs no transaction around it, which saves the
    round trip of a COMMIT.
    """
    wake: "Wake | None" = None
    """What to tell once it is committed. It does not depend on the statement's rows, so it can be sent along with
    it.
    """


class WakeKind(StrEnum):
    """What changed, for those who wait for it."""

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
