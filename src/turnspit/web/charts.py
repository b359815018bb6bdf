"""Small charts as SVG, drawn on the server, so that they need no script and are there when the page is.

Colours come from the stylesheet by class; every chart has a title that says in words what it shows.
"""

from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

from turnspit.web.models import Bar, Latency, Series
from turnspit.web.wording import duration

__all__ = ["bars", "histogram", "lines", "sparkline"]


def sparkline(series: Series, width: int = 120, height: int = 24) -> Markup:
    """Completed attempts upwards, failed ones in red on top: one bar a slot."""
    top = max((sum(pair) for pair in zip(series.completed, series.failed, strict=True)), default=0)
    shapes = _stacks(series, width, height, top or 1)
    total, failed = sum(series.completed), sum(series.failed)
    span = len(series.completed) * series.step
    title = f"{total:,} completed and {failed:,} failed in {span} minutes"
    return _svg("spark", width, height, title, shapes or [_line(0, height - 0.5, width, height - 0.5, "axis")])


def bars(series: Series) -> Markup:
    """The same, large, with a scale and times below. Two drawings, for wide and narrow screens: CSS hides one."""
    return _bars(series, "wide", 1100, 170) + _bars(series, "narrow", 480, 190)


def _bars(series: Series, kind: str, width: int, height: int) -> Markup:
    left, bottom = 44, 20
    top = max((sum(pair) for pair in zip(series.completed, series.failed, strict=True)), default=0)
    scale = _round_up(top)
    shapes = [*_grid(left, width, height - bottom, scale, lambda value: f"{value:,.0f}")]
    shapes += _stacks(series, width - left, height - bottom, scale, left)
    shapes += _times(len(series.completed) * series.step, left, width, height)
    slot = "minute" if series.step == 1 else f"{series.step} minutes"
    title = f"Attempts that ended per {slot}: {sum(series.completed):,} completed, {sum(series.failed):,} failed"
    return _svg(f"chart {kind}", width, height, title, shapes)


def lines(slots: Sequence[Latency], minutes: int, what: str) -> Markup:
    """The median, 95th and 99th percentile of each slot."""
    width, height, left, bottom = 540, 150, 78, 20
    scale = _round_up(max((slot.p99 or 0 for slot in slots), default=0))
    shapes = [*_grid(left, width, height - bottom, scale, duration)]
    step = (width - left) / max(1, len(slots))
    for name in ("p99", "p95", "p50"):
        points: list[list[str]] = [[]]
        for place, slot in enumerate(slots):
            value = getattr(slot, name)
            if value is None:
                points.append([])
            else:
                x, y = left + (place + 0.5) * step, (height - bottom) * (1 - value / scale)
                points[-1].append(f"{x:.1f},{y:.1f}")
        for run in points:
            if len(run) == 1:
                cx, _, cy = run[0].partition(",")
                shapes.append(f'<circle class="{name}" cx="{cx}" cy="{cy}" r="2"/>')
            elif run:
                shapes.append(f'<polyline class="{name}" points="{" ".join(run)}"/>')
    shapes += _times(minutes, left, width, height)
    return _svg("chart", width, height, f"{what}: median, 95th and 99th percentile over time", shapes)


def histogram(counts: Sequence[Bar], what: str, width: int = 540, height: int = 120) -> Markup:
    """How many jobs lie below each bound."""
    if not counts:
        return Markup('<p class="none">No job completed in this time.</p>')
    bottom, top = 32, max(each.count for each in counts)
    step = width / len(counts)
    shapes = []
    for place, each in enumerate(counts):
        bound, count = each.at_most, each.count
        tall = (height - bottom - 14) * count / top
        x, y = place * step + 1, height - bottom - tall
        if count:
            shapes.append(_rect(x, y, step - 2, tall, "done"))
            shapes.append(_text(x + step / 2 - 1, y - 3, f"{count:,}", "middle"))
        label = f"≤ {duration(bound)}".replace(" ms", "ms").replace(" s", "s").replace(" min", "m").replace(" h", "h")
        is_last = 0 < place == len(counts) - 1  # its label may be wider than the bar, and must not leave the picture
        below = height - bottom + (12 if place % 2 == 0 else 24)
        shapes.append(_text(width, below, label, "end") if is_last else _text(x + step / 2 - 1, below, label, "middle"))
    return _svg("chart", width, height, f"{what} of a sample of {sum(each.count for each in counts):,} jobs", shapes)


def _stacks(series: Series, width: float, height: float, top: float, left: float = 0) -> list[str]:
    step = width / max(1, len(series.completed))
    shapes = []
    for place, (completed, failed) in enumerate(zip(series.completed, series.failed, strict=True)):
        x, wide = left + place * step, max(0.8, step - 0.6)
        tall = height * completed / top
        if completed:
            shapes.append(_rect(x, height - max(tall, 1), wide, max(tall, 1), "done"))
        if failed:
            high = max(height * failed / top, 1.5)
            shapes.append(_rect(x, max(0, height - tall - high), wide, high, "failed"))
    return shapes


def _grid(left: float, width: float, height: float, scale: float, write: Callable[[float], str]) -> list[str]:
    shapes = []
    for part in (0, 0.5, 1):
        y = height * (1 - part)
        shapes.append(_line(left, max(0.5, y - 0.5), width, max(0.5, y - 0.5), "axis"))
        if part:
            shapes.append(_text(left - 6, max(13, y + 4), write(scale * part), "end"))
    return shapes


def _times(minutes: int, left: float, width: float, height: float) -> list[str]:
    labels = []
    for part, anchor in ((0, "start"), (0.5, "middle"), (1, "end")):
        back = minutes * (1 - part)
        text = "now" if part == 1 else f"-{duration(back * 60)}"
        labels.append(_text(left + (width - left) * part, height - 5, text, anchor))
    return labels


def _round_up(value: float) -> float:
    """The next round number: it and its half are easy to read as labels of a scale."""
    if value <= 0:
        return 1
    size = 10.0 ** (len(f"{value:.0f}") - 1) if value >= 1 else 10.0 ** -len(f"{1 / value:.0f}")
    return next(size * factor for factor in (1, 2, 4, 6, 8, 10, 20, 40, 60, 80, 100) if size * factor >= value)


def _svg(kind: str, width: int, height: int, title: str, shapes: Sequence[str]) -> Markup:
    return Markup(  # noqa: S704  (of numbers, our own words, and escaped text)
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>{"".join(shapes)}</svg>'
    )


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
