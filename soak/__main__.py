"""``python -m soak --store sqlite --minutes 30``: a soak from start to report; exit code 1 if a proof fails."""

import argparse
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from soak.fleet import Fleet
from soak.proof import prove
from soak.report import Report
from soak.sentences import SENTENCES
from soak.stores import PostgresStore, SqliteStore, Store
from turnspit import Turnspit

_STORES: dict[str, type[SqliteStore] | type[PostgresStore]] = {"sqlite": SqliteStore, "postgres": PostgresStore}
_LONGEST_DRAIN = 300.0


def read_arguments(given: list[str]) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--store", choices=_STORES, default="sqlite")
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--rate", type=float, default=800, help="jobs enqueued a second, at most")
    parser.add_argument("--every", type=float, default=8, help="seconds from fault to fault, on average")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="where the report goes")
    parser.add_argument("--keep", action="store_true", help="keep the ledger and the processes' output")
    return parser.parse_args(given)


def soak(options: argparse.Namespace, folder: Path, console: Console) -> Report:
    """Run it, prove it."""
    seed = random.randrange(10**9) if options.seed is None else options.seed
    dice = random.Random(seed)
    store: Store = _STORES[options.store](folder)
    ledger = folder / "ledger"
    ledger.mkdir()
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"
    command = f"make soak MINUTES={options.minutes:g} STORE={options.store}"
    report = Report(command, options.store, machine, 0.0)
    try:
        with Turnspit(store.url) as app:
            app.migrate()
        store.prepare()
        fleet = Fleet(store, ledger, workers=options.workers, rate=options.rate, dice=dice)
        report.faults, report.unexpected = fleet.faults, fleet.unexpected
        console.print(f"soak of {options.minutes:g} minutes on {store.url}, seed {seed}, ledger {ledger}")
        fleet.start()
        try:
            _trouble(fleet, report, options, dice, console)
            fleet.stop_producing()
            with Turnspit(store.url) as app:
                app.engine.write(app.engine.pause_schedule, app.name, "ticking")
            _drain(fleet, report)
        finally:
            fleet.stop()
        report.seconds = time.monotonic() - fleet.has_begun
        console.print("comparing the ledger with the store ...")
        report.proof = prove(ledger, store, str(folder / "proof.db"))
    finally:
        store.close()
    return report


def _trouble(fleet: Fleet, report: Report, options: argparse.Namespace, dice: random.Random, console: Console) -> None:
    until = fleet.has_begun + options.minutes * 60
    strike_at = fleet.has_begun + min(10, options.minutes * 6)
    said_at = 0.0
    with Live(console=console, refresh_per_second=2) as live:
        while (now := time.monotonic()) < until:
            fleet.look_after()
            if now >= strike_at:
                strike_at = now + dice.expovariate(1 / options.every)
                fleet.strike()
            _sample(fleet, report)
            if console.is_terminal:
                live.update(_view(fleet, report, until - now))
            elif now - said_at > 15:
                said_at = now
                console.print(_line(fleet, report))
            time.sleep(0.5)


def _sample(fleet: Fleet, report: Report) -> None:
    at = time.monotonic() - fleet.has_begun
    # Too many samples make a picture that nobody can read.
    if report.samples and at - report.samples[-1]["at"] < max(1.0, at / 600):
        return
    rss = {name: round(size, 1) for name, size in fleet.rss().items()}
    report.samples.append({"at": round(at, 1), "ended": fleet.ended(), "rss": rss})


def _line(fleet: Fleet, report: Report) -> str:
    last = report.samples[-1]
    return (
        f"{last['at']:6.0f} s  {last['ended']:>9,} ended  {len(fleet.faults):>4} faults  "
        f"{sum(last['rss'].values()):6.0f} MB  {len(fleet.unexpected)} unexpected"
    )


def _view(fleet: Fleet, report: Report, left: float) -> Table:
    table = Table(title=f"{_line(fleet, report)}   {left:.0f} s to go", title_justify="left", box=None)
    for heading in ("process", "pid", "MB"):
        table.add_column(heading)
    rss: dict[str, Any] = report.samples[-1]["rss"]
    for name, process in list(fleet.processes.items()):
        table.add_row(name, str(process.pid), f"{rss.get(name, 0):.0f}")
    for fault in fleet.faults[-6:]:
        ended = "..." if fault.seconds is None else f"well after {fault.seconds:.1f} s"
        table.add_row(f"[red]{fault.at:.0f} s: {fault.kind}[/red]", "", ended)
    for what in fleet.unexpected[-3:]:
        table.add_row(f"[bold red]{what}[/bold red]")
    return table


def _drain(fleet: Fleet, report: Report) -> None:
    until = time.monotonic() + _LONGEST_DRAIN
    while fleet.store.unfinished():
        fleet.look_after()
        _sample(fleet, report)
        if time.monotonic() > until:
            fleet.unexpected.append(f"not everything had ended after {_LONGEST_DRAIN:g} s without faults")
            return
        time.sleep(0.5)


def main(given: list[str]) -> int:
    """Soak, write the report, say how it went."""
    options, console = read_arguments(given), Console()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    report = soak(options, folder, console)
    assert report.proof is not None
    for name, count in report.proof.figures.items():
        console.print(f"  {count:>10,}  {name}")
    for name, count in report.proof.counts.items():
        colour = "green" if count == 0 else "bold red"
        console.print(f"  [{colour}]{count:>10,}[/{colour}]  violations of: {SENTENCES[name].text}", highlight=False)
        if count:
            console.print(f"              jobs {report.proof.violations[name]}")
    for what in report.unexpected:
        console.print(f"  [bold red]unexpected[/bold red]: {what}")
    console.print(*(str(path) for path in report.write(options.out)))
    if report.holds and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        console.print(f"ledger and output are kept in {folder}")
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
