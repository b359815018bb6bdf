"""``python -m benchmarks``: measure, print, keep."""

import argparse
import dataclasses
import json
import shlex
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.figures import aims, medians
from benchmarks.measurements import Sizes
from benchmarks.places import Place, choose_place, describe_machine
from benchmarks.report import print_report
from benchmarks.rows import MEASUREMENTS
from benchmarks.runs import Run
from benchmarks.systems import STORES, SYSTEMS, choose

_RESULTS = Path(__file__).parent / "results"
_QUICK = Sizes(one=100, at_once=500, bulk=2000, drain=2000, idle_jobs=20, half_seconds=0.2, idle=0.5, dispatch=5000,
               history=20_000, scheduled=2000, dead=1000, foreign=5000, held=5000, limited=5000, long=5000,
               follow_up=False)  # fmt: skip
_MINUTES = Sizes(one=1000, at_once=3200, idle_jobs=150, half_seconds=1.0, idle=8.0)
_FULL = Sizes(drain=200_000, idle_jobs=500, half_seconds=3.0, history=10_000_000, scheduled=1_000_000, dead=100_000,
              foreign=1_000_000, held=1_000_000, long=1_000_000)  # fmt: skip


def main() -> int:
    """Run what the command line asks for; the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside: stop the servers all the same
    options = _parse()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    place, started = choose_place(options.store), datetime.now(UTC)
    tempfile.tempdir = str(place.folder)  # where a private server puts its data, too
    target = options.json or _RESULTS / f"{started:%Y%m%d-%H%M%S}.json"
    _print_conditions(place, console)

    def say(what: str) -> None:
        console.print(f"{(datetime.now(UTC) - started).total_seconds():6.0f} s  {what}", markup=False)

    with tempfile.TemporaryDirectory(prefix="turnspit-bench-") as folder:
        run = _run(options, Path(folder))

        def keep() -> None:
            document = _document(run, place, started)
            target.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

        try:
            run.prepare(say)
            run.measure(say, keep)
        except KeyboardInterrupt:
            console.print(f"stopped; go on with --resume {target}")
            return 1
        finally:
            run.close()
    keep()
    print_report(_document(run, place, started), console)
    say(f"kept as {target}")
    return 1 if run.failures else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Turnspit beside its peers and the raw limits, every system on one store as durable as the others.",
        epilog=f"stores: {', '.join(STORES)} · systems: {', '.join(system.key for system in SYSTEMS)} · "
        f"measurements: {', '.join(MEASUREMENTS)}",
    )
    names = {*STORES, *MEASUREMENTS, *(name for system in SYSTEMS for name in (system.key, system.name))}
    parser.add_argument("--only", nargs="+", default=[], choices=names, metavar="NAME",
                        help="these stores, systems and measurements alone")  # fmt: skip
    parser.add_argument(
        "--repeats", type=int, help="how often everything is measured (3; 5 with --full; 1 with --quick)"
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a minute, to see that everything works")
    size.add_argument("--full", action="store_true", help="every system in every repeat, larger sizes")
    parser.add_argument("--equal", action="store_true", help="slow peers drain as many jobs as Turnspit (very slow)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where the result is kept, also after every step")
    parser.add_argument("--resume", type=Path, metavar="PATH", help="go on with a run that was kept there")
    parser.add_argument("--store", type=Path, metavar="FOLDER", help="where the stores are made; on a real disk")
    options = parser.parse_args()
    if options.repeats is not None and options.repeats < 1:
        parser.error("--repeats is at least 1")
    options.json = options.json or options.resume
    return options


def _run(options: argparse.Namespace, folder: Path) -> Run:
    sizes = _QUICK if options.quick else _FULL if options.full else _MINUTES
    run = Run(
        systems=choose(options.only),
        measurements=[name for name in MEASUREMENTS if name in options.only] or list(MEASUREMENTS),
        sizes=dataclasses.replace(sizes, equal=options.equal),
        repeats=options.repeats or (1 if options.quick else 5 if options.full else 3),
        folder=folder,
        is_full=options.full,
    )
    if options.resume:
        run.samples = json.loads(options.resume.read_text(encoding="utf-8"))["samples"]
    return run


def _print_conditions(place: Place, console: Console) -> None:
    machine = describe_machine()
    console.print(" · ".join(f"{key} {value}" for key, value in machine.items()))
    console.print(f"stores in {place.folder}, on {place.filesystem}")
    if not place.is_durable:
        console.print("[bold red]that is memory: no commit reaches a disk, so the figures mean little; see --store[/]")


def _document(run: Run, place: Place, started: datetime) -> dict[str, Any]:
    return {
        "date": started.isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "seconds": round((datetime.now(UTC) - started).total_seconds()),
        "machine": describe_machine(),
        "filesystem": place.filesystem,
        "sizes": dataclasses.asdict(run.sizes),
        **run.document(),
        "medians": medians(run.samples),
        "aims": aims(run.samples),
    }


if __name__ == "__main__":
    sys.exit(main())
