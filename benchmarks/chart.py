"""A run as pictures, one a kind of store: a panel a figure, a bar a system, the spread as a thin line."""

from html import escape
from typing import Any

from benchmarks.report import TITLES, short
from benchmarks.rows import ROWS, Row
from benchmarks.systems import STORES, SYSTEMS

__all__ = ["draw", "pictures"]

_WIDTH, _COLUMNS = 900, 2
_PANEL, _GAP, _LINE, _BAR = 425, 50, 24, 14
_NAMES, _VALUES = 108, 108
_OWN, _LIMIT, _PEERS = "#2f6f4f", "#9aa0a6", ("#b0733a", "#7a6ba8")
_STYLE = """text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}.note{fill:#59636e;font-size:12px}
.spread{stroke:#1f2328;stroke-width:1.5}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#9198a1}
.spread{stroke:#e6edf3}}"""
_SHOWN = (
    ("enqueue", "one"),
    ("enqueue", "at_once"),
    ("enqueue", "bulk"),
    ("drain_1", "jobs_per_second"),
    ("drain_2", "jobs_per_second"),
    ("latency", "idle_p50"),
    ("latency", "idle_p99"),
    ("latency", "half_p99"),
)


def pictures(document: dict[str, Any]) -> dict[str, str]:
    """A file name and an SVG for each kind of store on which systems were drained."""
    drained = document["medians"].get("drain_1", {})
    stores = [store for store in STORES if any(key.startswith(f"{store}/") for key in drained)]
    return {f"benchmarks-{store}.svg": draw(document, store) for store in stores}


def draw(document: dict[str, Any], store: str) -> str:
    """The picture of one kind of store as SVG."""
    panels = []
    for row in (row for row in ROWS if (row.measurement, row.figure) in _SHOWN):
        measured = document["medians"].get(row.measurement, {})
        bars = {
            system.name: measured[system.key][row.figure]
            for system in SYSTEMS
            if system.store == store and row.figure in measured.get(system.key, {})
        }
        if bars:
            panels.append((row, bars))
    height_of_row = 30 + max(len(bars) for _, bars in panels) * _LINE + 14
    parts = [
        _draw_panel(row, bars, number % _COLUMNS * (_PANEL + _GAP), 10 + number // _COLUMNS * height_of_row)
        for number, (row, bars) in enumerate(panels)
    ]
    height = 10 + -(-len(panels) // _COLUMNS) * height_of_row + 24
    note = f"{TITLES[store]}: medians of {document['repeats']} interleaved repeats, the line from lowest to highest"
    parts.append(f'<text class="note" x="0" y="{height - 8}">{escape(note)}</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="Turnspit beside its peers and the raw limit on {escape(TITLES[store])}">\n'
        f"<style>{_STYLE}</style>\n{body}\n</svg>\n"
    )


def _draw_panel(row: Row, bars: dict[str, dict[str, float]], left: int, top: int) -> str:
    scale = (_PANEL - _NAMES - _VALUES) / max(spread["high"] for spread in bars.values())
    title = f"{row.label}{'' if row.is_rate else ' (less is better)'}"
    parts = [f'<text class="title" x="{left}" y="{top + 14}">{escape(title[0].upper() + title[1:])}</text>']
    for line, (name, spread) in enumerate(bars.items()):
        y = top + 28 + line * _LINE
        start = left + _NAMES
        low, middle, high = (start + spread[key] * scale for key in ("low", "median", "high"))
        colour = _colour(name, line)
        parts += [
            f'<text x="{start - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{start}" y="{y}" width="{middle - start:.1f}" height="{_BAR}" rx="2" fill="{colour}"/>',
            f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{y + _BAR / 2}" y2="{y + _BAR / 2}"/>',
            f'<text x="{max(high, middle) + 8:.1f}" y="{y + 12}">{short(spread["median"])} {row.unit}</text>',
        ]
    return "\n".join(parts)


def _colour(name: str, line: int) -> str:
    if name == "turnspit":
        return _OWN
    return _LIMIT if name.startswith("raw") else _PEERS[line % len(_PEERS)]
