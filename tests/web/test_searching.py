"""What is written into the search box of a link is found again."""

from typing import Any

import pytest

from turnspit.web.searching import parse_search, write_search


@pytest.mark.parametrize("text", ["email", "two words", "C:\\temp", 'a"b', "it's", "a\tb", "a*", "#1"])
def test_a_name_is_read_as_it_was_written(text: str) -> None:
    assert parse_search(write_search({"queue": text})) == {"queue": text}


@pytest.mark.parametrize("value", ["7", 7, "true", True, "null", None, ["a"], {"a": [1]}, 'a"b', "C:\\temp", "NaN"])
def test_an_argument_keeps_its_type(value: Any) -> None:
    assert parse_search(write_search({"args": {"x": value}})) == {"args": {"x": value}}
