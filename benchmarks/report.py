"""A run as tables: the same rows and cells for the terminal and for the page."""

from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.rows import ROWS, Row
from benchmarks.systems import STORES, SYSTEMS

__all__ = ["TITLES", "aim_cells", "print_report", "short", "store_table"]

TITLES = {"postgres": "PostgreSQL", "sqlite": "SQLite", "redis": "Redis, for orientation", "none": "No store"}
_ORDER = {system.key: place for place, system in enumerate(SYSTEMS)}


def print_report(document: dict[str, Any], console: Console) -> None:
    """Everything that a run found."""
    for key, system in document["systems"].items():
        console.print(f"[bold]{key}[/] {system['version']} · {system['settings']}")
    for key, reason in document["missing"].items():
        console.print(f"[bold red]{key}[/] is missing: {reason}")
    for failure in document["failures"]:
        console.print(f"[bold red]failed:[/] {failure}")
    for store in STORES:
        names, rows = store_table(document, store)
        if rows:
            _print(f"{TITLES[store]} · {document['conditions'].get(store, '')}", ["", *names], rows, console)
    rows = [aim_cells(aim) for aim in document["aims"]]
    if rows:
        title = "ratios from pairs of the same repeat, and aims (nothing fails on them)"
        _print(title, ["", "median", "spread", "aim", ""], rows, console)


def _print(title: str, headings: list[str], rows: list[list[str]], console: Console) -> None:
    table = Table(title=title, title_justify="left")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", no_wrap=not place)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def store_table(document: dict[str, Any], store: str) -> tuple[list[str], list[list[str]]]:
    """The names of the systems on this kind of store, and a row of cells a figure."""
    medians = document["medians"]
    measured = {key for systems in medians.values() for key in systems if key.startswith(f"{store}/")}
    keys = sorted(measured, key=lambda key: _ORDER.get(key, len(_ORDER)))
    rows = []
    for row in ROWS:
        spreads = [medians.get(row.measurement, {}).get(key, {}).get(row.figure) for key in keys]
        if any(spreads):
            label = f"{row.label}, {row.unit}" if row.unit else row.label
            rows.append([label, *(_cell(row, spread, document["repeats"]) for spread in spreads)])
    return [key.partition("/")[2] for key in keys], rows


def _cell(row: Row, spread: dict[str, float] | None, repeats: int) -> str:
    if spread is None:
        return "-"
    median, low, high = spread["median"], spread["low"], spread["high"]
    if spread["repeats"] == 1:
        return short(median) + ("" if repeats == 1 else " (once)")
    return short(median) if low == high else f"{short(median)} ({_thousands(low)}-{_thousands(high)})"


def _thousands(value: float) -> str:
    return f"{value / 1000:.3g}k" if value >= 1000 else short(value)


def short(value: float) -> str:
    """Two or three figures."""
    if value >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def aim_cells(aim: dict[str, Any]) -> list[str]:
    """The row of an aim: name, median, spread, what is hoped for, whether it is met."""
    median, low, high = (_with_unit(aim[key], aim["unit"]) for key in ("median", "low", "high"))
    hope = ""
    if aim["least"] is not None:
        hope = f"at least {_with_unit(aim['least'], aim['unit'])}"
    elif aim["most"] is not None:
        hope = f"at most {_with_unit(aim['most'], aim['unit'])}"
    met = {None: "", True: "met", False: "missed"}[aim["met"]]
    return [f"{TITLES[aim['store']]}: {aim['name']}", median, f"{low}-{high}", hope, met]


def _with_unit(value: float, unit: str) -> str:
    if unit == "%":
        return f"{value:.0%}"
    return f"{short(value)}x" if unit == "x" else f"{short(value)} {unit}".replace("%core", "%").strip()
