"""A soak of a few seconds, from its command to its report."""

import json
from pathlib import Path

import pytest
from soak.__main__ import main

from tests.conftest import ENGINES


@pytest.mark.slow
@pytest.mark.parametrize("store", [name for name in ("sqlite", "postgres") if name in "".join(ENGINES)])
def test_a_short_soak_holds(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--minutes", "0.06", "--workers", "2", "--rate", "300", "--every", "1", "--seed", "7"]
    code = main(["--store", store, "--out", str(tmp_path), *options])
    document = json.loads((tmp_path / f"soak-{store}.json").read_text())
    assert code == 0, capsys.readouterr().out
    assert document["holds"]
    assert document["figures"]["accepted"] > 300
    assert document["figures"]["completed"] > 0
    assert len(document["faults"]) >= 1
    assert document["samples"]
