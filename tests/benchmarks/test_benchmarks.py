"""The benchmark runs to its end, and the page quotes the result that is kept."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from benchmarks.chart import draw
from benchmarks.figures import Spread, ratios
from benchmarks.measurements import QUICK
from benchmarks.page import QUOTED, render, rewrite
from benchmarks.runs import choose_systems, run
from benchmarks.systems import NAMES

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_quick_run_measures_everything_and_keeps_it(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", str(result), "--store", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(result.read_text())
    assert set(document["systems"]) == set(NAMES)
    assert {
        "synchronous=FULL" in system["durability"] for name, system in document["systems"].items() if name != "asyncio"
    } == {True}
    for measurement, systems in document["samples"].items():
        expected = {system.name for system in choose_systems([]).systems if measurement in system.measurements}
        assert set(systems) == expected, measurement
    assert "drain, one worker / huey" in done.stdout


def test_a_repeat_visits_every_system_once_before_the_next_begins(tmp_path: Path) -> None:
    steps: list[str] = []
    run(
        choose_systems(["dispatch", "bulk", "asyncio", "raw"]),
        QUICK,
        2,
        tmp_path,
        lambda _, __, what: steps.append(what),
    )
    assert [step.partition(" · ")[::2] for step in steps[:-1]] == [
        ("repeat 1/2", "enqueue, bulk · raw"),
        ("repeat 1/2", "dispatch, no store · asyncio"),
        ("repeat 2/2", "enqueue, bulk · raw"),
        ("repeat 2/2", "dispatch, no store · asyncio"),
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_ratio_is_the_median_of_the_repeats_own_ratios() -> None:
    def rates(*values: float) -> list[dict[str, float]]:
        return [{"jobs_per_second": value} for value in values]

    samples = {"drain_1": {"turnspit": rates(10, 40, 90), "raw": rates(100, 100, 100)}}
    [ratio] = ratios(samples)
    assert (ratio["median"], ratio["low"], ratio["high"], ratio["met"]) == (0.4, 0.1, 0.9, True)
    assert Spread.of([3, 1, 2]) == Spread(2, 1, 3)


def test_the_page_and_its_picture_are_those_of_the_quoted_result() -> None:
    document = json.loads(QUOTED.read_text())
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    hint = "run `python -m benchmarks.page`"
    assert page == rewrite(page, render(document)), hint
    picture = (ROOT / "docs" / "images" / "benchmarks.svg").read_text()
    assert picture == draw(document), hint
    ET.fromstring(picture)
