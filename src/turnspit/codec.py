"""Turns values into JSON text and back. Never pickle: no payload is executed.

>>> encode({"order_id": 7}, what="metadata")
'{"order_id":7}'
>>> encode(float("nan"), what="metadata")
Traceback (most recent call last):
...
turnspit.errors.InvalidPayload: metadata cannot be stored: NaN and Infinity are not JSON
"""

import json
from collections.abc import Callable
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

from turnspit.errors import InvalidPayload

__all__ = [
    "DEFAULT_LIMIT",
    "check_text",
    "decode",
    "decode_list",
    "decode_object",
    "encode",
    "is_unicode",
    "stored_value",
]

DEFAULT_LIMIT = 1024 * 1024
"""Bytes of JSON that one payload may take."""
_LONGEST_NAME = 255


def encode(value: Any, *, what: str, limit: int = DEFAULT_LIMIT, simplify: Callable[[Any], Any] | None = None) -> str:
    """``value`` as JSON text of at most ``limit`` bytes.

    :param what: what the error message calls the value.
    :param simplify: called first, to turn the value into dicts, lists, texts and numbers.
    :raises InvalidPayload: if it is not JSON or too large.
    """
    try:
        data = to_json(value if simplify is None else simplify(value), inf_nan_mode="constants")
    except Exception as error:  # a property or a serializer of the user's own may raise anything
        raise InvalidPayload(f"{what} cannot be stored: {_cause(error)}") from error
    if b"NaN" in data or b"Infinity" in data:
        _refuse_constants(data, what)
    if len(data) > limit:
        raise InvalidPayload(
            f"{what} cannot be stored: {len(data):,} bytes of JSON are over the limit of {limit:,}; "
            "store the data elsewhere and pass a reference"
        )
    return data.decode()


def decode(text: str) -> Any:
    """The value of JSON text.

    :raises InvalidPayload: if it is not JSON.
    """
    try:
        return from_json(text)
    except ValueError as error:
        raise InvalidPayload(f"stored text is not JSON: {error}") from error


def decode_object(text: str | None) -> dict[str, Any]:
    """A stored object; an empty one where nothing is stored, or another program stored something else.

    >>> decode_object('{"order_id":7}'), decode_object("[7]"), decode_object(None)
    ({'order_id': 7}, {}, {})
    """
    value = _decode_any(text)
    return value if isinstance(value, dict) else {}


def decode_list(text: str | None) -> list[Any]:
    """A stored list; an empty one where nothing is stored, or another program stored something else."""
    value = _decode_any(text)
    return value if isinstance(value, list) else []


def stored_value(text: str) -> Any:
    """The value of stored JSON; the text itself if another program stored something else.

    >>> stored_value('{"order_id":7}'), stored_value("not JSON")
    ({'order_id': 7}, 'not JSON')
    """
    try:
        return decode(text)
    except InvalidPayload:
        return text


def _decode_any(text: str | None) -> Any:
    try:
        return None if text is None else decode(text)
    except InvalidPayload:
        return None


def check_text(text: str, what: str) -> str:
    """``text`` if it can be stored as a name (a queue, a tag): not empty, at most 255 characters, no NUL.

    A member of a ``str`` enum becomes its value, which ``str()`` and f-strings do not return.

    :raises InvalidPayload: otherwise.
    """
    if not isinstance(text, str) or not 0 < len(text) <= _LONGEST_NAME or "\0" in text:
        raise InvalidPayload(f"{what} must be text of 1 to {_LONGEST_NAME} characters without NUL, not {text!r}")
    if not is_unicode(text):
        raise InvalidPayload(f"{what} must be text without surrogates, not {text!r}")
    return str.__str__(text)


def is_unicode(text: str) -> bool:
    """Whether it has no lone surrogates, which no store can keep.

    >>> is_unicode("é"), is_unicode("\\udcff")
    (True, False)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constants(data: bytes, what: str) -> None:
    def refuse(name: str) -> None:
        raise InvalidPayload(f"{what} cannot be stored: NaN and Infinity are not JSON")

    json.loads(data, parse_constant=refuse)


def _cause(error: Exception) -> str:
    text = str(error)
    if "surrogates" in text:
        return "text with surrogates is not Unicode"
    if "Circular reference" in text:
        return "it contains itself"
    if isinstance(error, UnicodeDecodeError) or "invalid utf-8" in text:
        return "bytes that are not UTF-8 have no place in JSON; pydantic.Base64Bytes makes text of them"
    if isinstance(error, PydanticSerializationError):
        return text.removeprefix("Error serializing to JSON: ")
    return f"{type(error).__name__}: {text}"
