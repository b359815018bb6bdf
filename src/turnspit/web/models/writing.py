"""Documents as JSON."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

__all__ = ["write_json"]


def write_json(document: Any) -> bytes:
    """JSON of a document, made in pieces: nothing else runs in the process while pydantic makes one.

    ``bytes`` in it are JSON already.

    >>> write_json([{"a": 1}, None])
    b'[{"a":1},null]'
    """
    return b"".join(_pieces(document))


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, BaseModel):
        separator = b"{"
        for name in type(value).model_fields:
            yield separator + to_json(name) + b":"
            yield from _pieces(getattr(value, name))
            separator = b","
        yield b"}"
    elif isinstance(value, list) and value:
        separator = b"["
        for each in value:
            yield separator
            yield from _pieces(each)
            separator = b","
        yield b"]"
    elif isinstance(value, bytes):
        yield value
    else:
        yield to_json(value, inf_nan_mode="null")
