"""``python -m benchmarks.check``: has Turnspit become slower, beside the raw limit of the same machine and moment?

A minute, small, for CI. It fails when the median of a ratio falls below the floor, which is what was measured when it
was written down, less a margin for a noisy machine. Raise a floor when Turnspit became faster for good.
"""

import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Samples
from benchmarks.measurements import Sizes
from benchmarks.places import choose_place
from benchmarks.runs import Run
from benchmarks.systems import choose

__all__ = ["FLOORS", "Floor", "main", "ratio"]

_SIZES = Sizes(one=500, at_once=1920, bulk=20_000, drain=20_000)
_REPEATS = 3
_MARGIN = 0.4


@dataclass(frozen=True, slots=True)
class Floor:
    """A ratio of Turnspit's rate to a raw rate, as measured once."""

    store: str
    measurement: str
    figure: str
    raw: str
    measured: float

    @property
    def least(self) -> float:
        """Below this it fails."""
        return self.measured * (1 - _MARGIN)


FLOORS = (
    Floor("postgres", "drain_1", "jobs_per_second", "jobs_per_second", 0.55),
    Floor("postgres", "enqueue", "one", "one", 0.70),
    Floor("postgres", "enqueue", "at_once", "one", 5.5),
    Floor("postgres", "enqueue", "bulk", "bulk", 0.48),
    Floor("sqlite", "drain_1", "jobs_per_second", "jobs_per_second", 0.23),
    Floor("sqlite", "enqueue", "one", "one", 0.62),
    Floor("sqlite", "enqueue", "at_once", "one", 4.0),
    Floor("sqlite", "enqueue", "bulk", "bulk", 0.33),
)


def ratio(floor: Floor, samples: Samples) -> float | None:
    """The median of the repeats' own ratios; nothing where a step failed in every repeat."""
    systems = samples.get(floor.measurement, {})
    own, raw = (systems.get(f"{floor.store}/{name}", {}) for name in ("turnspit", "raw"))
    found = [own[repeat][floor.figure] / raw[repeat][floor.raw] for repeat in own if repeat in raw]
    return statistics.median(found) if found else None


def main() -> int:
    """Measure, compare, say; the exit code."""
    tempfile.tempdir = str(choose_place(None).folder)
    with tempfile.TemporaryDirectory(prefix="turnspit-bench-") as folder:
        systems = choose(["postgres/turnspit", "postgres/raw", "sqlite/turnspit", "sqlite/raw"])
        run = Run(systems, ["enqueue", "drain_1"], _SIZES, _REPEATS, Path(folder))
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
        said = "not measured" if found is None else f"{found:.2f} of raw {floor.raw}"
        print(f"{'SLOWER' if is_below else 'ok':6} {floor.store} {floor.measurement} {floor.figure}: {said}, "
              f"at least {floor.least:.2f} ({floor.measured:.2f} once measured)")  # fmt: skip
    return below


if __name__ == "__main__":
    sys.exit(main())
