"""What workflows cost: building, fan-out and fan-in, and the latency of a hop from a job to the one that waits for it.

python -m benchmarks.workflows                       # SQLite, on a temporary file
python -m benchmarks.workflows postgresql://...      # a database whose schema turnspit_bench may be dropped
python -m benchmarks.workflows --jobs 1000 --hops 200
python -m benchmarks.workflows --jobs 1000000 --hops 0   # a million jobs, and the memory that they take
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from turnspit import Turnspit

LONGEST = 7200.0


class Bench:
    """An app with tasks that do nothing."""

    def __init__(self, url: str) -> None:
        self.app = app = Turnspit(url)
        self.begun: list[float] = []

        @app.task(keep_result=False)
        async def hop(number: int) -> None:
            self.begun.append(time.perf_counter())

        @app.task(keep_result=False)
        async def nothing(number: int = 0) -> None: ...

        self.hop, self.nothing = hop, nothing

    def chain(self, length: int) -> None:
        """A chain, with one idle worker: each hop is a finish and a claim."""
        with timed(f"chain of {length:,}: build"):
            flow = self.app.chain(*[self.hop.new(number) for number in range(length)])
        with timed(f"chain of {length:,}: run"), self.app.worker():
            self.app.workflows.wait_ended(flow, LONGEST)
        hops = sorted(1000 * (second - first) for first, second in pairwise(self.begun))
        self.begun.clear()
        line("latency of a hop, p50", f"{hops[len(hops) // 2]:.2f} ms")
        line("latency of a hop, p99", f"{hops[len(hops) * 99 // 100]:.2f} ms")

    def fan(self, width: int) -> None:
        """One job, then many, then one that waits for all of them."""
        line("memory before", memory())
        with timed(f"fan-out and fan-in of {width:,}: build"), self.app.workflow("fan") as flow:
            first = flow.add(self.nothing.new())
            parts = flow.add_many((self.nothing.new(number) for number in range(width)), after=[first])
            flow.add(self.nothing.new(), after=[parts])
        assert flow.id is not None
        line("most memory while it was built", memory())
        with timed(f"fan-out and fan-in of {width:,}: run"), self.app.worker(concurrency=50):
            self.app.workflows.wait_ended(flow.id, LONGEST)
        line("most memory until its end", memory())

    def small(self, count: int) -> None:
        """Workflows of four jobs, each stored by a transaction of its own."""
        began = time.perf_counter()
        for number in range(count):
            with self.app.workflow("small") as flow:
                first = flow.add(self.nothing.new(number))
                both = [flow.add(self.nothing.new(number), after=[first]) for _ in range(2)]
                flow.add(self.nothing.new(number), after=both)
        line("workflows of four jobs stored", f"{count / (time.perf_counter() - began):,.0f} a second")


def memory() -> str:
    """The most that this process has had so far."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB"


def line(what: str, figure: str) -> None:
    """A line of the result."""
    sys.stdout.write(f"{what:<45} {figure:>15}\n")
    sys.stdout.flush()


@contextmanager
def timed(what: str) -> Iterator[None]:
    """How long it takes."""
    began = time.perf_counter()
    yield
    line(what, f"{time.perf_counter() - began:.2f} s")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print a line each."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.workflows", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("url", nargs="?", help="the store; default: a temporary file")
    parser.add_argument("--jobs", type=int, default=100_000, help="how wide the fan is (default: 100,000)")
    parser.add_argument("--hops", type=int, default=10_000, help="how long the chain is (default: 10,000)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="turnspit-") as folder:
        bench = Bench(options.url or f"sqlite:///{Path(folder)}/jobs.db")
        with bench.app:
            if options.hops:
                bench.small(min(500, options.jobs))
                bench.chain(options.hops)
            bench.fan(options.jobs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
