"""``python -m benchmarks.page [RESULT]``: writes the table of docs/benchmarks.md and its picture from a kept result.

Without an argument from ``benchmarks/results/sqlite.json``, the result that the docs quote.
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.chart import draw
from benchmarks.report import COLUMNS, cell, lines, ratio_text, short

__all__ = ["QUOTED", "render", "rewrite"]

_ROOT = Path(__file__).parent.parent
QUOTED = _ROOT / "benchmarks" / "results" / "sqlite.json"
_PAGE = _ROOT / "docs" / "benchmarks.md"
_PICTURE = _ROOT / "docs" / "images" / "benchmarks.svg"
_BEGIN, _END = "<!-- begin: written by python -m benchmarks.page -->", "<!-- end -->"


def render(document: dict[str, Any]) -> str:
    """The generated part of the page."""
    machine = document["machine"]
    conditions = (
        f"Measured on {document['date'][:10]} with `{document['command']}` on {machine['processor']}, "
        f"{machine['cores']} cores, {machine['system']}, {document['filesystem']}, Python {machine['python']}, "
        f"SQLite {machine['sqlite']}. Medians of {document['repeats']} interleaved repeats, in brackets the lowest and "
        "the highest."
    )
    parts = [
        conditions,
        "",
        *_table(document),
        "",
        *_ratios(document),
        "",
        "What was set:",
        "",
    ]
    for name, system in document["systems"].items():
        parts.append(f"- **{name}** {system['version']}: {system['durability']}; {system['settings']}.")
    parts += [f"- **{name}** is missing: {reason}" for name, reason in document["missing"].items()]
    return "\n".join(parts) + "\n"


def _table(document: dict[str, Any]) -> list[str]:
    names = [name for name in COLUMNS if name in document["systems"]]
    rows = ["| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for measurement, systems in document["medians"].items():
        for label, key in lines(measurement):
            cells = [cell(key, systems[name][key]) if name in systems else "-" for name in names]
            rows.append(f"| {label.strip()} | " + " | ".join(cells) + " |")
    return rows


def _ratios(document: dict[str, Any]) -> list[str]:
    rows = ["| ratio, or figure with an aim | median | spread | aim |", "|---|---:|---:|---:|"]
    for each in document["ratios"]:
        median, low, high = (ratio_text(each[key], percent=each["percent"]) for key in ("median", "low", "high"))
        aim = "" if each["aim"] is None else f"at least {ratio_text(each['aim'], percent=each['percent'])}"
        rows.append(f"| {each['name']} | {median} | {low}-{high} | {_with_mark(aim, each['met'])} |")
    for each in document["aims"]:
        median, low, high = (short(each[key]) for key in ("median", "low", "high"))
        aim = f"under {each['under']:g} {each['unit']}"
        rows.append(f"| {each['name']} | {median} {each['unit']} | {low}-{high} | {_with_mark(aim, each['met'])} |")
    return rows


def _with_mark(aim: str, met: bool | None) -> str:
    return aim if met is None else f"{aim}: {'met' if met else 'missed'}"


def rewrite(page: str, generated: str) -> str:
    """The page with its generated part replaced."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n\n{generated}\n{_END}{after}"


def main() -> None:
    """Write the page and the picture."""
    result = Path(sys.argv[1]) if len(sys.argv) > 1 else QUOTED
    document = json.loads(result.read_text(encoding="utf-8"))
    _PAGE.write_text(rewrite(_PAGE.read_text(encoding="utf-8"), render(document)), encoding="utf-8")
    _PICTURE.parent.mkdir(exist_ok=True)
    _PICTURE.write_text(draw(document), encoding="utf-8")
    print(f"wrote {_PAGE} and {_PICTURE}")


if __name__ == "__main__":
    main()
