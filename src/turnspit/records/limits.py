"""Limits: what a lane is made of, and what a worker asks of it."""

import json
from typing import NamedTuple

from turnspit.records.jobs import Claim

__all__ = ["FullKey", "Lane", "LimitChange", "LimitRule", "LimitedClaims", "LimitedRequest"]


class LimitRule(NamedTuple):
    """One limit as it applies to one job."""

    name: str
    """Whose limit it is; what was changed at run time is found by it."""
    key: str
    """What is counted: the name and the values of the job's key."""
    allowed: int
    per: int
    """Microseconds; 0: so many at a time instead."""
    burst: int | None = None

    @property
    def is_rate(self) -> bool:
        """Whether starts are limited, and not how many run at a time."""
        return self.per > 0


class Lane(NamedTuple):
    """Where jobs with the same limits and keys wait. Its text is what a job carries."""

    queue: str
    task: str
    rules: tuple[LimitRule, ...]
    fair: str | None = None
    order: str | None = None
    """The key of jobs that run in order, in whatever lanes they wait; ``None`` where the order is by priority."""

    def to_text(self) -> str:
        """The same text for the same lane. One whose jobs run in order begins with a line of its own: its key."""
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
    """A limit that was changed at run time."""

    name: str
    allowed: int
    per: int
    burst: int | None


class FullKey(NamedTuple):
    """A key of a concurrency for which jobs wait, since all its places are taken."""

    name: str
    """Of a task, or ``queue`` and a queue's name."""
    key: str
    """The values of the key as JSON, as ``[7]``; empty where the limit has no key."""
    allowed: int
    running: int


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
    """Those of them whose starts a rate counts: what does not begin soon is given back."""
    admitted_after: float = 0.0
    """They were let through later than this, by this process's ``monotonic``."""
    until_next: int | None = None
    """Microseconds until more may begin, as far as is known; ``None`` where nothing waits for a moment."""
