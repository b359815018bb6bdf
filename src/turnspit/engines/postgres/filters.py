"""A ``JobFilter`` as SQL."""

from typing import Any

from pydantic_core import to_json

from turnspit.clock import to_moment
from turnspit.engines.postgres.blocks import has_nul
from turnspit.engines.verbs.filters import EQUAL_COLUMNS, LARGEST, state_terms
from turnspit.jobs import JobFilter

__all__ = ["where"]


def where(filter_: JobFilter) -> tuple[str, dict[str, Any]]:
    """The condition and its parameters."""
    terms, params = ["true"], {}
    for field, column in EQUAL_COLUMNS.items():
        value = getattr(filter_, field)
        if isinstance(value, int) and abs(value) > LARGEST:
            return "false", {}
        if value is not None:
            terms.append(f"{column} = :f_{field}")
            params[f"f_{field}"] = value
    terms += state_terms(filter_)
    if filter_.tag is not None:
        terms.append("EXISTS (SELECT FROM json_array_elements_text(tags) AS tag WHERE tag = :f_tag)")
        params["f_tag"] = filter_.tag
    if filter_.created_after is not None:
        terms.append("created_at >= :f_after")
        params["f_after"] = to_moment(filter_.created_after, "created_after")
    if filter_.created_before is not None:
        terms.append("created_at < :f_before")
        params["f_before"] = to_moment(filter_.created_before, "created_before")
    for number, (key, value) in enumerate((filter_.args or {}).items()):
        terms.append(f"args::jsonb -> :f_key{number}::text = :f_value{number}::jsonb")
        params[f"f_key{number}"] = key
        params[f"f_value{number}"] = to_json(value).decode()
        if "\0" in key or has_nul(params[f"f_value{number}"]):
            return "false", {}  # jsonb has no place for it, so no job has it
    return " AND ".join(terms), params
