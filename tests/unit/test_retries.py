"""When a failed attempt is tried again."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnspit import ConfigurationError, Retry, Turnspit

SECOND = 1_000_000


def delays(policy: Retry, count: int, error: BaseException | None = None) -> list[float | None]:
    """The delay after each of the first attempts, in seconds."""
    chosen = [policy.next_delay(attempt, error or ValueError()) for attempt in range(1, count + 1)]
    return [None if delay is None else delay / SECOND for delay in chosen]


def test_the_exponential_rule_doubles_up_to_the_cap() -> None:
    policy = Retry(attempts=8, base=1.5, cap=20, jitter="none")
    assert delays(policy, 8) == [1.5, 3.0, 6.0, 12.0, 20.0, 20.0, 20.0, None]


def test_the_default_is_ten_attempts_from_two_seconds_to_an_hour_with_full_jitter() -> None:
    assert Retry().limit == 10
    assert Retry().next_delay(10, ValueError()) is None
    assert delays(Retry(jitter="none"), 9) == [2.0 * 2**power for power in range(9)]
    assert delays(Retry(attempts=20, jitter="none"), 12)[-2:] == [2048.0, 3600.0]


def test_a_late_attempt_does_not_overflow() -> None:
    assert Retry(attempts=10**6, jitter="none").next_delay(10**5, ValueError()) == 3600 * SECOND


def test_a_fixed_delay_is_kept() -> None:
    assert delays(Retry(attempts=3, delay=timedelta(seconds=7)), 3) == [7.0, 7.0, None]


def test_a_list_of_delays_says_how_many_attempts_there_are() -> None:
    assert delays(Retry(delay=[1, timedelta(minutes=1), 0.5]), 4) == [1.0, 60.0, 0.5, None]


def test_the_last_delay_of_a_list_repeats_for_further_attempts() -> None:
    assert delays(Retry(attempts=5, delay=[1, 2]), 5) == [1.0, 2.0, 2.0, 2.0, None]


def test_a_callable_sees_attempt_and_error_and_may_give_up() -> None:
    def decide(attempt: int, error: BaseException) -> float | None:
        return None if isinstance(error, KeyError) else attempt * 10

    policy = Retry(attempts=4, delay=decide)
    assert delays(policy, 4) == [10.0, 20.0, 30.0, None]
    assert policy.next_delay(1, KeyError()) is None


@given(st.integers(1, 40), st.floats(0, 100), st.floats(0, 1000))
def test_full_jitter_lies_between_nothing_and_the_delay(attempt: int, base: float, cap: float) -> None:
    exact = Retry(attempts=99, base=base, cap=cap, jitter="none").next_delay(attempt, ValueError())
    drawn = Retry(attempts=99, base=base, cap=cap).next_delay(attempt, ValueError())
    assert exact is not None
    assert drawn is not None
    assert 0 <= drawn <= exact <= round(cap * SECOND)


@given(st.integers(1, 40), st.floats(0, 100))
def test_equal_jitter_keeps_at_least_half(attempt: int, base: float) -> None:
    exact = Retry(attempts=99, base=base, jitter="none").next_delay(attempt, ValueError())
    drawn = Retry(attempts=99, base=base, jitter="equal").next_delay(attempt, ValueError())
    assert exact is not None
    assert drawn is not None
    assert exact // 2 <= drawn <= exact


def test_jitter_is_drawn_anew_each_time() -> None:
    policy = Retry(attempts=99, base=3600)
    assert len({policy.next_delay(1, ValueError()) for _ in range(20)}) > 1
    assert len({Retry(delay=5, jitter="full").next_delay(1, ValueError()) for _ in range(20)}) > 1


@pytest.mark.parametrize("on", [OSError, (OSError, KeyError), [OSError]])
def test_on_limits_what_is_tried_again_subclasses_included(on: Any) -> None:
    policy = Retry(on=on, jitter="none")
    assert policy.next_delay(1, ConnectionError()) == 2 * SECOND
    assert policy.next_delay(1, ValueError()) is None


def test_never_on_goes_before_on() -> None:
    policy = Retry(on=OSError, never_on=PermissionError, jitter="none")
    assert policy.next_delay(1, ConnectionError()) == 2 * SECOND
    assert policy.next_delay(1, PermissionError()) is None


def test_a_single_jobs_override_keeps_the_tasks_exception_types() -> None:
    task = Retry(attempts=9, on=OSError, never_on=PermissionError)
    policy = task.overridden_by(Retry(attempts=2, base=1, cap=5, jitter="none").to_json())
    assert delays(policy, 2, OSError()) == [1.0, None]
    assert policy.next_delay(1, ValueError()) is None
    assert policy.next_delay(1, PermissionError()) is None
    assert task.overridden_by(None) is task


@pytest.mark.parametrize(
    "override",
    [
        Retry(),
        Retry(attempts=3, delay=5),
        Retry(delay=[1, 2.5, timedelta(hours=1)]),
        Retry(attempts=7, base=0.25, cap=timedelta(minutes=2), jitter="equal"),
    ],
    ids=str,
)
def test_an_override_comes_back_from_its_stored_form(override: Retry) -> None:
    stored = Retry(attempts=99, delay=1000).overridden_by(override.to_json())
    assert stored.limit == override.limit
    assert stored.jitter == override.jitter
    for attempt in range(1, override.limit + 1):
        again = Retry.overridden_by(Retry(), stored.to_json()).next_delay(attempt, ValueError())
        assert (again is None) == (override.next_delay(attempt, ValueError()) is None)
    if override.delay is not None:
        assert delays(stored, override.limit) == delays(override, override.limit)


@pytest.mark.parametrize("policy", [Retry(delay=lambda attempt, error: 1), Retry(on=OSError), Retry(never_on=OSError)])
def test_what_cannot_be_stored_is_refused_as_an_override(policy: Retry) -> None:
    with pytest.raises(ConfigurationError, match="a callable, on= and never_on= belong to the task's own Retry"):
        policy.to_json()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attempts": 0}, "Retry(attempts=) must be a whole number of at least 1, not 0"),
        ({"attempts": 2.5}, "Retry(attempts=) must be a whole number of at least 1, not 2.5"),
        ({"base": -1}, "Retry(base=) must be between 0 seconds and 100 years, not -1"),
        ({"cap": "1h"}, "Retry(cap=) must be seconds or a timedelta, not '1h'"),
        ({"delay": []}, "Retry(delay=[]) needs at least one delay"),
        ({"delay": [1, "2"]}, "Retry(delay=) must be seconds or a timedelta, not '2'"),
        ({"jitter": "some"}, 'Retry(jitter=) is "full", "equal" or "none", not \'some\''),
        ({"on": "OSError"}, "Retry(on=) takes exception types, not 'OSError'"),
        ({"never_on": (int,)}, "Retry(never_on=) takes exception types, not (<class 'int'>,)"),
    ],
)
def test_a_wrong_policy_is_refused_where_it_is_written(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Retry(**options)
    assert str(raised.value) == message


def test_a_policy_prints_what_was_given() -> None:
    assert str(Retry(attempts=3, base=1.0)) == "Retry(attempts=3, base=1.0)"
    assert str(Retry()) == "Retry()"


def one(attempt: int) -> float:
    return 1.0


async def waits(attempt: int, error: BaseException) -> float:
    return 1.0


@pytest.mark.parametrize(
    ("delay", "message"),
    [
        (one, r"^Retry\(delay=\) takes the attempt and its error, as in def one\(attempt, error\)"),
        (waits, r"takes a plain function, not async def"),
    ],
)
def test_a_delay_that_cannot_be_called_is_refused_where_it_is_declared(delay: Any, message: str) -> None:
    """Each job that failed was dead at once, whatever its attempts."""
    with pytest.raises(ConfigurationError, match=message):
        Turnspit("sqlite:///nowhere.db", retry=Retry(delay=delay))
    with pytest.raises(ConfigurationError, match=message):
        Turnspit("sqlite:///nowhere.db").task(retry=Retry(delay=delay))(nothing)


def nothing() -> None: ...
