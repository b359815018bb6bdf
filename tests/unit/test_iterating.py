"""Where another attempt of a job that iterates over a list goes on."""

import json
from datetime import date
from typing import Any

import pytest

from turnspit import ConfigurationError, JobContext
from turnspit.context import claim_of
from turnspit.reporting import Silent


def attempt_behind(key: Any) -> JobContext:
    """The job in an attempt after one that was interrupted behind the item with this stored key."""
    cursor = json.dumps({"items": [key, False]})
    return JobContext(claim_of(JobContext.detached())._replace(cursor=cursor), Silent(), {})


@pytest.mark.parametrize(
    ("items", "stored"),
    [
        ([1, 2, 3], 2),
        ([("a", 1), ("a", 2), ("b", 1)], ["a", 2]),
        ([date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)], "2026-01-02"),
    ],
)
def test_it_goes_on_behind_the_last_key_whatever_json_made_of_it(items: list[Any], stored: Any) -> None:
    assert list(attempt_behind(stored).iterate(items, key=lambda item: item)) == items[2:]
    assert list(attempt_behind(stored).iterate(items[:2], key=lambda item: item)) == []


def test_a_list_without_the_last_key_is_refused_instead_of_left_out() -> None:
    with pytest.raises(ConfigurationError, match="none of the items has the key 7, behind which this attempt"):
        list(attempt_behind(7).iterate([1, 2, 3], key=lambda item: item))
