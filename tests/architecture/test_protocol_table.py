"""The table of the protocol's sentences names tests that are there."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_every_test_of_the_protocol_table_is_there() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", (TESTS / "faults" / "README.md").read_text())
    assert len(named) > 30
    missing = [f"{path}::{name}" for path, name in named if f"def {name}(" not in (TESTS / path).read_text()]
    assert missing == []
