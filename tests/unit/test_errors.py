"""The tree of exceptions, and the outcomes beside it."""

import re
from datetime import timedelta
from typing import Any

import pytest

from turnspit import Cancel, ConfigurationError, GiveUp, RetryAfter, Snooze, errors
from turnspit.outcomes import Outcome


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    parents = ["TurnspitError"]
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"^    ((?:│   |    )*)[├└]── (\w+)", line):
            depth = len(match[1]) // 4 + 1
            parents[depth:] = [match[2]]
            drawn[match[2]] = parents[depth - 1]
    real = {name: getattr(errors, name).__mro__[1].__name__ for name in errors.__all__ if name != "TurnspitError"}
    assert drawn == real


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_says_what_it_means(name: str) -> None:
    error = getattr(errors, name)
    assert issubclass(error, errors.TurnspitError)
    assert error.__doc__


@pytest.mark.parametrize("outcome", [Snooze(5, "busy"), RetryAfter(timedelta(seconds=5), "busy")])
def test_an_outcome_with_a_delay(outcome: Any) -> None:
    assert (outcome.delay, outcome.reason, str(outcome)) == (5_000_000, "busy", "busy")
    assert isinstance(outcome, Outcome)


@pytest.mark.parametrize("outcome", [Cancel("no need"), GiveUp("no need")])
def test_an_outcome_without_one(outcome: Outcome) -> None:
    assert outcome.reason == str(outcome) == "no need"


@pytest.mark.parametrize("outcome", [Snooze, RetryAfter])
def test_a_wrong_delay_is_refused_where_it_is_raised(outcome: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{outcome.__name__}\(delay\) must be "):
        outcome(-1)
