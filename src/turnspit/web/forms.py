"""Reading what a browser sends: a form's fields, as text, and the id in a path."""

from urllib.parse import parse_qsl

from starlette.datastructures import MultiDict
from starlette.exceptions import HTTPException
from starlette.requests import Request

from turnspit.operations import is_id

__all__ = ["LARGEST", "read_body", "read_form", "read_id"]

LARGEST = 2 * 1024 * 1024
_MOST_FIELDS = 2000


def read_id(request: Request) -> int:
    """The id in the path.

    :raises HTTPException: 404 if it cannot be an id.
    """
    text = str(request.path_params["id"])
    if not is_id(text) or not int(text):
        raise HTTPException(404, f"{text[:80]} is no id")
    return int(text)


async def read_body(request: Request) -> bytes:
    """The body.

    :raises HTTPException: 413 if it is larger than any job may be.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            raise HTTPException(413, f"a request has at most {LARGEST:,} bytes")
    return body


async def read_form(request: Request) -> MultiDict:
    """The fields of a form.

    :raises HTTPException: 400 if the body is no form, 413 if it is too large.
    """
    body = await read_body(request)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise HTTPException(400, "this is no form: it is sent as application/x-www-form-urlencoded") from None
    return MultiDict(pairs)
