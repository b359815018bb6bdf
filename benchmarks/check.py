"""``python -m benchmarks.check``: has Turnspit become slower, relative to what this machine does at the same moment?

It is compared with the raw limit; with many queues, or jobs of unknown tasks, with the clean drain of the same repeat.
It takes a minute or two, for CI. It fails if the median of a ratio falls below its floor: the ratio that was measured
once, less a margin for a noisy machine. Raise a floor when Turnspit has become faster for good.
"""

import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Samples, by_repeat
from benchmarks.measurements import Sizes
from benchmarks.places import choose_place
from benchmarks.rows import MEASUREMENTS
from benchmarks.runs import Run
from benchmarks.systems import choose

__all__ = ["FLOORS", "Floor", "main", "ratio"]

# With fewer foreign jobs a claim that walks over all of them each time is too fast to be found.
_SIZES = Sizes(one=500, at_once=1920, bulk=20_000, drain=20_000, foreign=200_000, follow_up=False)
_REPEATS = 3
_MARGIN = 0.4


@dataclass(frozen=True, slots=True)
class Floor:
    """A rate of Turnspit, divided by another of the same store and repeat, as measured once."""

    store: str
    rate: tuple[str, str]
    """The measurement, and its figure."""
    beside: str
    """The system by whose rate it is divided: the raw limit, or Turnspit itself."""
    divisor: tuple[str, str]
    measured: float

    @property
    def least(self) -> float:
        """Below this it fails."""
        return self.measured * (1 - _MARGIN)


_DRAIN = ("drain_1", "jobs_per_second")
_MANY_QUEUES, _UNKNOWN_TASKS = ("many_queues", "jobs_per_second"), ("unknown_tasks", "jobs_per_second")
_ONE, _AT_ONCE, _BULK = ("enqueue", "one"), ("enqueue", "at_once"), ("enqueue", "bulk")

FLOORS = (
    Floor("postgres", _DRAIN, "raw", _DRAIN, 0.55),
    Floor("postgres", _MANY_QUEUES, "turnspit", _DRAIN, 0.90),
    Floor("postgres", _UNKNOWN_TASKS, "turnspit", _DRAIN, 0.87),
    Floor("postgres", _ONE, "raw", _ONE, 0.70),
    Floor("postgres", _AT_ONCE, "raw", _ONE, 5.5),
    Floor("postgres", _BULK, "raw", _BULK, 0.48),
    Floor("sqlite", _DRAIN, "raw", _DRAIN, 0.23),
    Floor("sqlite", _MANY_QUEUES, "turnspit", _DRAIN, 0.79),
    Floor("sqlite", _UNKNOWN_TASKS, "turnspit", _DRAIN, 0.84),
    Floor("sqlite", _ONE, "raw", _ONE, 0.62),
    Floor("sqlite", _AT_ONCE, "raw", _ONE, 4.0),
    Floor("sqlite", _BULK, "raw", _BULK, 0.33),
)


def ratio(floor: Floor, samples: Samples) -> float | None:
    """The median of the repeats' own ratios; ``None`` if a step failed in every repeat."""
    own = by_repeat(samples, *floor.rate, f"{floor.store}/turnspit")
    other = by_repeat(samples, *floor.divisor, f"{floor.store}/{floor.beside}")
    found = [own[repeat] / other[repeat] for repeat in own if repeat in other]
    return statistics.median(found) if found else None


def main() -> int:
    """Measure, compare, say; the exit code."""
    tempfile.tempdir = str(choose_place(None).folder)
    with tempfile.TemporaryDirectory(prefix="turnspit-bench-") as folder:
        systems = choose(["postgres/turnspit", "postgres/raw", "sqlite/turnspit", "sqlite/raw"])
        needed = {measurement for floor in FLOORS for measurement, _ in (floor.rate, floor.divisor)}
        measurements = [name for name in MEASUREMENTS if name in needed]
        run = Run(systems, measurements, _SIZES, _REPEATS, Path(folder), once=())
        try:
            run.prepare(lambda _: None)
            run.measure(print, lambda: None)
        finally:
            run.close()
    return 1 if run.failures or run.missing or _compare(run.samples) else 0


def _compare(samples: Samples) -> int:
    """Print every ratio; how many are below their floor."""
    below = 0
    for floor in FLOORS:
        found = ratio(floor, samples)
        is_below = found is None or found < floor.least
        below += is_below
        said = "not measured" if found is None else f"{found:.2f} of {floor.beside} {' '.join(floor.divisor)}"
        print(f"{'SLOWER' if is_below else 'ok':6} {floor.store} {' '.join(floor.rate)}: {said}, "
              f"at least {floor.least:.2f} ({floor.measured:.2f} once measured)")  # fmt: skip
    return below


if __name__ == "__main__":
    sys.exit(main())
