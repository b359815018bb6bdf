"""From samples to medians, ratios and aims."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.rows import MEASUREMENTS, ROWS

__all__ = ["AIMS", "Samples", "Spread", "aims", "by_repeat", "medians"]

Samples = dict[str, dict[str, dict[str, dict[str, float]]]]
"""Measurement, system, repeat, figure."""


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
class Aim:
    """A figure of Turnspit, alone or divided by another's of the same repeat, and what is hoped for.

    ``beside`` may name several systems: the best of them counts (the largest rate, the least latency).
    """

    name: str
    store: str
    figure: tuple[str, str]
    beside: tuple[str, ...] = ()
    beside_figure: tuple[str, str] | None = None
    least: float | None = None
    most: float | None = None
    unit: str = "x"

    @property
    def of_key(self) -> str:
        """The system that it is about."""
        return f"{self.store}/turnspit"


_PYTHON = ("pgqueuer", "procrastinate", "oban", "chancy")
_PEERS = (*_PYTHON, "awa", "graphile-worker", "pg-boss")
_RATE = "jobs_per_second"
_ONE, _TWO = ("drain_1", _RATE), ("drain_2", _RATE)
_P50, _P99 = ("latency", "idle_p50"), ("latency", "idle_p99")
_BULK = ("enqueue", "bulk")
_BURDENED = {"other_queues": 0.9, "unknown_tasks": 0.9, "limited": 0.8, "many_queues": 0.8, "in_threads": 0.4}


def _on(store: str, raw: str, peers: tuple[str, ...], burdened: dict[str, float], *more: Aim) -> tuple[Aim, ...]:
    return (
        *more,
        Aim("enqueue one by one / bare INSERT with commit", store, ("enqueue", "one"), (raw,), least=0.85, unit="%"),
        Aim("64 at once / one by one", store, ("enqueue", "at_once"), ("turnspit",), ("enqueue", "one"), least=4),
        Aim("pick-up, p50 / least p50 of a peer", store, _P50, peers, most=1),
        Aim("pick-up, p99 / least p99 of a peer", store, _P99, peers, most=1),
        Aim("idle worker, memory", store, ("idle", "memory"), most=60, unit="MB"),
        *(
            Aim(f"{MEASUREMENTS[name]} / clean", store, (name, _RATE), ("turnspit",), (name, "clean"), least, unit="%")
            for name, least in burdened.items()
        ),
        Aim(
            "long drain, memory at its end / after a third",
            store,
            ("long", "memory_end"),
            ("turnspit",),
            ("long", "memory_third"),
            most=1.05,
        ),
    )


AIMS = (
    *_on(
        "postgres",
        "raw",
        _PEERS,
        {"old_rows": 0.95, "snapshot": 0.85, **_BURDENED},
        Aim("drain, one worker / raw claim-and-finish", "postgres", _ONE, ("raw",), least=0.5, unit="%"),
        Aim("drain, one worker / fastest Python peer", "postgres", _ONE, _PYTHON, least=2.5),
        Aim("drain, one worker / fastest peer", "postgres", _ONE, _PEERS, least=1),
        Aim("drain, two workers / fastest peer with two", "postgres", _TWO, _PEERS, least=1),
        Aim("drain, two workers / one worker", "postgres", _TWO, ("turnspit",), _ONE),
        Aim("bulk enqueue / COPY", "postgres", _BULK, ("raw",), least=0.4, unit="%"),
        Aim("bulk enqueue / fastest peer", "postgres", _BULK, _PEERS, least=1.5),
        Aim("pick-up, p50 / bare INSERT, NOTIFY, claim", "postgres", _P50, ("raw",), most=1.3),
        Aim("idle worker, CPU of a core", "postgres", ("idle", "cpu_percent"), most=0.5, unit="%core"),
        Aim("idle worker, transactions a second", "postgres", ("idle", "transactions"), most=1, unit=""),
    ),
    *_on(
        "sqlite",
        "raw",
        ("huey", "litequeue"),
        {"old_rows": 0.9, **_BURDENED},
        Aim("drain, one worker / raw claim-and-finish", "sqlite", _ONE, ("raw",), least=0.2, unit="%"),
        Aim("drain, one worker / huey", "sqlite", _ONE, ("huey",), least=5),
        Aim("drain, two workers / one worker", "sqlite", _TWO, ("turnspit",), _ONE, least=1),
        Aim("bulk enqueue / raw executemany", "sqlite", _BULK, ("raw",), least=0.4, unit="%"),
        Aim("idle worker, CPU of a core", "sqlite", ("idle", "cpu_percent"), most=1, unit="%core"),
    ),
)
_LESS_IS_BETTER = {(row.measurement, row.figure) for row in ROWS if not row.is_rate}


def medians(samples: Samples) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Measurement, system, figure: median, low and high, and of how many repeats."""
    return {
        measurement: {key: _spreads(list(repeats.values())) for key, repeats in systems.items() if repeats}
        for measurement, systems in samples.items()
        if systems
    }


def _spreads(repeats: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    names = list(dict.fromkeys(name for figures in repeats for name in figures))
    found = {name: [figures[name] for figures in repeats if name in figures] for name in names}
    return {name: asdict(Spread.of(values)) | {"repeats": len(values)} for name, values in found.items()}


def aims(samples: Samples) -> list[dict[str, Any]]:
    """Every aim of which all was measured, with its spread."""
    found = []
    for aim in AIMS:
        values = _values(aim, samples)
        if values:
            spread = Spread.of(values)
            met = None
            if aim.least is not None:
                met = spread.median >= aim.least
            elif aim.most is not None:
                met = spread.median <= aim.most
            found.append({"store": aim.store, "name": aim.name, "least": aim.least, "most": aim.most,
                          "unit": aim.unit, "met": met} | asdict(spread))  # fmt: skip
    return found


def _values(aim: Aim, samples: Samples) -> list[float]:
    measurement, figure = aim.figure
    own = by_repeat(samples, measurement, figure, aim.of_key)
    if not aim.beside:
        return list(own.values())
    measurement, figure = aim.beside_figure or aim.figure
    best: Callable[..., float] = min if (measurement, figure) in _LESS_IS_BETTER else max
    others = [by_repeat(samples, measurement, figure, f"{aim.store}/{name}") for name in aim.beside]
    others = [each for each in others if each]
    if not others:
        return []
    # A peer that was measured once only stands beside every repeat.
    return [
        value / best(each.get(repeat, statistics.median(each.values())) for each in others)
        for repeat, value in own.items()
    ]


def by_repeat(samples: Samples, measurement: str, figure: str, key: str) -> dict[str, float]:
    """One figure of one system, in each repeat that has it."""
    repeats = samples.get(measurement, {}).get(key, {})
    return {repeat: figures[figure] for repeat, figures in repeats.items() if figure in figures}
