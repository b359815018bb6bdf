"""Numbers and times as people read them, each with its unit.

>>> duration(0.0123), duration(75), duration(7300), share(0.254)
('12 ms', '1 min 15 s', '2 h 1 min', '25 %')
"""

import json
from datetime import datetime
from typing import Any

from turnspit.web.models.base import Count

__all__ = ["ago", "as_json", "count", "duration", "moment", "number", "rate", "share", "size"]

NONE = "\N{EN DASH}"
"""Where there is no value."""

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def duration(seconds: float | None) -> str:
    """Milliseconds below a second, else the two largest units."""
    if seconds is None:
        return NONE
    if seconds < 0.0005:
        return "0 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    left, parts = round(seconds), list[str]()
    for size, unit in _UNITS:
        if left >= size and len(parts) < 2:
            parts.append(f"{left // size} {unit}")
        elif parts:
            break
        left %= size
    return " ".join(parts)


def ago(at: datetime | None, now: datetime) -> str:
    """``3 min ago``, ``in 2 h``, ``now``."""
    if at is None:
        return NONE
    seconds = (now - at).total_seconds()
    if abs(seconds) < 1:
        return "now"
    text = _rough(abs(seconds))
    return f"{text} ago" if seconds > 0 else f"in {text}"


def _rough(seconds: float) -> str:
    size, unit = next((each for each in _UNITS if seconds >= each[0]), (1, "s"))
    return f"{seconds / size:.0f} {unit}"


def moment(at: datetime | None) -> str:
    """To the second, in UTC."""
    return NONE if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def count(value: Count) -> str:
    """``1,204``, or ``10,000+`` where there are more than were counted."""
    return f"{value.count:,}{'+' if value.at_least else ''}"


def number(value: int) -> str:
    """With commas between thousands."""
    return f"{value:,}"


def rate(value: float) -> str:
    """How many per minute or second; more digits for small values.

    >>> rate(0.05), rate(1.25), rate(1204.0)
    ('0.05', '1.2', '1,204')
    """
    if 0 < value < 0.1:
        return f"{value:.2g}"
    return f"{value:,.1f}" if 0 < value < 10 else f"{value:,.0f}"


def share(value: float | None) -> str:
    """In percent."""
    if value is None:
        return NONE
    percent = value * 100
    return f"{percent:.1f} %" if 0 < percent < 10 else f"{percent:.0f} %"


def size(count: int) -> str:
    """Bytes as mebibytes."""
    return f"{count / 2**20:,.0f} MiB"


def as_json(value: Any, indent: int | None = 2) -> str:
    """A value as JSON for people, indented."""
    return json.dumps(value, ensure_ascii=False, indent=indent)
