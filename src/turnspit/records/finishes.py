"""How attempts end."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from turnspit.states import JobState

__all__ = [
    "Completion",
    "Confirmation",
    "Ending",
    "EndingMove",
    "ErrorRecord",
    "Finish",
    "FinishReport",
    "ProgressReport",
]


class ErrorRecord(NamedTuple):
    """Why an attempt did not complete."""

    type: str
    message: str
    traceback: str | None = None
    fingerprint: str | None = None

    @property
    def text(self) -> str:
        """Type and message as Python writes them, ``OSError: out of paper``; the type alone if it says nothing."""
        return f"{self.type}: {self.message}" if self.message else self.type


class Completion(NamedTuple):
    """An attempt that returned."""

    id: int
    fence: int
    result: str | None = None
    """JSON."""
    keep: int | None = None
    """Microseconds for which the result is kept; ``None``: as long as the job."""
    note: str | None = None
    """Why the result is not kept."""


class EndingMove(StrEnum):
    """How an attempt that did not complete ends."""

    RETRY = "failed"
    SNOOZE = "snoozed"
    CANCEL = "cancelled"
    DEAD = "dead"
    INVALID = "invalid"
    """The payload does not validate: retried without counting an attempt until ``patience`` has passed, then dead."""


class Ending(NamedTuple):
    """An attempt that did not complete, and what its job does next."""

    id: int
    fence: int
    move: EndingMove
    error: ErrorRecord
    delay: int = 0
    patience: int = 0
    """Microseconds, of ``EndingMove.INVALID``."""
    holds_back: bool = False
    """Whether no job of the same rate keys begins during the delay."""


class Confirmation(NamedTuple):
    """An attempt that completed its job by ``finish_job``, if the caller's transaction committed."""

    id: int
    fence: int
    otherwise: Ending
    """How the attempt ends if it did not."""


Finish = Completion | Ending | Confirmation


@dataclass(slots=True)
class FinishReport:
    """What became of a batch of finishes."""

    lost: list[tuple[int, int]] = field(default_factory=list)
    """``(id, fence)`` of claims that were no longer current: nothing was written for them."""
    states: dict[int, JobState] = field(default_factory=dict)
    """The new state of every job that did not complete."""
    undecided: set[tuple[int, int]] = field(default_factory=set)
    """``(id, fence)`` of confirmations whose caller's transaction is still open: ask again later."""
    locked: set[tuple[int, int]] = field(default_factory=set)
    """``(id, fence)`` of progress that was sent along and could not be stored now: send it again later."""


@dataclass(slots=True)
class ProgressReport:
    """What became of the progress that running jobs reported."""

    lost: list[tuple[int, int]] = field(default_factory=list)
    """``(id, fence)`` of claims that were not current: nothing was written for them."""
    locked: set[tuple[int, int]] = field(default_factory=set)
    """``(id, fence)`` of current claims whose job is locked by an open transaction: report again later."""
