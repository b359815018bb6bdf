"""When a failed attempt is tried again.

>>> policy = Retry(attempts=5, base=1.0, cap=300.0, jitter="none")
>>> [policy.next_delay(attempt, ValueError()) for attempt in (1, 2, 3, 4, 5)]
[1000000, 2000000, 4000000, 8000000, None]
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Literal, cast

from turnspit.clock import Duration, to_duration
from turnspit.errors import ConfigurationError

__all__ = ["Jitter", "Retry"]

Jitter = Literal["full", "equal", "none"]
DelayFunction = Callable[[int, BaseException], Duration | None]

ExceptionTypes = tuple[type[BaseException], ...]

_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and when a failed job is tried again.

    The default waits ``base * 2**(attempt - 1)`` seconds, at most ``cap``, with full jitter (a uniform draw
    between nothing and that delay): "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    :param attempts: how many runs in all, the first one included.
    :param base: seconds before the second run.
    :param cap: the longest delay, in seconds.
    :param delay: instead of the exponential rule: seconds or a ``timedelta``, a list of them (its last one
        repeats), or a callable ``(attempt, error) -> delay``; ``None`` from the callable gives up.
    :param jitter: ``"full"``, ``"equal"`` (half fixed, half drawn) or ``"none"``. The default is ``"full"``
        for the exponential rule and ``"none"`` for ``delay``.
    :param on: only these exception types (one, or several) are tried again.
    :param never_on: these exception types are never tried again.

    ::

        Retry(attempts=5, base=1.0, cap=300.0)
        Retry(delay=[1, 10, 60], on=ConnectionError)
    """

    attempts: int | None = None
    base: Duration = 2.0
    cap: Duration = 3600.0
    delay: Duration | Sequence[Duration] | DelayFunction | None = None
    jitter: Jitter | None = None
    on: type[BaseException] | Sequence[type[BaseException]] = ()
    never_on: type[BaseException] | Sequence[type[BaseException]] = ()

    def __post_init__(self) -> None:
        if self.attempts is not None and (not isinstance(self.attempts, int) or self.attempts < 1):
            raise ConfigurationError(f"Retry(attempts=) must be a whole number of at least 1, not {self.attempts!r}")
        if self.jitter not in (None, "full", "equal", "none"):
            raise ConfigurationError(f'Retry(jitter=) is "full", "equal" or "none", not {self.jitter!r}')
        to_duration(self.base, "Retry(base=)")
        to_duration(self.cap, "Retry(cap=)")
        if self.delay is not None and not callable(self.delay):
            if not self._delays():
                raise ConfigurationError("Retry(delay=[]) needs at least one delay")
            for delay in self._delays():
                to_duration(delay, "Retry(delay=)")
        for name in ("on", "never_on"):
            object.__setattr__(self, name, _exception_types(name, getattr(self, name)))

    @property
    def limit(self) -> int:
        """How many runs in all: ``attempts``, else one more than the listed delays, else 10."""
        if self.attempts is not None:
            return self.attempts
        return len(self.delay) + 1 if isinstance(self.delay, Sequence) else 10

    def next_delay(self, attempt: int, error: BaseException) -> int | None:
        """Microseconds until the next run after ``attempt`` (from 1) failed with ``error``; ``None``: give up."""
        if attempt >= self.limit or not self._covers(error):
            return None
        delay = self._delay_after(attempt, error)
        return None if delay is None else self._with_jitter(delay)

    def _covers(self, error: BaseException) -> bool:
        if self.never_on and isinstance(error, cast("ExceptionTypes", self.never_on)):
            return False
        return not self.on or isinstance(error, cast("ExceptionTypes", self.on))

    def _delay_after(self, attempt: int, error: BaseException) -> int | None:
        if self.delay is None:
            base, cap = to_duration(self.base), to_duration(self.cap)
            return min(cap, base << min(attempt - 1, 62))
        if callable(self.delay):
            chosen = self.delay(attempt, error)
            return None if chosen is None else to_duration(chosen, "Retry(delay=) returned")
        delays = self._delays()
        return to_duration(delays[min(attempt, len(delays)) - 1])

    def _delays(self) -> Sequence[Duration]:
        if isinstance(self.delay, (int, float, timedelta)):
            return [self.delay]
        return self.delay if isinstance(self.delay, Sequence) else []

    def _with_jitter(self, delay: int) -> int:
        jitter = self.jitter or ("full" if self.delay is None else "none")
        if jitter == "none":
            return delay
        floor = delay // 2 if jitter == "equal" else 0
        return random.randint(floor, delay)  # noqa: S311  (jitter, not a secret)

    def to_json(self) -> str:
        """The policy as JSON, for a single job's override.

        :raises ConfigurationError: for a callable or exception types, which cannot be stored.
        """
        if callable(self.delay) or self.on or self.never_on:
            raise ConfigurationError(
                "using(retry=) is stored with the job: it takes attempts, base, cap, delay and jitter; "
                "a callable, on= and never_on= belong to the task's own Retry"
            )
        delays = None if self.delay is None else [to_duration(delay) for delay in self._delays()]
        return json.dumps(
            {
                "attempts": self.limit,
                "base": to_duration(self.base),
                "cap": to_duration(self.cap),
                "delay": delays,
                "jitter": self.jitter,
            }
        )

    def overridden_by(self, stored: str | None) -> "Retry":
        """This policy with a job's stored override; the task's ``on`` and ``never_on`` stay."""
        if stored is None:
            return self
        values = json.loads(stored)
        delay = values["delay"]
        return Retry(
            attempts=values["attempts"],
            base=values["base"] / _SECOND,
            cap=values["cap"] / _SECOND,
            delay=None if delay is None else [each / _SECOND for each in delay],
            jitter=values["jitter"],
            on=self.on,
            never_on=self.never_on,
        )

    def __str__(self) -> str:
        given = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != f.default)
        return f"Retry({', '.join(given)})"


def _exception_types(name: str, given: Any) -> ExceptionTypes:
    kinds = (given,) if isinstance(given, type) else given
    if not isinstance(kinds, Sequence) or not all(
        isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds
    ):
        raise ConfigurationError(f"Retry({name}=) takes exception types, not {given!r}")
    return tuple(kinds)
