"""Time. The only module that reads a clock or sleeps, so that tests own both.

A moment is an ``int``: microseconds since 1970-01-01 UTC. A duration in the public API is a number of
seconds or a ``timedelta``; inside it is an ``int`` of microseconds.

>>> to_duration(1.5)
1500000
>>> from_moment(0).isoformat()
'1970-01-01T00:00:00+00:00'
"""

import asyncio
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

from turnspit.errors import ConfigurationError

__all__ = [
    "Clock",
    "Duration",
    "SystemClock",
    "elapsed",
    "from_moment",
    "give_way",
    "monotonic",
    "sleep",
    "thread_sleep",
    "to_duration",
    "to_moment",
    "utc_now",
]

Duration = float | timedelta
"""Seconds, or a ``timedelta``."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LONGEST = timedelta(days=36525)
_WAKING = 0.00005
"""Seconds that a thread takes to wake up, and a little more."""


class Clock(Protocol):
    """What an engine asks for the time."""

    def now(self) -> int | None:
        """The moment that statements take as now, or ``None`` to let the database say it."""
        ...


class SystemClock:
    """The database's own clock decides: no worker's clock takes part."""

    def now(self) -> int | None:
        """Always ``None``: the statement reads the database's clock."""
        return None


def to_duration(value: Duration, name: str = "duration") -> int:
    """A public duration as microseconds.

    :raises ConfigurationError: if it is negative, not finite, not a number, or longer than a century.
    """
    if isinstance(value, timedelta):
        microseconds = value // _MICROSECOND
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf:
        microseconds = round(value * 1_000_000)
    else:
        raise ConfigurationError(f"{name} must be seconds or a timedelta, not {value!r}")
    if not 0 <= microseconds <= _LONGEST // _MICROSECOND:
        raise ConfigurationError(f"{name} must be between 0 seconds and 100 years, not {value!r}")
    return microseconds


def to_moment(value: datetime, name: str = "at") -> int:
    """An aware datetime as a moment.

    :raises ConfigurationError: if it has no time zone.
    """
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ConfigurationError(
            f"{name} must be a datetime with a time zone, not {value!r}; use datetime.now(UTC) or zoneinfo.ZoneInfo"
        )
    return (value - _EPOCH) // _MICROSECOND


def from_moment(moment: int) -> datetime:
    """A moment as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=moment)


def utc_now() -> datetime:
    """This machine's idea of the time: for display only, never for a decision about a job."""
    return datetime.now(UTC)


monotonic = time.monotonic
"""Seconds of a clock that never goes back; for measuring how long something took. A worker asks it six times a job."""


def _counts_sleep() -> Callable[[], float]:
    """Linux calls that clock BOOTTIME; on macOS it is MONOTONIC, which is not what Python's ``monotonic`` reads."""
    clock = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
    return time.monotonic if clock is None else partial(time.clock_gettime, clock)


elapsed = _counts_sleep()
"""As ``monotonic``, but it goes on while the machine sleeps: so do leases, which are kept elsewhere."""


async def sleep(seconds: float) -> None:
    """Sleep in the event loop."""
    await asyncio.sleep(seconds)


def give_way() -> None:
    """Let a thread that was just given work begin it, before this one goes on.

    An event loop with much to do releases Python's lock at every turn and has it again before another thread has woken
    up: the other waited 2.4 ms on the average to send its first statement (docs/decisions/0053).
    """
    time.sleep(_WAKING)


def thread_sleep(seconds: float) -> None:
    """Sleep in a thread."""
    time.sleep(seconds)
