"""From samples to medians, ratios and aims."""

import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.runs import Samples

__all__ = ["RATIOS", "Spread", "aims", "medians", "ratios"]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the repeats, with the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """The spread of at least one value."""
        found = list(values)
        return cls(statistics.median(found), min(found), max(found))


@dataclass(frozen=True, slots=True)
class Ratio:
    """One rate over another, each repeat with its own pair; ``aim`` is the least that is hoped for."""

    name: str
    over: tuple[str, str]
    under: tuple[str, str]
    aim: float | None = None
    percent: bool = True


RATIOS = (
    Ratio("drain, one worker / raw claim-and-finish", ("drain_1", "turnspit"), ("drain_1", "raw"), 0.20),
    Ratio("drain, one worker / huey", ("drain_1", "turnspit"), ("drain_1", "huey"), 5, percent=False),
    Ratio("drain, one worker / litequeue", ("drain_1", "turnspit"), ("drain_1", "litequeue"), percent=False),
    Ratio("drain, two workers / one worker", ("drain_2", "turnspit"), ("drain_1", "turnspit"), 1, percent=False),
    Ratio("drain, two workers / huey with two", ("drain_2", "turnspit"), ("drain_2", "huey"), percent=False),
    Ratio("drain, one worker / bare asyncio dispatch", ("drain_1", "turnspit"), ("dispatch", "asyncio")),
    Ratio("one by one / bare durable INSERT", ("one", "turnspit"), ("one", "raw"), 0.85),
    Ratio("64 at once / one by one", ("at_once", "turnspit"), ("one", "turnspit"), 4, percent=False),
    Ratio("bulk / raw executemany", ("bulk", "turnspit"), ("bulk", "raw"), 0.40),
)


def medians(samples: Samples) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Measurement, system, figure: median, low and high."""
    return {
        measurement: {
            system: {key: asdict(Spread.of(each[key] for each in repeats)) for key in repeats[0]}
            for system, repeats in systems.items()
        }
        for measurement, systems in samples.items()
        if systems
    }


def ratios(samples: Samples) -> list[dict[str, Any]]:
    """Every ratio of which both sides were measured."""
    found = []
    for ratio in RATIOS:
        over, under = (samples.get(side[0], {}).get(side[1]) for side in (ratio.over, ratio.under))
        if over and under:
            pairs = zip(over, under, strict=True)
            spread = Spread.of(a["jobs_per_second"] / b["jobs_per_second"] for a, b in pairs)
            met = None if ratio.aim is None else spread.median >= ratio.aim
            found.append(asdict(spread) | {"name": ratio.name, "aim": ratio.aim, "percent": ratio.percent, "met": met})
    return found


_AIMS = (
    ("wake-up across processes, p99", ("wake_across", "turnspit", "p99"), 10.0, "ms"),
    ("idle worker, CPU of one core", ("idle", "turnspit", "cpu_percent"), 1.0, "%"),
    ("idle worker, memory", ("idle", "turnspit", "memory_mb"), 60.0, "MB"),
)


def aims(samples: Samples) -> list[dict[str, Any]]:
    """Figures that should stay under a number."""
    found = []
    for name, (measurement, system, key), under, unit in _AIMS:
        repeats = samples.get(measurement, {}).get(system)
        if repeats:
            spread = Spread.of(each[key] for each in repeats)
            found.append(asdict(spread) | {"name": name, "under": under, "unit": unit, "met": spread.median < under})
    return found
