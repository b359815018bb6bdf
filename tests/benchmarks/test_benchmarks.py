"""The benchmark runs to its end whatever a peer does, and the page quotes the result that is kept."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from benchmarks.chart import pictures
from benchmarks.environments import Environment, Here, NotInstalled
from benchmarks.figures import Samples, Spread, aims
from benchmarks.measurements import Sizes
from benchmarks.page import PICTURES, QUOTED, render, rewrite
from benchmarks.runs import Run
from benchmarks.systems import SYSTEMS, System, choose

from benchmarks import check, workflows

ROOT = Path(__file__).parents[2]
SMALL = Sizes(one=10, at_once=64, bulk=100, drain=100, idle_jobs=5, half_seconds=0.1, idle=0.1, dispatch=100)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_quick_run_measures_everything_and_keeps_it(tmp_path: Path) -> None:
    """Turnspit and the raw limits: peers would have to be fetched."""
    result = tmp_path / "result.json"
    own = [system for system in SYSTEMS if isinstance(system.environment, Here)]
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", str(result), "--only"]
    command += [system.key for system in own]
    # It takes a minute, and thrice as long where the machine has much else to do.
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=290)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(result.read_text())
    assert set(document["systems"]) == {system.key for system in own}
    assert "fsync=on, synchronous_commit=on" in document["conditions"]["postgres"]
    assert "synchronous=FULL" in document["conditions"]["sqlite"]
    for measurement, systems in document["samples"].items():
        assert set(systems) == {system.key for system in own if measurement in system.measurements}, measurement
    assert "PostgreSQL: drain, one worker / raw claim-and-finish" in done.stdout


def test_a_slower_turnspit_is_found_and_a_noisy_machine_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    """All ratios as they were measured once, on a fast machine and on a slow one; then half of them."""
    assert check._compare(checked(1000)) == 0
    assert check._compare(checked(500)) == 0
    assert check._compare(checked(1000, measured=0.5)) == len(check.FLOORS)
    assert capsys.readouterr().out.count("SLOWER") == len(check.FLOORS)


def test_what_slows_a_scenario_alone_is_found_beside_the_clean_drain_of_the_same_repeat(
    capsys: pytest.CaptureFixture[str],
) -> None:
    samples = checked(1000)
    drains = (samples[name]["postgres/turnspit"] for name in ("drain_1", "many_queues"))
    for clean, burdened in zip(*(drain.values() for drain in drains), strict=True):
        burdened["jobs_per_second"] = clean["jobs_per_second"] / 10
    assert check._compare(samples) == 1
    assert "SLOWER postgres many_queues jobs_per_second: 0.10 of turnspit drain_1" in capsys.readouterr().out
    for repeat in "12":
        samples["many_queues"]["postgres/turnspit"][repeat]["jobs_per_second"] *= 10
    assert check._compare(samples) == 0, "the machine stuttered once"
    del samples["many_queues"]
    assert check._compare(samples) == 2
    assert capsys.readouterr().out.count("many_queues jobs_per_second: not measured") == 2


def checked(raw: float, measured: float = 1.0) -> Samples:
    """What the check finds where the raw limits are all alike, and each ratio is so much of what it was once."""
    found: Samples = {}

    def figures(store: str, system: str, measurement: str, repeat: str) -> dict[str, float]:
        return found.setdefault(measurement, {}).setdefault(f"{store}/{system}", {}).setdefault(repeat, {})

    for floor, repeat in product(check.FLOORS, "012"):
        (measurement, figure), (divided_by, divisor) = floor.rate, floor.divisor
        limit = figures(floor.store, floor.beside, divided_by, repeat).setdefault(divisor, raw)
        figures(floor.store, "turnspit", measurement, repeat)[figure] = limit * floor.measured * measured
    return found


class Nowhere(Environment):
    def command(self, program: str) -> list[str]:
        raise NotInstalled("no such package")


def small_run(folder: Path, systems: list[System], measurements: list[str], repeats: int = 1) -> tuple[Run, list[str]]:
    run, said = Run(systems, measurements, SMALL, repeats, folder), []
    try:
        run.prepare(lambda _: None)
        run.measure(said.append, lambda: None)
    finally:
        run.close()
    return run, said


def test_a_repeat_visits_every_system_once_before_the_next_begins(tmp_path: Path) -> None:
    systems = choose(["sqlite/raw", "sqlite/turnspit"])
    run, said = small_run(tmp_path, systems, ["enqueue"], repeats=2)
    assert [line.partition(": ")[0] for line in said] == [
        "1/4 repeat 1 · enqueue · sqlite/turnspit",
        "2/4 repeat 1 · enqueue · sqlite/raw",
        "3/4 repeat 2 · enqueue · sqlite/raw",
        "4/4 repeat 2 · enqueue · sqlite/turnspit",
    ]
    assert not run.failures
    assert list(tmp_path.iterdir()) == []


def test_what_takes_long_is_measured_once_unless_every_repeat_is_asked_for(tmp_path: Path) -> None:
    [system] = choose(["sqlite/turnspit"])
    for options, repeats in (({}, 1), ({"once": ()}, 2)):
        run = Run([system], ["old_rows"], SMALL, 2, tmp_path, **options)  # type: ignore[arg-type]
        run._commands[system.key] = []
        assert [repeat for repeat, _, _ in run.steps()] == [*range(repeats)]


def test_a_peer_that_is_missing_or_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    [raw] = choose(["sqlite/raw"])
    gone = replace(raw, name="gone", environment=Nowhere())
    forgetful = replace(raw, name="forgetful", completed="SELECT 41")
    run, _ = small_run(tmp_path, [gone, forgetful, raw], ["drain_1"])
    assert run.missing == {"sqlite/gone": "no such package"}
    [failure] = run.failures
    assert "sqlite/forgetful: 0 jobs completed in the store, expected 100" in failure
    assert list(run.document()["samples"]["drain_1"]) == ["sqlite/raw"]


def test_jobs_claimed_before_the_clock_starts_spoil_a_drain(tmp_path: Path) -> None:
    [raw] = choose(["sqlite/raw"])
    eager = replace(raw, waiting="SELECT 99")
    run, _ = small_run(tmp_path, [eager], ["drain_1"])
    [failure] = run.failures
    assert "1 jobs were claimed before the clock started" in failure


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    [system] = choose(["none/asyncio"])
    kept = {"dispatch": {"none/asyncio": {"0": {"jobs_per_second": 7.0}}}}
    run = Run([system], ["dispatch"], SMALL, 2, tmp_path, samples=kept)
    said: list[str] = []
    run.prepare(lambda _: None)
    run.measure(said.append, lambda: None)
    assert [line.partition(" · ")[0] for line in said] == ["2/2 repeat 2"]
    assert run.samples["dispatch"]["none/asyncio"]["0"] == {"jobs_per_second": 7.0}


def test_a_ratio_is_the_median_of_the_repeats_own_ratios_to_the_best_peer() -> None:
    def rates(*values: float) -> dict[str, dict[str, float]]:
        return {str(repeat): {"jobs_per_second": value} for repeat, value in enumerate(values)}

    samples = {
        "drain_1": {
            "postgres/turnspit": rates(10, 40, 90),
            "postgres/pgqueuer": rates(10, 10, 10),
            "postgres/oban": rates(5),
            "postgres/graphile-worker": rates(1, 20, 100),
        }
    }
    found = {aim["name"]: aim for aim in aims(samples)}
    python, everybody = found["drain, one worker / fastest Python peer"], found["drain, one worker / fastest peer"]
    assert (python["median"], python["low"], python["high"], python["met"]) == (4, 1, 9, True)
    assert (everybody["median"], everybody["low"], everybody["high"]) == (1, 0.9, 2)
    assert Spread.of([3, 1, 2]) == Spread(2, 1, 3)


def test_a_scenario_is_followed_by_a_clean_drain(tmp_path: Path) -> None:
    run, _ = small_run(tmp_path, choose(["sqlite/turnspit"]), ["many_queues"])
    assert run.failures == []
    assert run.samples["many_queues"]["sqlite/turnspit"]["0"]["clean"] > 0


def test_a_scenario_is_divided_by_the_clean_drain_that_follows_it() -> None:
    samples = {
        "drain_1": {"postgres/turnspit": {"0": {"jobs_per_second": 900.0}}},
        "many_queues": {"postgres/turnspit": {"0": {"jobs_per_second": 70.0, "clean": 100.0}}},
    }
    [found] = [aim for aim in aims(samples) if aim["name"].startswith("drain, 1,000 queues")]
    assert (found["median"], found["met"]) == (0.7, False)


def test_the_page_and_its_pictures_are_those_of_the_quoted_result() -> None:
    document = json.loads(QUOTED.read_text())
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    hint = "run `python -m benchmarks.page`"
    assert page == rewrite(page, render(document)), hint
    drawn = pictures(document)
    assert drawn
    for name, picture in drawn.items():
        assert (PICTURES / name).read_text() == picture, hint
        ET.fromstring(picture)


def test_workflows_are_measured_and_a_peer_that_is_not_there_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Nowhere(Environment):
        def command(self, program: str) -> list[str]:
            raise NotInstalled("node and npm are not on PATH")

    monkeypatch.setitem(workflows.SYSTEMS, "bullmq", replace(workflows.SYSTEMS["bullmq"], environment=Nowhere()))
    sizes = ["--flows", "2", "--jobs", "20", "--hops", "5"]
    assert workflows.main(["--only", "sqlite", "bullmq", *sizes]) == 0
    shown = capsys.readouterr().out
    assert "BullMQ, Redis: node and npm are not on PATH" in shown
    assert "| | Turnspit, SQLite | BullMQ, Redis (not there) |" in shown
    for row in ("workflows of four jobs", "latency of a hop, p50", "20 and one that waits", "one, 20 behind it"):
        assert len([line for line in shown.splitlines() if line.startswith(f"| {row}") and line.endswith("| - |")]) == 1
