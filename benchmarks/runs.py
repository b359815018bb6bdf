"""One run: every measurement of every system, repeated, interleaved. A repeat visits all before the next begins."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contract import MEASUREMENTS, System
from benchmarks.measurements import MEASURE, Figures, Sizes
from benchmarks.processes import AgentFailed
from benchmarks.systems import NAMES, load

__all__ = ["Samples", "choose_systems", "run"]

Samples = dict[str, dict[str, list[Figures]]]
"""Measurement, system, one entry a repeat."""


@dataclass(slots=True)
class Chosen:
    """What is measured, and what could not be."""

    systems: list[type[System]] = field(default_factory=list)
    measurements: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


def choose_systems(only: Sequence[str]) -> Chosen:
    """The systems and measurements that ``only`` names; all of a kind of which it names none."""
    names = [name for name in NAMES if name in only] or list(NAMES)
    measurements = [name for name in MEASUREMENTS if name in only] or list(MEASUREMENTS)
    chosen = Chosen(measurements=measurements)
    for name in names:
        try:
            chosen.systems.append(load(name))
        except ImportError as error:
            chosen.missing[name] = str(error)
    return chosen


def run(chosen: Chosen, sizes: Sizes, repeats: int, folder: Path, on_step: Callable[[int, int, str], None]) -> Samples:
    """Measure.

    :param on_step: called before each step with its number, the number of all steps and what it is.
    """
    samples: Samples = {measurement: {} for measurement in chosen.measurements}
    steps = [
        (repeat, measurement, group)
        for repeat in range(repeats)
        for measurement in chosen.measurements
        for group in _groups(measurement, _rotated(chosen.systems, repeat))
    ]
    for number, (repeat, measurement, group) in enumerate(steps):
        names = " and ".join(system.name for system in group)
        on_step(number, len(steps), f"repeat {repeat + 1}/{repeats} · {MEASUREMENTS[measurement]} · {names}")
        with ThreadPoolExecutor(len(group)) as pool:
            results = list(pool.map(lambda system, what=measurement: _measure(what, system, sizes, folder), group))
        for system, figures in zip(group, results, strict=True):
            samples[measurement].setdefault(system.name, []).append(figures)
    on_step(len(steps), len(steps), "done")
    return samples


def _rotated(systems: list[type[System]], by: int) -> list[type[System]]:
    """Each repeat begins with another system, so that none always follows the same one."""
    start = by % len(systems)
    return systems[start:] + systems[:start]


def _groups(measurement: str, systems: list[type[System]]) -> list[list[type[System]]]:
    able = [system for system in systems if measurement in system.measurements]
    # Idle workers do not disturb each other: they are watched together.
    if measurement == "idle":
        return [able] if able else []
    return [[system] for system in able]


def _measure(measurement: str, system: type[System], sizes: Sizes, folder: Path) -> Figures:
    place = Path(tempfile.mkdtemp(dir=folder))
    os.sync()  # what the step before left to be written is not this one's to pay
    try:
        return MEASURE[measurement](system, place / "store.db", sizes)
    except AgentFailed as error:
        raise AgentFailed(f"{MEASUREMENTS[measurement]}: {error}") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)
