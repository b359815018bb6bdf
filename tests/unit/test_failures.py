"""What is kept of an exception."""

import json

import pytest

from turnspit._runtime.worker.failures import describe, in_one_line, normalise


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raised(error: BaseException) -> BaseException:
    """The error with a traceback through this file."""
    try:
        raise error
    except BaseException as caught:
        return caught


def test_the_line_in_the_log_names_the_last_line_of_the_applications_own_code() -> None:
    def parse() -> None:
        json.loads("{")

    with pytest.raises(ValueError, match="Expecting") as caught:
        parse()
    said = in_one_line(describe(caught.value, "ship"))
    line = parse.__code__.co_firstlineno + 1
    assert said == f"JSONDecodeError: {caught.value} ({__file__}, line {line})"


def test_an_error_that_was_raised_nowhere_of_ones_own_is_its_text() -> None:
    assert in_one_line(describe(ValueError("bad"), "ship")) == "ValueError: bad"


@pytest.mark.parametrize(
    ("message", "normal"),
    [
        ("order 17 not found", "order # not found"),
        ("550 no such user ada@example.com", "# no such user #"),
        ("object at 0x7f3a12 is gone", "object at # is gone"),
        ("job 3f2504e0-4f89-11d3-9a0c-0305e82c3301 failed", "job # failed"),
        ("KeyError: 'ada' and \"bob\"", "KeyError: # and #"),
        ("took 12.5 s at 10:31:02", "took # s at #"),
        ("sha256 and utf8 stay words", "sha256 and utf8 stay words"),
    ],
)
def test_what_differs_from_job_to_job_is_left_out_of_the_group(message: str, normal: str) -> None:
    assert normalise(message) == normal


def test_the_fingerprint_groups_by_task_type_and_normalised_message() -> None:
    one = describe(ValueError("order 17 is bad"), "ship").fingerprint
    assert one == describe(ValueError("order 4711 is bad"), "ship").fingerprint
    assert one != describe(ValueError("order 17 is late"), "ship").fingerprint
    assert one != describe(KeyError("order 17 is bad"), "ship").fingerprint
    assert one != describe(ValueError("order 17 is bad"), "send").fingerprint


def test_type_message_and_traceback_are_kept() -> None:
    record = describe(raised(ValueError("order 17 is bad")), "ship")
    assert (record.type, record.message) == ("ValueError", "order 17 is bad")
    assert record.traceback is not None
    assert record.traceback.startswith("Traceback (most recent call last):\n")
    assert "in raised\n    raise error\n" in record.traceback
    assert record.traceback.endswith("ValueError: order 17 is bad\n")


def test_a_cause_is_kept() -> None:
    error = ValueError("late")
    error.__cause__ = raised(KeyError("early"))
    assert "KeyError: 'early'" in (describe(raised(error), "ship").traceback or "")


def test_message_and_traceback_are_bounded_and_keep_both_ends() -> None:
    record = describe(raised(ValueError("x" * 100_000 + "END")), "ship")
    assert len(record.message) == 2000
    assert record.traceback is not None
    assert len(record.traceback) < 16_100
    assert record.traceback.startswith("Traceback")
    assert "characters left out" in record.traceback
    assert record.traceback.endswith("END\n")


def test_an_error_is_one_text_without_a_colon_that_nothing_follows() -> None:
    assert describe(ValueError("late"), "ship").text == "ValueError: late"
    assert describe(KeyboardInterrupt(), "ship").text == "KeyboardInterrupt"


def test_text_that_a_database_cannot_keep_is_made_storable() -> None:
    record = describe(raised(ValueError("nul \0 and surrogate \udc80")), "ship")
    assert record.message == "nul \\0 and surrogate ?"
    (record.traceback or "").encode()


def test_an_exception_without_words_is_described_all_the_same() -> None:
    record = describe(raised(Mute()), "ship")
    assert (record.type, record.message) == ("Mute", "its text could not be made: RuntimeError")
