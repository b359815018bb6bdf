"""The clock that a test owns."""

from datetime import UTC, datetime, timedelta

import pytest

from turnspit import ConfigurationError
from turnspit.clock import Clock, to_moment
from turnspit.testing import TestClock

NEW_YEAR = datetime(2030, 1, 1, tzinfo=UTC)


def test_it_is_what_an_engine_asks_for_the_time() -> None:
    clock: Clock = TestClock(NEW_YEAR)
    assert clock.now() == to_moment(NEW_YEAR)


def test_it_stands_still_until_it_is_moved() -> None:
    clock = TestClock(NEW_YEAR)
    assert clock.time == clock.time == NEW_YEAR
    assert clock.advance(1.5) == NEW_YEAR + timedelta(seconds=1.5)
    assert clock.advance(timedelta(days=1)) == NEW_YEAR + timedelta(days=1, seconds=1.5)
    assert clock.time == NEW_YEAR + timedelta(days=1, seconds=1.5)


def test_it_starts_at_the_real_time_by_default() -> None:
    before = datetime.now(UTC)
    assert before <= TestClock().time <= datetime.now(UTC)


def test_it_can_be_set_to_any_moment() -> None:
    clock = TestClock(NEW_YEAR)
    assert clock.set(datetime(2000, 2, 29, tzinfo=UTC)).year == 2000
    assert clock.time.year == 2000


def test_it_takes_no_time_without_a_zone_and_no_negative_step() -> None:
    with pytest.raises(ConfigurationError, match="time zone"):
        TestClock(datetime(2030, 1, 1))  # noqa: DTZ001
    with pytest.raises(ConfigurationError, match=r"advance\(by\) must be between 0 seconds"):
        TestClock(NEW_YEAR).advance(-1)
