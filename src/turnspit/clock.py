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
from typing import Protocol, TypeGuard, overload

from turnspit.errors import ConfigurationError

__all__ = [
    "LONGEST",
    "Clock",
    "Duration",
    "SystemClock",
    "elapsed",
    "end_of",
    "from_moment",
    "give_way",
    "is_duration",
    "monotonic",
    "sleep",
    "thread_sleep",
    "to_duration",
    "to_moment",
    "to_seconds",
    "utc_now",
]

Duration = float | timedelta
"""Seconds, or a ``timedelta``."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
LONGEST = timedelta(days=36525)
"""A century: no duration is longer."""
_WAKING = 0.00005
"""Seconds that a thread takes to wake up, and a little more."""


class Clock(Protocol):
    """Where an engine gets the time from."""

    def now(self) -> int | None:
        """The moment that statements are to take as now; ``None``: the database's own."""
        ...


class SystemClock:
    """The clock of the database, so that nothing depends on a worker's clock."""

    def now(self) -> int | None:
        """Always ``None``, so that statements read the database's clock."""
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
    if not 0 <= microseconds <= LONGEST // _MICROSECOND:
        raise ConfigurationError(f"{name} must be between 0 seconds and 100 years, not {value!r}")
    return microseconds


def to_seconds(value: Duration, name: str = "duration") -> float:
    """A public duration as seconds.

    :raises ConfigurationError: as ``to_duration``.
    """
    return to_duration(value, name) / 1_000_000


def end_of(timeout: Duration | None) -> float | None:
    """When a time-out that begins now will be over, by ``monotonic``; ``None``, which never ends, stays ``None``.

    :raises ConfigurationError: as ``to_duration``.
    """
    return None if timeout is None else monotonic() + to_seconds(timeout, "timeout")


def is_duration(value: object) -> TypeGuard[int]:
    """Whether this is what ``to_duration`` returns."""
    return type(value) is int and 0 <= value <= LONGEST // _MICROSECOND


def to_moment(value: datetime, name: str = "at") -> int:
    """An aware datetime as a moment.

    :raises ConfigurationError: if it has no time zone.
    """
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ConfigurationError(
            f"{name} must be a datetime with a time zone, not {value!r}; use datetime.now(UTC) or zoneinfo.ZoneInfo"
        )
    return (value - _EPOCH) // _MICROSECOND


@overload
def from_moment(moment: int) -> datetime: ...
@overload
def from_moment(moment: None) -> None: ...
def from_moment(moment: int | None) -> datetime | None:
    """A moment as an aware datetime in UTC; ``None`` stays ``None``.

    A moment outside the years 1 to 9999 becomes the first or the last one inside them. The end of 9999 in New York is
    such a moment.
    """
    if moment is None:
        return None
    try:
        return _EPOCH + timedelta(microseconds=moment)
    except OverflowError:
        return _FIRST if moment < 0 else _LAST


def utc_now() -> datetime:
    """The time by this machine's clock: for display, never for a decision about a job."""
    return datetime.now(UTC)


monotonic = time.monotonic
"""Seconds of a clock that never goes back, to measure durations. Not wrapped: a worker calls it six times for each
job.
"""


def _clock_that_counts_sleep() -> Callable[[], float]:
    """A clock that also counts while the machine sleeps: ``BOOTTIME`` on Linux, ``MONOTONIC`` on macOS, where Python's
    ``time.monotonic`` is another clock.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
    return time.monotonic if clock is None else partial(time.clock_gettime, clock)


elapsed = _clock_that_counts_sleep()
"""Like ``monotonic``, but it also counts while the machine sleeps, as the database's clock does, which ends leases."""


async def sleep(seconds: float) -> None:
    """Sleep in the event loop."""
    await asyncio.sleep(seconds)


def give_way() -> None:
    """Let another thread begin the work that it was just given, before this one goes on.

    A busy event loop releases the GIL at every turn, but takes it again before another thread has woken up: the other
    thread waited 2.4 ms on average before it sent its first statement (docs/decisions/0053).
    """
    time.sleep(_WAKING)


def thread_sleep(seconds: float) -> None:
    """Sleep in a thread."""
    time.sleep(seconds)
