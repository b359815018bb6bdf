"""Limits, the lanes in which jobs wait for them, and claims of such jobs."""

import json
from datetime import datetime
from typing import NamedTuple

from turnspit.records.jobs import Claim

__all__ = ["FullKey", "Lane", "LimitChange", "LimitRule", "LimitedClaims", "LimitedRequest"]


class LimitRule(NamedTuple):
    """One limit as it applies to one job."""

    name: str
    """Whose limit it is, and its kind. A change at run time is found by this name."""
    key: str
    """The name, and the values of the job's key. Jobs with the same text are counted together."""
    allowed: int
    per: int
    """Microseconds, of a rate; 0 for a concurrency limit."""
    burst: int | None = None

    @property
    def is_rate(self) -> bool:
        """Whether it limits starts in a time, and not how many run at once."""
        return self.per > 0


class Lane(NamedTuple):
    """Where jobs with the same limits and keys wait. Each of them has its text as ``lane``."""

    queue: str
    task: str
    rules: tuple[LimitRule, ...]
    fair: str | None = None
    order: str | None = None
    """The key of jobs that run in order, whichever lanes they are in; ``None`` if they run by priority."""

    def to_text(self) -> str:
        """Its text, the same for equal lanes. If its jobs run in order, the first line is their key."""
        text = json.dumps(self[:4], separators=(",", ":"), ensure_ascii=False)
        return text if self.order is None else f"{json.dumps(self.order, ensure_ascii=False)}\n{text}"

    @classmethod
    def from_text(cls, text: str) -> "Lane":
        """The lane of a text."""
        order, _, text = text.rpartition("\n")
        queue, task, rules, fair = json.loads(text)
        rules = tuple(LimitRule(*rule) for rule in rules)
        return cls(queue, task, rules, fair, json.loads(order) if order else None)


class LimitChange(NamedTuple):
    """A change of a limit at run time, for all its keys."""

    name: str
    allowed: int
    per: int
    burst: int | None


class FullKey(NamedTuple):
    """A key of a limit that lets nothing through now."""

    name: str
    """The name of a task, ``queue`` and the name of a queue, or a name given to ``Turnspit(limits=)``."""
    kind: str
    """``rate`` or ``concurrency``."""
    key: str
    """The values of the key as JSON, as ``[7]``; empty if the limit has no key."""
    allowed: int
    taken: int
    """For a concurrency limit, how many run; for a rate, how many began within the last ``per`` seconds."""
    per: float | None = None
    """For a rate, seconds."""
    opens_at: datetime | None = None
    """For a rate, when one more may begin."""


class LimitedRequest(NamedTuple):
    """Who claims limited jobs, and how many it can begin at once."""

    worker: int
    slots: int
    tasks: frozenset[str]
    queues: tuple[str, ...] | None = None


class LimitedClaims(NamedTuple):
    """Jobs that may begin now."""

    claims: tuple[Claim, ...] = ()
    rated: frozenset[int] = frozenset()
    """The ids of those that have a rate: they must be given back if they do not begin soon."""
    admitted_after: float = 0.0
    """They were let through after this moment of ``monotonic``."""
    until_next: int | None = None
    """Microseconds until more may begin, as far as is known; ``None`` if nothing waits for a certain moment."""
