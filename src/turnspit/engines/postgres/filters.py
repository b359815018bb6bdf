"""A ``JobFilter`` as SQL."""

from typing import Any

from pydantic_core import to_json

from turnspit.engines.postgres.blocks import TAGS, has_nul
from turnspit.engines.verbs.filters import column_terms
from turnspit.jobs import JobFilter

__all__ = ["where"]

_HAS_NUL = r"args::text ~ '(^|[^\\])(\\\\)*\\u0000'"
"""Of arguments that were made of results, or came by SQL: as ``jsonb`` they would fail the whole query."""


def where(filter_: JobFilter, schema: str) -> tuple[str, dict[str, Any]]:
    """The condition and its parameters.

    :param schema: the name of the schema with the tables.
    """
    columns = column_terms(filter_, f"{schema}.unique_keys")
    if columns is None:
        return "false", {}
    terms, params = columns
    if filter_.tag is not None:
        terms.append(f"EXISTS (SELECT FROM json_array_elements_text({TAGS}) AS tag WHERE tag = :f_tag)")
        params["f_tag"] = filter_.tag
    for number, (key, value) in enumerate((filter_.args or {}).items()):
        holds = f"args::jsonb -> :f_key{number}::text = :f_value{number}::jsonb"
        terms.append(f"CASE WHEN {_HAS_NUL} THEN false ELSE {holds} END")
        params[f"f_key{number}"] = key
        params[f"f_value{number}"] = to_json(value).decode()
        if "\0" in key or has_nul(params[f"f_value{number}"]):
            return "false", {}  # jsonb cannot hold a NUL, so none can be compared
    return " AND ".join(terms) or "true", params
