"""A run as tables for people and as JSON for programs."""

from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.contract import MEASUREMENTS

__all__ = ["COLUMNS", "cell", "lines", "print_report", "rate", "ratio_text", "short"]

_RATES = ("one", "at_once", "bulk", "drain_1", "drain_2", "dispatch")
COLUMNS = ("turnspit", "huey", "litequeue", "raw", "asyncio")


def print_report(document: dict[str, Any], console: Console) -> None:
    """Everything that a run found."""
    for name, system in document["systems"].items():
        sqlite = f" · SQLite {system['sqlite']}" if "sqlite" in system else ""
        console.print(f"[bold]{name}[/] {system['version']}{sqlite} · {system['durability']} · {system['settings']}")
    for name, reason in document["missing"].items():
        console.print(f"[bold red]{name}[/] is missing: {reason}")
    _print_figures(document, console)
    _print_ratios(document, console)


def _print_figures(document: dict[str, Any], console: Console) -> None:
    repeats, medians = document["repeats"], document["medians"]
    title = f"median of {repeats} interleaved repeats (lowest-highest)" if repeats > 1 else "one repeat"
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    names = [name for name in COLUMNS if name in document["systems"]]
    for name in names:
        table.add_column(name, justify="right")
    for measurement, systems in medians.items():
        for label, key in lines(measurement):
            cells = [cell(key, systems[name][key]) if name in systems else "-" for name in names]
            table.add_row(label, *cells)
    console.print(table)


def lines(measurement: str) -> list[tuple[str, str]]:
    """The rows of a measurement: what it is called and which figure it shows."""
    label = MEASUREMENTS[measurement]
    if measurement.startswith("wake"):
        return [(f"{label}, {key}, ms", key) for key in ("p50", "p99", "max")]
    if measurement == "idle":
        return [(f"{label}, CPU, % of a core", "cpu_percent"), (f"{label}, memory, MB", "memory_mb")]
    lines = [(f"{label}, jobs/s", "jobs_per_second")]
    if measurement.startswith(("drain", "bulk")):
        lines.append(("  of so many jobs", "jobs"))
    if measurement.startswith("drain"):
        lines.append(("  CPU of workers, µs a job", "cpu_microseconds_per_job"))
        lines.append(("  peak memory of each, MB", "peak_memory_mb"))
    return lines


def cell(key: str, spread: dict[str, float]) -> str:
    """A figure with its spread."""
    is_rate = key in ("jobs_per_second", "jobs")
    show, show_spread = (rate, _thousands) if is_rate else (short, short)
    median, low, high = show(spread["median"]), show_spread(spread["low"]), show_spread(spread["high"])
    return median if low == high else f"{median} ({low}-{high})"


def _thousands(value: float) -> str:
    return f"{value / 1000:.3g}k" if value >= 1000 else f"{value:.0f}"


def rate(value: float) -> str:
    """Jobs a second, three figures."""
    return f"{value:,.0f}" if value < 1000 else f"{float(f'{value:.3g}'):,.0f}"


def short(value: float) -> str:
    """Two or three figures."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio_text(value: float, *, percent: bool) -> str:
    """A ratio as people say it."""
    return f"{value:.0%}" if percent else f"{value:.2f}x" if value < 10 else f"{value:.0f}x"


def _print_ratios(document: dict[str, Any], console: Console) -> None:
    table = Table(title="ratios, from pairs of the same repeat, and aims (nothing fails on them)", title_justify="left")
    for heading in ("", "median", "spread", "aim", ""):
        table.add_column(heading, justify="left" if not heading else "right")
    for each in document["ratios"]:
        percent = each["percent"]
        median, low, high = (ratio_text(each[key], percent=percent) for key in ("median", "low", "high"))
        aim = "" if each["aim"] is None else f"at least {ratio_text(each['aim'], percent=percent)}"
        table.add_row(each["name"], median, f"{low}-{high}", aim, _met(each["met"]))
    for each in document["aims"]:
        median, low, high = (f"{short(each[key])}" for key in ("median", "low", "high"))
        unit = each["unit"]
        table.add_row(
            each["name"],
            f"{median} {unit}",
            f"{low}-{high}",
            f"under {each['under']:g} {unit}",
            _met(each["met"]),
        )
    if table.row_count:
        console.print(table)


def _met(met: bool | None) -> str:
    return "" if met is None else "✔" if met else "✘"
