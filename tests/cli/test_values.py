"""Durations, moments and pairs as people type them."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnspit.cli.errors import WrongUsage
from turnspit.cli.output import count_of, describe_duration, plain, relative
from turnspit.cli.values import parse_duration, parse_moment, parse_names, parse_object, parse_pairs, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5", 1.5),
        ("500ms", 0.5),
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("2d", 172800),
        ("1w", 604800),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", " ", "soon", "-5", "5 m m", "m", "1e9", "5y", "1h-", "٣"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(WrongUsage, match="seconds or a number with a unit"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["99999999999999w", "36526d", "9" * 400, "9" * 5000 + "w"])
def test_a_duration_longer_than_a_century(text: str) -> None:
    assert parse_duration("36525d") == timedelta(days=36525)
    with pytest.raises(WrongUsage, match="a duration is at most 100 years, not '"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000", 1000),
        ("512MB", 512_000_000),
        ("1.5 GiB", 1_610_612_736),
        ("200m", 209_715_200),
        ("1KB", 1000),
        ("7B", 7),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text, "--max-memory") == size


@pytest.mark.parametrize(
    "text", ["", "much", "0", "-1MB", "1iB", "MB", "1PB", "0.1B", "0.5B", "9" * 400, "9" * 5000 + "TB"]
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(WrongUsage, match="--max-memory is bytes or a number with a unit"):
        parse_size(text, "--max-memory")


def test_moments_are_local_without_a_zone() -> None:
    assert parse_moment("2030-12-31T09:00", "--at is") == datetime(2030, 12, 31, 9, tzinfo=UTC)
    assert parse_moment("2030-12-31 09:00+01:00", "--at is") == datetime(2030, 12, 31, 8, tzinfo=UTC)
    assert parse_moment("2030-12-31T09:00Z", "--at is").utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["", "noon", "2030-13-01", "25:00", "2030-12-31T09:00+25:00"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(WrongUsage, match="--at is a date and time, as in 2030-12-31T09:00"):
        parse_moment(text, "--at is")


@pytest.mark.parametrize("text", ["0001-01-01T00:00", "9999-12-31T23:59:59"])
def test_the_ends_of_time_are_understood_or_refused(text: str) -> None:
    with contextlib.suppress(WrongUsage):
        assert parse_moment(text, "--at is").tzinfo is not None


@given(st.dictionaries(st.text(min_size=1).filter(lambda key: "=" not in key), st.text()))
def test_any_pair_is_read_and_text_stays_text(pairs: dict[str, str]) -> None:
    quoted = parse_pairs(f"{key}={value!r}" for key, value in pairs.items())
    assert list(quoted) == list(pairs)


@pytest.mark.parametrize(
    ("text", "value"),
    [("7", 7), ('"7"', "7"), ("true", True), ("null", None), ("[1]", [1]), ("a=b", "a=b"), ("007", "007"), ("", "")],
)
def test_a_value_is_json_or_else_text(text: str, value: object) -> None:
    assert parse_pairs([f"key={text}"]) == {"key": value}


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "[NaN]"])
def test_a_value_that_is_not_json_is_text(text: str) -> None:
    assert parse_pairs([f"key={text}"]) == {"key": text}


def test_deep_json_is_refused_in_one_line() -> None:
    with pytest.raises(WrongUsage, match="this is not JSON"):
        parse_object('{"a":' * 100_000, "--args")
    assert parse_pairs(["key=" + "[" * 100_000]) == {"key": "[" * 100_000}


def test_names() -> None:
    assert parse_names(None, "--queues") is None
    assert parse_names("a, b", "--queues") == ["a", "b"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "now"),
        (-1, "1 s ago"),
        (119, "in 119 s"),
        (-121, "2 min ago"),
        (7300, "in 2 h"),
        (-172_900, "2 days ago"),
    ],
)
def test_distances_in_words(seconds: float, words: str) -> None:
    assert relative(timedelta(seconds=seconds)) == words


def test_small_words() -> None:
    assert [describe_duration(seconds) for seconds in (0.0004, 1.25, 12.9, 600)] == ["0 ms", "1.2 s", "12 s", "10 min"]
    assert [count_of(number, "job") for number in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]


@given(st.text())
def test_no_text_keeps_a_control_character(text: str) -> None:
    shown = plain(text)
    assert all(character in "\n\t" or (character >= " " and character != "\x7f") for character in shown)
    assert plain(shown) == shown
