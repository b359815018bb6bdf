"""What becomes JSON text and what does not."""

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnspit import InvalidPayload
from turnspit.codec import DEFAULT_LIMIT, check_text, decode, encode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def refusal(value: object, limit: int = DEFAULT_LIMIT) -> str:
    """What is said when the value is refused."""
    with pytest.raises(InvalidPayload) as raised:
        encode(value, what="metadata", limit=limit)
    return str(raised.value)


@given(JSON)
def test_a_json_value_comes_back_as_it_went(value: object) -> None:
    assert decode(encode(value, what="metadata")) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None]}, '{"b":1,"a":[true,null]}'),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), '"2026-01-02T03:00:00Z"'),
        (date(2026, 1, 2), '"2026-01-02"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Decimal("1.50"), '"1.50"'),
        ({1, 2}, "[1,2]"),
        ((1, "a"), '[1,"a"]'),
        (b"text", '"text"'),
        ("Ärger 🔥", '"Ärger 🔥"'),
        ("a word like NaN or Infinity", '"a word like NaN or Infinity"'),
        ({"NaN": "Infinity"}, '{"NaN":"Infinity"}'),
    ],
)
def test_what_has_an_obvious_form_is_taken(value: object, text: str) -> None:
    assert encode(value, what="metadata") == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, {"a": [1, math.nan]}, ["NaN", math.nan]])
def test_nan_and_infinity_are_refused(value: object) -> None:
    assert refusal(value) == "metadata cannot be stored: NaN and Infinity are not JSON"


def test_surrogates_are_refused() -> None:
    assert refusal({"name": "\udc80"}) == "metadata cannot be stored: text with surrogates is not Unicode"


def test_bytes_that_are_not_text_are_refused_with_the_cure() -> None:
    assert refusal({"image": b"\xff\xd8"}) == (
        "metadata cannot be stored: bytes that are not UTF-8 have no place in JSON; "
        "pydantic.Base64Bytes makes text of them"
    )


def test_too_large_is_refused_with_both_sizes() -> None:
    assert refusal("x" * 100, limit=50) == (
        "metadata cannot be stored: 102 bytes of JSON are over the limit of 50; "
        "store the data elsewhere and pass a reference"
    )
    assert len(encode("x" * 48, what="metadata", limit=50)) == 50


def test_the_limit_counts_bytes_not_characters() -> None:
    assert "102 bytes" in refusal("ä" * 50, limit=60)


def test_a_value_inside_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)
    assert refusal(value) == "metadata cannot be stored: it contains itself"


def test_nesting_without_end_is_refused() -> None:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    assert refusal(value).startswith("metadata cannot be stored: ")


def test_an_object_without_a_form_is_refused() -> None:
    assert refusal(object()) == "metadata cannot be stored: Unable to serialize unknown type: <class 'object'>"


def test_stored_text_that_is_not_json_is_an_invalid_payload() -> None:
    with pytest.raises(InvalidPayload, match=r"^stored text is not JSON: "):
        decode('{"a":')


@pytest.mark.parametrize("text", ["", "x" * 256, "a\0b", "\udc80", 5, None])
def test_what_cannot_be_a_name_is_refused(text: object) -> None:
    with pytest.raises(InvalidPayload, match=r"^a tag must be text "):
        check_text(text, "a tag")  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["a", "x" * 255, "Ärger 🔥", "a b/c.d"])
def test_what_can_be_a_name_is_taken(text: str) -> None:
    assert check_text(text, "a tag") == text
