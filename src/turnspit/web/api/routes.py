"""From a request to an operation and back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from turnspit.signatures import describe_validation_error
from turnspit.web.api.openapi import make_openapi
from turnspit.web.api.operations import OPERATIONS, Call, Operation
from turnspit.web.forms import read_body, read_id
from turnspit.web.models.writing import write_json
from turnspit.web.paths import root_of
from turnspit.web.site import Site

__all__ = ["api_routes"]


def api_routes(site: Site, version: str) -> list[Route]:
    """The routes of the API, below ``/api``."""
    routes = []
    for operation in OPERATIONS:
        answer = _endpoint(site, operation)
        routes.append(Route("/api" + operation.path, answer, methods=[operation.method], name=operation.name))

    async def send_openapi(request: Request) -> Response:
        server = root_of(request.scope) + "/api"
        has_token = bool(request.scope["turnspit.has_token"])
        return JSONResponse(make_openapi(site.title, version, server, has_token=has_token))

    async def nothing(request: Request) -> Response:
        raise HTTPException(404, "there is no such operation: see /api/openapi.json")

    return [*routes, Route("/api/openapi.json", send_openapi), Route("/api/{path:path}", nothing)]


def _endpoint(site: Site, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        number = read_id(request) if "id" in request.path_params else 0
        query = None if operation.query is None else _checked(operation.query, dict(request.query_params))
        body = None if operation.body is None else await _read(request, operation.body)
        found = await operation.handle(Call(site, request, number, query, body))
        content = await asyncio.to_thread(write_json, found)
        return Response(content, operation.status, media_type="application/json")

    return answer


async def _read(request: Request, model: type[BaseModel]) -> BaseModel:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    content = await read_body(request)
    if kind != "application/json" and not (kind == "" and not content):
        raise HTTPException(415, "a body is application/json")
    try:
        return model.model_validate_json(content or b"{}")
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            raise HTTPException(400, describe_validation_error(error)) from None
        raise HTTPException(422, describe_validation_error(error)) from None


def _checked(model: type[BaseModel], fields: dict[str, Any]) -> BaseModel:
    try:
        return model.model_validate_strings(fields)
    except ValidationError as error:
        raise HTTPException(422, describe_validation_error(error)) from None
