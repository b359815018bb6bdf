"""The language of the search box.

>>> parse_search('state:dead task:send args.order_id=7 "tag:two words"')
{'state': 'dead', 'task': 'send', 'args': {'order_id': 7}, 'tag': 'two words'}
"""

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from turnspit.clock import utc_now
from turnspit.codec import decode
from turnspit.errors import ConfigurationError, InvalidPayload
from turnspit.jobs import JobFilter
from turnspit.operations import make_filter
from turnspit.states import FILTER_STATES

__all__ = ["KEYS", "make_search", "parse_search", "quote_word", "suggest", "write_search"]

KEYS = {
    "state": "state",
    "queue": "queue",
    "task": "task",
    "tag": "tag",
    "error": "error",
    "group": "fingerprint",
    "id": "id",
    "workflow": "workflow",
    "key": "idempotency_key",
    "since": "created_after",
    "before": "created_before",
}
"""What can be written before a colon, and the field of the filter that it means."""

_WORDS = {field: key for key, field in KEYS.items()}
_TIMES = ("created_after", "created_before")
_AGO = re.compile(r"(\d{1,6})(s|m|h|d|w)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_MOST = 12


def parse_search(text: str) -> dict[str, Any]:
    """The fields of a filter, as ``app.jobs.list`` takes them, and ``id``.

    :raises ConfigurationError: for a word that means nothing.
    """
    fields: dict[str, Any] = {}
    for word in _split(text):
        key, colon, value = word.partition(":")
        if word.isascii() and word.isdecimal():
            fields["id"] = _id(word)
        elif word.startswith("args.") and "=" in word:
            name, _, value = word.removeprefix("args.").partition("=")
            fields.setdefault("args", {})[name] = _value(value)
        elif colon and key in KEYS and value:
            fields[KEYS[key]] = _id(value) if key in ("id", "workflow") else value
        elif word in FILTER_STATES:
            fields["state"] = word
        elif not colon and "=" not in word:
            fields["task"] = word
        else:
            known = ", ".join(f"{each}:" for each in KEYS)
            raise ConfigurationError(f"{word!r} means nothing here: write {known}, args.NAME=VALUE, a task or an id")
    return fields


def make_search(text: str) -> JobFilter:
    """The filter that a search means; ``since:2h`` counts from now.

    :raises ConfigurationError: for a word or a time that means nothing.
    """
    fields = parse_search(text)
    for name in _TIMES:
        if name in fields:
            fields[name] = _moment(fields[name], utc_now())
    return make_filter(fields, fields.pop("id", None))


def write_search(fields: Mapping[str, Any]) -> str:
    """The search that means these fields, as text."""
    words = []
    for name, value in fields.items():
        if value is None:
            continue
        if name == "args":
            words += [quote_word(f"args.{key}={_text(each)}") for key, each in value.items()]
        else:
            text = value.isoformat() if isinstance(value, datetime) else value
            words.append(quote_word(f"{_WORDS[name]}:{text}"))
    return " ".join(words)


def suggest(text: str, tasks: Iterable[str], queues: Iterable[str]) -> list[str]:
    """Completions of the last word, each as the whole text."""
    before, _, word = text.rpartition(" ")
    start = before + " " if before else ""
    key, colon, value = word.partition(":")
    known: dict[str, Iterable[str]] = {"state": FILTER_STATES, "task": tasks, "queue": queues}
    if colon and key in known:
        found = [quote_word(f"{key}:{each}") for each in sorted(known[key]) if value.lower() in each.lower()]
    else:
        words = [*(f"{each}:" for each in KEYS), "args."]
        found = [each for each in words if each.startswith(word)] if word else words
        found += [quote_word(f"task:{each}") for each in sorted(tasks) if word and word.lower() in each.lower()]
    return [start + each for each in found[:_MOST]]


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        raise ConfigurationError("a quotation mark is left open in the search") from None


def _id(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise ConfigurationError(f"{text!r} is no job's id: it is a number")
    return int(text)


def _moment(text: str, now: datetime) -> datetime:
    found = _AGO.fullmatch(text)
    try:
        if found:
            return now - timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=now.tzinfo) if moment.tzinfo is None else moment
    except (ValueError, OverflowError):
        raise ConfigurationError(f"{text!r} is no time: write how long ago (2h, 30m, 1d) or 2030-12-31T09:00") from None


def _value(text: str) -> Any:
    try:
        return decode(text)
    except InvalidPayload:
        return text


def _text(value: Any) -> str:
    return value if isinstance(value, str) and _value(value) == value else json.dumps(value, ensure_ascii=False)


def quote_word(word: object) -> str:
    """A word as it is written in a search.

    >>> quote_word("email"), quote_word("two words"), quote_word(r"C:\\temp")
    ('email', "'two words'", "'C:\\\\temp'")
    """
    text = str(word)
    try:
        is_plain = shlex.split(text) == [text]
    except ValueError:  # it has a quotation mark that would be left open
        is_plain = False
    return text if is_plain else shlex.quote(text)
