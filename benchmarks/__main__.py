"""``python -m benchmarks``: measure, print, keep."""

import argparse
import dataclasses
import json
import shlex
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.contract import MEASUREMENTS
from benchmarks.figures import aims, medians, ratios
from benchmarks.measurements import FULL, QUICK, Sizes
from benchmarks.places import Place, choose_place, describe_machine
from benchmarks.processes import AgentFailed
from benchmarks.report import print_report
from benchmarks.runs import Chosen, Samples, choose_systems, run
from benchmarks.systems import NAMES

_RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run what the command line asks for; the exit code."""
    options = _parse()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    sizes, repeats = _sizes(options)
    chosen, place = choose_systems(options.only), choose_place(options.store)
    started = datetime.now(UTC)
    _print_conditions(place, console)
    try:
        with tempfile.TemporaryDirectory(dir=place.folder, prefix="turnspit-bench-") as folder:
            samples = _run(chosen, sizes, repeats, Path(folder))
    except AgentFailed as error:
        console.print(f"[red]{error}[/]")
        return 1
    except KeyboardInterrupt:
        console.print("stopped; nothing was kept")
        return 1
    document = _document(chosen, sizes, repeats, place, started, samples)
    print_report(document, console)
    target = options.json or _RESULTS / f"{started:%Y%m%d-%H%M%S}.json"
    target.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    seconds = (datetime.now(UTC) - started).total_seconds()
    console.print(f"{seconds:.0f} s · kept as {target}")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Turnspit beside its peers and the raw limit, on SQLite, every system as durable as the others.",
        epilog=f"systems: {', '.join(NAMES)} · measurements: {', '.join(MEASUREMENTS)}",
    )
    parser.add_argument("--only", nargs="+", default=[], choices=[*NAMES, *MEASUREMENTS], metavar="NAME",
                        help="these systems and measurements alone")  # fmt: skip
    parser.add_argument("--repeats", type=int, help="how often everything is measured (5; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="a few seconds, to see that everything works")
    parser.add_argument("--equal", action="store_true", help="peers drain as many jobs as Turnspit (slow)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where the result is kept")
    parser.add_argument("--store", type=Path, metavar="FOLDER", help="where the stores are made; on a real disk")
    options = parser.parse_args()
    if options.repeats is not None and options.repeats < 1:
        parser.error("--repeats is at least 1")
    return options


def _sizes(options: argparse.Namespace) -> tuple[Sizes, int]:
    sizes = dataclasses.replace(QUICK if options.quick else FULL, equal=options.equal)
    return sizes, options.repeats or (1 if options.quick else 5)


def _print_conditions(place: Place, console: Console) -> None:
    machine = describe_machine()
    console.print(" · ".join(f"{key} {value}" for key, value in machine.items()))
    console.print(f"stores in {place.folder}, on {place.filesystem}")
    if not place.is_durable:
        console.print("[bold red]that is memory: no commit reaches a disk, so the figures mean little; see --store[/]")


def _run(chosen: Chosen, sizes: Sizes, repeats: int, folder: Path) -> Samples:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("starting", total=None)

        def on_step(number: int, steps: int, what: str) -> None:
            progress.update(bar, completed=number, total=steps, description=what)
            if not progress.console.is_terminal:
                progress.console.print(f"{number}/{steps} {what}")

        return run(chosen, sizes, repeats, folder, on_step)


def _document(
    chosen: Chosen, sizes: Sizes, repeats: int, place: Place, started: datetime, samples: Samples
) -> dict[str, Any]:
    return {
        "date": started.isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "machine": describe_machine(),
        "filesystem": place.filesystem,
        "repeats": repeats,
        "sizes": dataclasses.asdict(sizes),
        "systems": {system.name: system.settings() for system in chosen.systems},
        "missing": chosen.missing,
        "medians": medians(samples),
        "ratios": ratios(samples),
        "aims": aims(samples),
        "samples": samples,
    }


if __name__ == "__main__":
    sys.exit(main())
