"""A run as one picture: a panel for each measurement, a bar for each system, the spread as a thin line."""

from dataclasses import dataclass
from html import escape
from typing import Any

from benchmarks.report import rate

__all__ = ["draw"]

_WIDTH, _COLUMNS = 900, 2
_PANEL, _GAP, _LINE, _BAR = 425, 50, 24, 14
_NAMES, _VALUES = 78, 108
_COLOURS = {"turnspit": "#2f6f4f", "huey": "#b0733a", "litequeue": "#7a6ba8", "raw": "#9aa0a6", "asyncio": "#9aa0a6"}
_STYLE = """text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}.note{fill:#59636e;font-size:12px}
.spread{stroke:#1f2328;stroke-width:1.5}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#9198a1}
.spread{stroke:#e6edf3}}"""


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure of one measurement."""

    title: str
    measurement: str
    key: str
    unit: str


_PANELS = (
    Panel("Enqueue, one by one", "one", "jobs_per_second", "jobs/s"),
    Panel("Enqueue, 64 at once", "at_once", "jobs_per_second", "jobs/s"),
    Panel("Enqueue, bulk", "bulk", "jobs_per_second", "jobs/s"),
    Panel("Drain, one worker process", "drain_1", "jobs_per_second", "jobs/s"),
    Panel("Drain, two worker processes", "drain_2", "jobs_per_second", "jobs/s"),
    Panel("Wake-up across processes, p99 (less is better)", "wake_across", "p99", "ms"),
)


def draw(document: dict[str, Any]) -> str:
    """The picture as SVG."""
    medians = document["medians"]
    panels = [panel for panel in _PANELS if medians.get(panel.measurement)]
    tallest = max(len(medians[panel.measurement]) for panel in panels)
    height_of_row = 30 + tallest * _LINE + 14
    rows = -(-len(panels) // _COLUMNS)
    parts = []
    for number, panel in enumerate(panels):
        left = number % _COLUMNS * (_PANEL + _GAP)
        top = 10 + number // _COLUMNS * height_of_row
        parts.append(_draw_panel(panel, medians[panel.measurement], left, top))
    height = 10 + rows * height_of_row + 24
    note = (
        f"medians of {document['repeats']} interleaved repeats, the line from lowest to highest; every commit durable"
    )
    parts.append(f'<text class="note" x="0" y="{height - 8}">{escape(note)}</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="Turnspit beside huey, litequeue and the raw limit">\n<style>{_STYLE}</style>\n{body}\n</svg>\n'
    )


def _draw_panel(panel: Panel, systems: dict[str, dict[str, dict[str, float]]], left: int, top: int) -> str:
    names = [name for name in _COLOURS if name in systems]
    largest = max(systems[name][panel.key]["high"] for name in names)
    scale = (_PANEL - _NAMES - _VALUES) / largest
    parts = [f'<text class="title" x="{left}" y="{top + 14}">{escape(panel.title)}</text>']
    for line, name in enumerate(names):
        spread = systems[name][panel.key]
        y = top + 28 + line * _LINE
        start = left + _NAMES
        low, middle, high = (start + spread[key] * scale for key in ("low", "median", "high"))
        text = rate(spread["median"]) if panel.unit == "jobs/s" else f"{spread['median']:.1f}"
        parts += [
            f'<text x="{start - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{start}" y="{y}" width="{middle - start:.1f}" height="{_BAR}" rx="2" fill="{_COLOURS[name]}"/>',
            f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{y + _BAR / 2}" y2="{y + _BAR / 2}"/>',
            f'<text x="{max(high, middle) + 8:.1f}" y="{y + 12}">{text} {panel.unit}</text>',
        ]
    return "\n".join(parts)
