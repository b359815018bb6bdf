"""What a person types, as values.

>>> parse_duration("1h30m")
datetime.timedelta(seconds=5400)
>>> parse_pairs(["order_id=7", "to=ada@example.com"])
{'order_id': 7, 'to': 'ada@example.com'}
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from turnspit.cli.errors import WrongUsage
from turnspit.clock import LONGEST

__all__ = [
    "check_word",
    "parse_duration",
    "parse_moment",
    "parse_names",
    "parse_object",
    "parse_pairs",
    "parse_size",
    "split_pair",
]

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w))+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_SIZES: dict[str, int] = {"": 1, "B": 1} | {
    f"{letter}{unit}": base**power
    for power, letter in enumerate("KMGT", 1)
    for unit, base in (("B", 1000), ("IB", 1024), ("", 1024))
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?((?:[KMGT]i?)?B?)", re.ASCII | re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


def check_word(word: str, words: Sequence[str], option: str) -> None:
    """See that an option's value is one of its words.

    :raises WrongUsage: if it is not.
    """
    if word not in words:
        raise WrongUsage(f"{option} is one of {', '.join(words)}, not {word!r}")


def parse_duration(text: str, option: str = "a duration") -> timedelta:
    """Seconds, or numbers with units: ``90``, ``1.5``, ``500ms``, ``5m``, ``1h30m``, ``2d``, ``1w``."""
    typed = text.strip()
    if _NUMBER.fullmatch(typed):
        seconds = float(typed)
    elif _DURATION.fullmatch(typed):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(typed))
    else:
        raise WrongUsage(f"{option} is seconds or a number with a unit (90, 500ms, 5m, 1h30m, 2d), not {text!r}")
    if seconds > LONGEST.total_seconds():
        raise WrongUsage(f"{option} is at most 100 years, not {text!r}")
    return timedelta(seconds=seconds)


def parse_size(text: str, option: str) -> int:
    """Bytes, or a number with a unit: ``512MB`` (a million bytes each), ``1.5GiB``, ``200M`` (as ``MiB``)."""
    found = _SIZE.fullmatch(text.strip())
    size = 0.0 if found is None else float(found[1]) * _SIZES[found[2].upper()]
    if not 0.5 < size < math.inf:
        raise WrongUsage(f"{option} is bytes or a number with a unit (512MB, 1.5GiB), not {text!r}")
    return round(size)


def parse_moment(text: str, what: str) -> datetime:
    """An ISO 8601 date and time; without a zone it is this machine's local time.

    :param what: how the error message begins, as in ``--at is``.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.astimezone() if moment.tzinfo is None else moment
    except (ValueError, OverflowError):
        raise WrongUsage(
            f"{what} a date and time, as in 2030-12-31T09:00 (local) or 2030-12-31T09:00+01:00, not {text!r}"
        ) from None


def split_pair(pair: str, option: str) -> tuple[str, str]:
    """``key=value`` as key and value."""
    key, separator, value = pair.partition("=")
    if not separator or not key:
        raise WrongUsage(f"{option} is key=value, as in order_id=7, not {pair!r}")
    return key, value


def parse_pairs(pairs: Iterable[str], option: str = "an argument") -> dict[str, Any]:
    """``key=value`` pairs as a dict; a value that is JSON is that value, any other one is text."""
    return {key: _value(text) for key, text in (split_pair(pair, option) for pair in pairs)}


def parse_object(text: str, option: str) -> dict[str, Any]:
    """A JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WrongUsage(f"{option} is a JSON object, and this is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise WrongUsage(f'{option} is a JSON object, as in {{"order_id": 7}}, not {text[:60]!r}')
    return value


def parse_names(text: str | None, option: str) -> list[str] | None:
    """``a,b`` as a list; ``None`` stays ``None``."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise WrongUsage(f"{option} is one or more names with commas between them, as in email,reports, not {text!r}")
    return names


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
