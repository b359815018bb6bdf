"""Makes arguments out of other jobs' results. Pure functions, without a store.

>>> spec = {"limit": 100, "arguments": {"receipt": ["result", 7, ["number"]]}}
>>> make_arguments('{"order_id":1}', spec, {7: '{"number": "A-1"}'})
'{"order_id":1,"receipt":"A-1"}'
>>> list(used_jobs(spec))
[7]
"""

from collections.abc import Iterator, Mapping
from typing import Any

from turnspit.codec import decode, encode
from turnspit.errors import InvalidPayload
from turnspit.placeholders import used_in

__all__ = ["Unmakable", "make_arguments", "used_jobs"]


class Unmakable(Exception):
    """Says why arguments cannot be made."""


def used_jobs(spec: Mapping[str, Any]) -> Iterator[int]:
    """The jobs whose results are used."""
    for template in spec["arguments"].values():
        yield from used_in(template)


def make_arguments(args: str, spec: Mapping[str, Any], results: Mapping[int, str | None]) -> str:
    """The stored arguments, and those that are made of results, as one JSON text.

    :param results: JSON text by job; ``None`` for one that has no result, which counts as ``null``.
    :raises Unmakable: saying which argument cannot be made.
    """
    made = dict(decode(args))
    for name, template in spec["arguments"].items():
        try:
            made[name] = _make(template, results)
        except Unmakable as error:
            raise Unmakable(f"argument {name} cannot be made of results: {error}") from None
    try:
        return encode(made, what="arguments made of results", limit=spec["limit"])
    except InvalidPayload as error:
        raise Unmakable(str(error)) from None


def _make(template: Any, results: Mapping[int, str | None]) -> Any:
    match template:
        case ["list", parts]:
            return [_make(part, results) for part in parts]
        case ["dict", parts]:
            return {key: _make(part, results) for key, part in parts.items()}
        case ["result", job, path]:
            return _part(job, results.get(job), path)
    return template[1]


def _part(job: int, text: str | None, path: list[str | int]) -> Any:
    if text is None:
        return None  # it did not complete, or keeps no result
    found = decode(text)
    for step in path:
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError):
            raise Unmakable(f"the result of job {job} has no {step!r}") from None
    return found
