"""A ``JobFilter`` as SQL."""

import math
from typing import Any

from pydantic_core import from_json, to_json

from turnspit.engines.verbs.filters import LARGEST, column_terms
from turnspit.jobs import JobFilter

__all__ = ["where"]

_ARGS = "json_each(CASE WHEN json_valid(args) THEN args END) AS arg"
_TAGS = "json_each(CASE WHEN json_valid(tags) THEN tags END)"
"""A foreign writer's arguments and tags may be no JSON: they match nothing."""

_PARTS = "SELECT fullkey, CASE type WHEN 'integer' THEN 'real' ELSE type END, atom FROM json_tree({})"
"""Every part of an array or object, to be compared as a set: neither the order of keys counts, nor how 1 is written."""


def where(filter_: JobFilter) -> tuple[str, dict[str, Any]]:
    """The condition and its parameters."""
    columns = column_terms(filter_, "turnspit_unique_keys")
    if columns is None:
        return "0", {}
    terms, params = columns
    if filter_.tag is not None:
        terms.append(f"EXISTS (SELECT 1 FROM {_TAGS} WHERE value = :f_tag)")  # noqa: S608 (our own words)
        params["f_tag"] = filter_.tag
    for number, (key, value) in enumerate((filter_.args or {}).items()):
        name = f"f_value{number}"
        condition, compared = _equals(from_json(to_json(value)), name)
        match = f"arg.key = :f_key{number} AND {condition}"
        terms.append(f"EXISTS (SELECT 1 FROM {_ARGS} WHERE {match})")  # noqa: S608 (our own words and a number)
        params[f"f_key{number}"] = key
        params[name] = compared
    return " AND ".join(terms) or "1", params


def _equals(value: Any, name: str) -> tuple[str, Any]:
    """The condition that an argument equals a value, as JSON has it, and the parameter ``name`` of it.

    ``json_each`` gives ``true`` as 1, and an array as its text, so the types are compared too.
    """
    if value is None or isinstance(value, bool):
        return f"arg.type = :{name}", to_json(value).decode()
    if isinstance(value, int) and abs(value) > LARGEST:
        value = _as_real(value)
    if isinstance(value, (int, float)):
        return f"arg.type IN ('integer', 'real') AND arg.value = :{name}", value
    if isinstance(value, str):
        return f"arg.type = 'text' AND arg.value = :{name}", value
    stored, wanted = _PARTS.format("arg.value"), _PARTS.format(f":{name}")
    both = f"NOT EXISTS ({stored} EXCEPT {wanted}) AND NOT EXISTS ({wanted} EXCEPT {stored})"
    return f"arg.type = '{'array' if isinstance(value, list) else 'object'}' AND {both}", to_json(value).decode()


def _as_real(value: int) -> float:
    """A large number as SQLite reads it in JSON: one that no float holds is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
