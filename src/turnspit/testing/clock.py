"""Time as a test wants it.

>>> from datetime import UTC
>>> clock = TestClock(datetime(2030, 1, 1, tzinfo=UTC))
>>> clock.advance(300).isoformat()
'2030-01-01T00:05:00+00:00'
"""

from datetime import datetime

from turnspit.clock import Duration, from_moment, to_duration, to_moment, utc_now

__all__ = ["TestClock"]


class TestClock:
    """A clock that stands still until it is moved. Implements ``turnspit.clock.Clock``.

    :param start: an aware datetime; by default the moment at which the clock is made.
    """

    __test__ = False  # not a test case, whatever pytest thinks of its name

    def __init__(self, start: datetime | None = None) -> None:
        self._moment = to_moment(utc_now() if start is None else start, "start")

    def now(self) -> int:
        """The moment that every statement takes as now, in microseconds since 1970."""
        return self._moment

    @property
    def time(self) -> datetime:
        """The same moment, as a datetime in UTC."""
        return from_moment(self._moment)

    def advance(self, by: Duration) -> datetime:
        """Move forward by seconds or a ``timedelta``; the new time. Promotes nothing: see ``TestStore.advance``."""
        self._moment += to_duration(by, "advance(by)")
        return self.time

    def set(self, to: datetime) -> datetime:
        """Move to a moment, also to an earlier one; the new time."""
        self._moment = to_moment(to, "set(to)")
        return self.time

    def __repr__(self) -> str:
        return f"<TestClock {self.time.isoformat()}>"
