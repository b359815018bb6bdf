"""The statements of this engine, and how each driver wants their parameters written."""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from turnspit.engines.sqlfile import load_blocks

__all__ = ["TAGS", "clean", "has_nul", "load", "to_numbered", "to_pyformat"]

# A scalar subquery is evaluated once for a statement, and an index can be searched for its value.
_NOW = "(SELECT coalesce(:now::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint))"
# Given an array, the planner looks each id up by primary key, whatever it believes about the table's size.
_IDS = "ANY (ARRAY(SELECT json_array_elements_text(:ids::json)::bigint))"

_PAUSED_QUEUES = "ALL (ARRAY(SELECT name FROM {schema}.pauses WHERE kind = 'queue'))"
_PAUSED_TASKS = "SELECT name FROM {schema}.pauses WHERE kind = 'task'"
# Of a job, as json_array_elements_text() takes them: somebody else's INSERT may have stored what it refuses.
TAGS = r"""CASE WHEN json_typeof(tags) = 'array' AND strpos(tags::text, '\u0000') = 0 THEN tags ELSE '[]' END"""
# For a job: the text for `paused_by` if one of its tags is paused. Used only for jobs that have tags.
_PAUSED_TAG = """(SELECT 'tag ' || pause.name FROM {schema}.pauses AS pause
     WHERE pause.kind = 'tag' AND pause.name = ANY (ARRAY(SELECT json_array_elements_text({tags}))) LIMIT 1)"""

# As in the index jobs_ordered: the key of a job that runs in order, and whether that job has still to run or runs.
_ORDER = "split_part(lane, chr(10), 1)"
_ORDERED = (
    """left(lane, 1) = '"' AND (state IN ('held', 'running') OR state = 'scheduled' AND started_at IS NOT NULL)"""
)

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_PARAMETER = re.compile(r"'(?:[^']|'')*'|::|:([a-z_][a-z0-9_]*)")


@cache
def load(schema: str) -> Mapping[str, str]:
    """Every block of ``sql/*.sql`` by its name, for one schema's name."""
    marks = {
        "now": _NOW,
        "ids": _IDS,
        "paused_queues": _PAUSED_QUEUES,
        "paused_tasks": _PAUSED_TASKS,
        "paused_tag": _PAUSED_TAG,
        "tags": TAGS,
        "order": _ORDER,
        "ordered": _ORDERED,
        "schema": schema,
    }
    return load_blocks(
        "turnspit.engines.postgres",
        (
            "jobs",
            "control",
            "queries",
            "figures",
            "leases",
            "uniqueness",
            "limits",
            "pauses",
            "alerts",
            "moves",
            "schedules",
            "workflows",
        ),
        marks,
    )


@lru_cache(4096)
def to_pyformat(sql: str) -> str:
    """``:name`` as psycopg takes it: ``%(name)s``. Casts and quoted text stay as they are.

    >>> to_pyformat("SELECT :now::bigint, ':name', 7 % 2")
    "SELECT %(now)s::bigint, ':name', 7 %% 2"
    """
    return _PARAMETER.sub(lambda match: f"%({match[1]})s" if match[1] else match[0], sql.replace("%", "%%"))


@lru_cache(4096)
def to_numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """``:name`` as asyncpg takes it, and the names in the order of their numbers.

    >>> to_numbered("SELECT :one, :two, :one")
    ('SELECT $1, $2, $1', ('one', 'two'))
    """
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match[1]
        if not name:
            return match[0]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    text = _PARAMETER.sub(number, sql)
    return text, tuple(names)


def clean(params: Any) -> dict[str, Any]:
    """The parameters, with each NUL replaced: PostgreSQL's text cannot hold one, but an error message may."""
    cleaned = dict(params)
    for name, value in cleaned.items():
        if type(value) is str and "\0" in value:
            cleaned[name] = value.replace("\0", "\ufffd")
    return cleaned


def has_nul(text: str) -> bool:
    """Whether a JSON text has a NUL in one of its strings: such a job could not be found by its arguments.

    >>> has_nul(r'"a\\u0000"'), has_nul(r'"a\\\\u0000"')
    (True, False)
    """
    return "\\u0000" in text and _NUL.search(text) is not None
