"""``python -m benchmarks.page [RESULT]``: writes the tables of docs/benchmarks.md and its pictures from a kept result.

Without an argument from ``benchmarks/results/quoted.json``, the result that the docs quote; with one, that becomes it.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.chart import pictures
from benchmarks.report import TITLES, aim_cells, store_table
from benchmarks.systems import STORES

__all__ = ["PICTURES", "QUOTED", "render", "rewrite"]

_ROOT = Path(__file__).parent.parent
QUOTED = _ROOT / "benchmarks" / "results" / "quoted.json"
_PAGE = _ROOT / "docs" / "benchmarks.md"
PICTURES = _ROOT / "docs" / "images"
_BEGIN, _END = "<!-- begin: written by python -m benchmarks.page -->", "<!-- end -->"


def render(document: dict[str, Any]) -> str:
    """The generated part of the page."""
    machine = document["machine"]
    conditions = (
        f"Measured on {document['date'][:10]} with `{document['command']}` on {machine['processor']}, "
        f"{machine['cores']} cores, {machine['system']}, {document['filesystem']}, Python {machine['python']}, in "
        f"{document['seconds'] / 60:.0f} minutes. Medians of {document['repeats']} interleaved repeats, in brackets "
        "the lowest and the highest."
    )
    parts = [conditions, ""]
    drawn = pictures(document)
    for store in STORES:
        names, rows = store_table(document, store)
        if not rows:
            continue
        parts += [f"### {TITLES[store]}", ""]
        if store in document["conditions"]:
            parts += [f"{document['conditions'][store]}.", ""]
        if f"benchmarks-{store}.svg" in drawn:
            parts += [f"![Turnspit beside its peers, {TITLES[store]}](images/benchmarks-{store}.svg)", ""]
        parts += [*_table(["", *names], rows), ""]
    aims = [[*row[:3], f"{row[3]}: {row[4]}" if row[4] else row[3]] for row in map(aim_cells, document["aims"])]
    parts += ["### Ratios", "", *_table(["ratio, or figure with an aim", "median", "spread", "aim"], aims), ""]
    parts += ["What was set:", ""]
    parts += [f"- **{key}** {system['version']}: {system['settings']}." for key, system in document["systems"].items()]
    parts += [f"- **{key}** is missing: {reason}" for key, reason in document["missing"].items()]
    parts += [f"- failed: {failure}" for failure in document["failures"]]
    return "\n".join(parts) + "\n"


def _table(headings: list[str], rows: list[list[str]]) -> list[str]:
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def rewrite(page: str, generated: str) -> str:
    """The page with its generated part replaced."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n\n{generated}\n{_END}{after}"


def main() -> None:
    """Write the page and the pictures."""
    if len(sys.argv) > 1:
        shutil.copyfile(sys.argv[1], QUOTED)
    document = json.loads(QUOTED.read_text(encoding="utf-8"))
    _PAGE.write_text(rewrite(_PAGE.read_text(encoding="utf-8"), render(document)), encoding="utf-8")
    PICTURES.mkdir(exist_ok=True)
    for name, picture in pictures(document).items():
        (PICTURES / name).write_text(picture, encoding="utf-8")
        print(f"wrote {PICTURES / name}")
    print(f"wrote {_PAGE}")


if __name__ == "__main__":
    main()
