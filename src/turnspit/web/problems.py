"""Error responses: problem+json (RFC 9457) for programs, a short page for people."""

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from turnspit.errors import (
    ConfigurationError,
    EngineUnavailable,
    InvalidArguments,
    InvalidPayload,
    JobExists,
    JobNotFound,
    MoveNotAllowed,
    QueueFull,
    ScheduleNotFound,
    SchemaMismatch,
    StoreFrozen,
    TurnspitError,
    WorkerNotFound,
    WorkflowNotFound,
)
from turnspit.web.paths import path_below_root

__all__ = ["Problem", "is_for_program", "problem", "status_of"]

_STATUS: dict[type[TurnspitError], int] = {
    JobNotFound: 404,
    ScheduleNotFound: 404,
    WorkflowNotFound: 404,
    WorkerNotFound: 404,
    MoveNotAllowed: 409,
    QueueFull: 429,
    JobExists: 409,
    StoreFrozen: 409,
    InvalidArguments: 422,
    InvalidPayload: 422,
    ConfigurationError: 422,
    EngineUnavailable: 503,
    SchemaMismatch: 503,
}


class Problem(BaseModel):
    """Why something was not done."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


def status_of(error: TurnspitError) -> int:
    """The HTTP status that says what kind of error this is."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def problem(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An error response: JSON below ``/api``, else a line of text."""
    if not is_for_program(request):
        return PlainTextResponse(f"{status} {HTTPStatus(status).phrase}: {detail}\n", status, headers)
    document: dict[str, Any] = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail).model_dump()
    return JSONResponse(document, status, headers, media_type="application/problem+json")


def is_for_program(request: Request) -> bool:
    """Whether the request is for the API, so that the response is JSON."""
    return path_below_root(request.scope).startswith("/api")
