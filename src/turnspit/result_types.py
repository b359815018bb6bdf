"""Whether what one task returns can be what another one takes: by their JSON Schemas, as far as those say.

>>> returns = {"type": "object", "properties": {"number": {"type": "string"}}}
>>> mismatch(returns, ("number",), {"type": "integer"})
'it is string, not integer'
>>> mismatch(returns, ("numbre",), {"type": "string"})
"it has no 'numbre'"
>>> mismatch(returns, ("number",), {}) is None
True
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["allows_null", "mismatch"]

Schema = Mapping[str, Any]

_NUMBERS = {"integer", "number"}
_JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def mismatch(returned: Schema, path: Sequence[str | int], taken: Schema) -> str | None:
    """Why a part of what one task returns cannot be what another takes; ``None`` if it can, or if it is not known.

    :param path: the fields and indexes that lead to the part.
    """
    parts: list[tuple[Schema, Schema]] = [(returned, returned)]
    for step in path:
        found = [part for schema, root in parts for each in _choices(schema, root) for part in _step(each, root, step)]
        if not found:
            return f"it has no {step!r}"
        parts = found
    given = _types(parts)
    wanted = _types([(taken, taken)])
    if given is None or wanted is None or given & wanted or (given & _NUMBERS and wanted & _NUMBERS):
        return None
    return f"it is {' or '.join(sorted(given))}, not {' or '.join(sorted(wanted))}"


def allows_null(taken: Schema) -> bool:
    """Whether ``None`` can be what is taken, as far as it is known."""
    wanted = _types([(taken, taken)])
    return wanted is None or "null" in wanted


def _choices(schema: Schema, root: Schema) -> Iterator[Schema]:
    """The alternatives of a schema."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        yield from _choices(root.get("$defs", {}).get(name, {}), root)
        return
    for word in ("anyOf", "oneOf"):
        if word in schema:
            for each in schema[word]:
                yield from _choices(each, root)
            return
    yield schema


def _step(schema: Schema, root: Schema, step: str | int) -> Iterator[tuple[Schema, Schema]]:
    """The schemas of a field or an item: none if it does not exist, ``{}`` if it can be anything."""
    kind = schema.get("type")
    if kind == "object" and isinstance(step, str):
        others = schema.get("additionalProperties", not schema.get("properties"))
        if step in schema.get("properties", {}):
            yield schema["properties"][step], root
        elif others:
            yield others if isinstance(others, Mapping) else {}, root
    elif kind == "array" and isinstance(step, int):
        fixed = schema.get("prefixItems", [])
        if -len(fixed) <= step < len(fixed):
            yield fixed[step], root
        elif not fixed or "items" in schema:
            yield schema.get("items", {}), root
    elif kind is None:
        yield {}, root


def _types(parts: Sequence[tuple[Schema, Schema]]) -> set[str] | None:
    types: set[str] = set()
    for schema, root in parts:
        for each in _choices(schema, root):
            kind = each.get("type")
            if "const" in each:
                kind = _JSON_TYPES.get(type(each["const"]))
            if kind is None:
                return None
            types.update([kind] if isinstance(kind, str) else kind)
    return types
