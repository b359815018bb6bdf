"""How many jobs of a task, a queue or a key may begin, and how many may run.

>>> Rate(10, per=1.0, key="customer_id").rule("call", {"customer_id": 7})
LimitRule(name='call rate', key='call rate [7]', allowed=10, per=1000000, burst=None)
>>> Concurrency(5).rule("call", {})
LimitRule(name='call concurrency', key='call concurrency', allowed=5, per=0, burst=None)
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from turnspit.clock import Duration, to_duration
from turnspit.errors import ConfigurationError
from turnspit.keys import Key, Keyed
from turnspit.records import Lane, LimitChange, LimitRule

__all__ = ["Concurrency", "Limit", "Rate", "make_fair_key", "make_lane"]

_MOST = 1_000_000_000


class Limit(Keyed, ABC):
    """What ``Rate`` and ``Concurrency`` share."""

    what: ClassVar[str]

    def rule(self, owner: str, arguments: Mapping[str, Any]) -> LimitRule:
        """The limit as it applies to a call.

        :param owner: the name of the task, the queue or the limit itself.
        :param arguments: all arguments of the call, defaults too.
        """
        change = self.as_change(owner)
        key = change.name if self.key is None else self.key_of(change.name, arguments)
        return LimitRule(change.name, key, change.allowed, change.per, change.burst)

    @abstractmethod
    def as_change(self, owner: str) -> LimitChange:
        """The limit as the store keeps a change of it: without a key, under the name of its owner."""


@dataclass(frozen=True, slots=True)
class Rate(Limit):
    """At most ``allowed`` jobs begin in any window of ``per`` (seconds or ``timedelta``), over all workers.

    :param key: the name of an argument, a list of names, or a function that takes the arguments and returns a JSON
        value: each value has a limit of its own. By default one limit for all.
    :param burst: at most so many begin at once: no window of ``per * burst / allowed`` holds more. ``burst=1`` spreads
        starts evenly. By default all of a window may begin together.

    ::

        @app.task(rate=Rate(10, per=1.0, key="customer_id"))
        async def call_partner(customer_id: int, order_id: int) -> None: ...
    """

    what: ClassVar[str] = "rate"

    allowed: int
    per: Duration = 1.0
    key: Key = None
    burst: int | None = None

    def __post_init__(self) -> None:
        self._settle_key()
        _check_count(self.allowed, "a Rate")
        if not to_duration(self.per, "per"):
            raise ConfigurationError(f"per is more than 0 seconds, not {self.per!r}")
        if self.burst is not None and not (isinstance(self.burst, int) and 1 <= self.burst <= self.allowed):
            raise ConfigurationError(f"burst is a whole number from 1 to {self.allowed}, not {self.burst!r}")

    def as_change(self, owner: str) -> LimitChange:
        """The limit as the store keeps a change of it: without a key, under the name of its owner."""
        return LimitChange(f"{owner} rate", self.allowed, to_duration(self.per, "per"), self.burst)


@dataclass(frozen=True, slots=True)
class Concurrency(Limit):
    """At most ``allowed`` jobs run at a time, over all workers.

    :param key: as of ``Rate``.
    :param ordered: one at a time, in the order in which they were stored, whatever their priority: nothing overtakes a
        job until it has ended for good, through retries and crashes. Needs ``allowed=1``.

    ::

        @app.task(concurrency=Concurrency(1, key="customer_id"))
        async def update_balance(customer_id: int) -> None: ...
    """

    what: ClassVar[str] = "concurrency"

    allowed: int
    key: Key = None
    ordered: bool = False

    def __post_init__(self) -> None:
        self._settle_key()
        _check_count(self.allowed, "a Concurrency")
        if self.ordered and self.allowed != 1:
            raise ConfigurationError("jobs in order run one at a time: Concurrency(1, ordered=True)")

    def as_change(self, owner: str) -> LimitChange:
        """The limit as the store keeps a change of it: without a key, under the name of its owner."""
        return LimitChange(f"{owner} concurrency", self.allowed, 0, None)


@dataclass(frozen=True, slots=True)
class _FairKey(Keyed):
    what: ClassVar[str] = "fair key"

    key: Key

    def __post_init__(self) -> None:
        self._settle_key()


def make_fair_key(key: Key) -> Keyed | None:
    """The key by which a task's jobs take turns.

    :raises ConfigurationError: if it is no key.
    """
    return None if key is None else _FairKey(key)


def make_lane(
    queue: str,
    task: str,
    limits: Sequence[tuple[str, Limit]],
    fair_key: Keyed | None,
    arguments: Mapping[str, Any],
) -> str | None:
    """Where a call with these arguments waits for its limits; ``None`` if it has none.

    :param limits: each with its owner's name.
    """
    if not limits and fair_key is None:
        return None
    rules = tuple(limit.rule(owner, arguments) for owner, limit in limits)
    ordered = (isinstance(limit, Concurrency) and limit.ordered for _, limit in limits)
    order = next((rule.key for rule, is_ordered in zip(rules, ordered, strict=True) if is_ordered), None)
    fair = None if fair_key is None else fair_key.key_of(task, arguments)
    return Lane(queue, task, rules, fair, order).to_text()


def _check_count(allowed: int, what: str) -> None:
    if not isinstance(allowed, int) or isinstance(allowed, bool) or not 1 <= allowed <= _MOST:
        raise ConfigurationError(f"{what} allows a whole number of at least 1 and at most {_MOST:,}, not {allowed!r}")
