"""One run: every measurement of every system, repeated, interleaved. A repeat visits all before the next begins."""

import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.environments import NotInstalled
from benchmarks.measurements import MEASURE, Bench, Figures, Sizes
from benchmarks.processes import Agent, AgentFailed
from benchmarks.report import short
from benchmarks.rows import MEASUREMENTS
from benchmarks.scenarios import SCENARIOS
from benchmarks.stores.base import Kind
from benchmarks.stores.postgres import Postgres
from benchmarks.stores.redis import Redis
from benchmarks.stores.sqlite import Sqlite
from benchmarks.systems import System

__all__ = ["Run", "Samples"]

Samples = dict[str, dict[str, dict[str, Figures]]]
"""Measurement, system, repeat."""

_Step = tuple[int, str, System]


@dataclass(slots=True)
class Run:
    """What is measured, what was found, and what failed. Samples that are there already are not measured again."""

    systems: Sequence[System]
    measurements: Sequence[str]
    sizes: Sizes
    repeats: int
    folder: Path
    is_full: bool = True
    """Whether systems with ``once`` are measured in every repeat all the same, not only in the first."""
    once: Collection[str] = ("idle", "old_rows", "snapshot", "long")
    """Measurements that take long, and are made only in the first repeat."""
    samples: Samples = field(default_factory=dict)
    settings: dict[str, dict[str, str]] = field(default_factory=dict)
    conditions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    _kinds: dict[str, Kind] = field(default_factory=dict)
    _commands: dict[str, list[str]] = field(default_factory=dict)

    def prepare(self, say: Callable[[str], None]) -> None:
        """Make the environments, start the servers, ask every system what it is."""
        for system in self.systems:
            say(f"{system.key}: environment")
            try:
                self._commands[system.key] = system.environment.command(system.program)
                kind = self._kind(system.store)
                with kind.new_store() as store, Agent(system.key, self._commands[system.key], store.url) as agent:
                    self.settings[system.key] = agent.ask("prepare")
            except (NotInstalled, AgentFailed, OSError) as error:
                self._commands.pop(system.key, None)
                self.missing[system.key] = str(error)
                say(f"{system.key} is missing: {error}")

    def _kind(self, store: str) -> Kind:
        if store not in self._kinds:
            make = {"postgres": Postgres, "redis": Redis}.get(store, lambda: Sqlite(self.folder))
            self._kinds[store] = make()
            if store != "none":
                self.conditions[store] = self._kinds[store].conditions
        return self._kinds[store]

    def measure(self, say: Callable[[str], None], keep: Callable[[], None]) -> None:
        """Measure every step; one that fails is reported and left out."""
        steps = self.steps()
        for number, (repeat, measurement, system) in enumerate(steps, start=1):
            found = self.samples.setdefault(measurement, {}).setdefault(system.key, {})
            if str(repeat) in found:
                continue
            since = time.monotonic()
            what = f"{number}/{len(steps)} repeat {repeat + 1} · {MEASUREMENTS[measurement]} · {system.key}"
            try:
                figures = (MEASURE | SCENARIOS)[measurement](self._bench(system, repeat))
            except (AgentFailed, OSError, psycopg.Error, sqlite3.Error) as error:
                self.failures.append(f"{what}: {error}")
                say(f"{what}: FAILED: {error}")
            else:
                found[str(repeat)] = figures
                say(f"{what}: {_brief(figures)} ({time.monotonic() - since:.0f} s)")
            keep()

    def steps(self) -> list[_Step]:
        """Everything that is measured, in its order."""
        able = [system for system in self.systems if system.key in self._commands]
        return [
            (repeat, measurement, system)
            for repeat in range(self.repeats)
            for measurement in self.measurements
            for system in _rotated(able, repeat)
            if measurement in system.measurements and repeat < self._most(measurement, system)
        ]

    def _most(self, measurement: str, system: System) -> int:
        """In how many repeats this is measured."""
        if measurement in self.once:
            return 1
        return self.repeats if self.is_full or not system.once else 1

    def _bench(self, system: System, repeat: int) -> Bench:
        earlier = {
            measurement: systems[system.key][str(repeat)]
            for measurement, systems in self.samples.items()
            if str(repeat) in systems.get(system.key, {})
        }
        return Bench(system, self._commands[system.key], self._kind(system.store), self.sizes, earlier)

    def document(self) -> dict[str, Any]:
        """What is kept."""
        return {
            "repeats": self.repeats,
            "conditions": self.conditions,
            "systems": self.settings,
            "missing": self.missing,
            "failures": self.failures,
            "samples": {measurement: {key: found for key, found in systems.items() if found}
                        for measurement, systems in self.samples.items()},
        }  # fmt: skip

    def close(self) -> None:
        """Stop the servers."""
        for kind in self._kinds.values():
            kind.close()


def _rotated(systems: list[System], by: int) -> list[System]:
    """Each repeat begins with another system, so that none always follows the same one."""
    start = by % len(systems) if systems else 0
    return systems[start:] + systems[:start]


def _brief(figures: Figures) -> str:
    return ", ".join(f"{name} {short(value)}" for name, value in figures.items())
