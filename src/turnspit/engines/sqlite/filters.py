"""A ``JobFilter`` as SQL."""

from typing import Any

from pydantic_core import from_json, to_json

from turnspit.clock import to_moment
from turnspit.engines.verbs.filters import EQUAL_COLUMNS, LARGEST, state_terms
from turnspit.jobs import JobFilter

__all__ = ["where"]

_ARGS = "json_each(CASE WHEN json_valid(args) THEN args END)"
"""A foreign writer's arguments may be no JSON: they match nothing."""


def where(filter_: JobFilter) -> tuple[str, dict[str, Any]]:
    """The condition and its parameters."""
    terms, params = ["1"], {}
    for field, column in EQUAL_COLUMNS.items():
        value = getattr(filter_, field)
        if isinstance(value, int) and abs(value) > LARGEST:
            return "0", {}
        if value is not None:
            terms.append(f"{column} = :f_{field}")
            params[f"f_{field}"] = value
    terms += state_terms(filter_)
    if filter_.tag is not None:
        terms.append("EXISTS (SELECT 1 FROM json_each(tags) WHERE value = :f_tag)")
        params["f_tag"] = filter_.tag
    if filter_.created_after is not None:
        terms.append("created_at >= :f_after")
        params["f_after"] = to_moment(filter_.created_after, "created_after")
    if filter_.created_before is not None:
        terms.append("created_at < :f_before")
        params["f_before"] = to_moment(filter_.created_before, "created_before")
    for number, (key, value) in enumerate((filter_.args or {}).items()):
        match = f"key = :f_key{number} AND value IS :f_value{number}"
        terms.append(f"EXISTS (SELECT 1 FROM {_ARGS} WHERE {match})")  # noqa: S608 (our own words and a number)
        params[f"f_key{number}"] = key
        params[f"f_value{number}"] = _comparable(value)
    return " AND ".join(terms), params


def _comparable(value: Any) -> Any:
    """The value as ``json_each`` shows it: objects and arrays as minified text."""
    plain = from_json(to_json(value))
    if isinstance(plain, int) and abs(plain) > LARGEST:
        return float(plain)
    return to_json(plain).decode() if isinstance(plain, (dict, list)) else plain
