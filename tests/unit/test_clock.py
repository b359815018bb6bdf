"""Durations and moments, and what is refused."""

import math
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnspit import ConfigurationError
from turnspit.clock import SystemClock, elapsed, from_moment, to_duration, to_moment


@pytest.mark.parametrize(
    ("given_", "microseconds"),
    [
        (0, 0),
        (1, 1_000_000),
        (0.1, 100_000),
        (1e-6, 1),
        (timedelta(milliseconds=1), 1000),
        (timedelta(days=1), 86_400_000_000),
    ],
)
def test_a_duration_is_seconds_or_a_timedelta(given_: float | timedelta, microseconds: int) -> None:
    assert to_duration(given_) == microseconds


@pytest.mark.parametrize("given_", [-1, -0.001, timedelta(seconds=-1), 4_000_000_000, timedelta(days=40_000), 10**400])
def test_a_duration_out_of_range_is_refused(given_: float | timedelta) -> None:
    with pytest.raises(ConfigurationError, match=r"^delay must be between 0 seconds and 100 years, not "):
        to_duration(given_, "delay")


@pytest.mark.parametrize("given_", ["5", None, True, math.nan, math.inf, [1]])
def test_what_is_no_duration_is_refused(given_: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^timeout must be seconds or a timedelta, not "):
        to_duration(given_, "timeout")  # type: ignore[arg-type]


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)), st.integers(-14, 14))  # noqa: DTZ001
def test_a_moment_is_the_same_instant_in_every_zone(naive: datetime, hours: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(hours=hours)))
    assert from_moment(to_moment(moment)) == moment
    assert from_moment(to_moment(moment)).tzinfo is UTC


@pytest.mark.skipif(sys.platform != "linux", reason="the name of that clock is that of Linux")
def test_what_elapsed_counts_the_sleep_of_the_machine() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= elapsed() <= time.clock_gettime(time.CLOCK_BOOTTIME)
    assert elapsed.args == (time.CLOCK_BOOTTIME,)  # type: ignore[attr-defined]


def test_a_moment_in_a_named_zone() -> None:
    assert to_moment(datetime(1970, 1, 1, 1, 0, 1, tzinfo=ZoneInfo("Europe/Berlin"))) == 1_000_000


@pytest.mark.parametrize("given_", [datetime(2026, 1, 1), "2026-01-01", 5])  # noqa: DTZ001
def test_a_moment_without_a_zone_is_refused_with_the_cure(given_: object) -> None:
    with pytest.raises(ConfigurationError) as raised:
        to_moment(given_)  # type: ignore[arg-type]
    assert str(raised.value) == (
        f"at must be a datetime with a time zone, not {given_!r}; use datetime.now(UTC) or zoneinfo.ZoneInfo"
    )


def test_the_system_clock_leaves_the_time_to_the_database() -> None:
    assert SystemClock().now() is None
