"""The OpenAPI document, from the table of operations and the documents' own types."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from turnspit.records import LARGEST_ID
from turnspit.web.api.operations import OPERATIONS, Operation
from turnspit.web.problems import Problem

__all__ = ["make_openapi"]

_REF = "#/components/schemas/{model}"
_PROBLEM = {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}}
_ALWAYS = (401, 403, 422, 503)


def make_openapi(title: str, version: str, server: str, *, has_token: bool) -> dict[str, Any]:
    """The document.

    :param server: the path below which the API is.
    """
    models: list[Any] = [(Problem, "serialization")]
    for operation in OPERATIONS:
        models += [(kind, "validation") for kind in (operation.query, operation.body) if kind is not None]
    _, definitions = models_json_schema(models, ref_template=_REF)
    schemas: dict[str, Any] = dict(definitions.get("$defs", {}))
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation, schemas)
    components: dict[str, Any] = {"schemas": schemas}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": f"Turnspit: {title}", "version": version},
        "servers": [{"url": server}],
        "paths": paths,
        "components": components,
    }
    if has_token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _describe(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    answer = TypeAdapter(operation.answer).json_schema(mode="serialization", ref_template=_REF)
    schemas |= answer.pop("$defs", {})
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": _parameters(operation, schemas),
        "responses": {
            str(operation.status): {
                "description": HTTPStatus(operation.status).phrase,
                "content": {"application/json": {"schema": answer}},
            }
        },
    }
    for status in sorted({*_statuses(operation)}):
        found["responses"][str(status)] = {"description": HTTPStatus(status).phrase, "content": _PROBLEM}
    if operation.body is not None:
        schema = {"$ref": _REF.format(model=operation.body.__name__)}
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


def _statuses(operation: Operation) -> Sequence[int]:
    with_body = (400, 413, 415) if operation.body is not None else ()
    return (*_ALWAYS, *with_body, *operation.refusals)


def _parameters(operation: Operation, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if "{id}" in operation.path:
        schema = {"type": "integer", "minimum": 1, "maximum": LARGEST_ID}
        found.append({"name": "id", "in": "path", "required": True, "schema": schema})
    if operation.query is not None:
        model = schemas[operation.query.__name__]
        required = model.get("required", [])
        found += [
            {"name": name, "in": "query", "required": name in required, "schema": _without_null(schema)}
            for name, schema in model["properties"].items()
        ]
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query has no null: what may be null may be left out."""
    choices = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if len(choices) != 1:
        return schema
    kept: dict[str, Any] = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    return {**kept, **choices[0]}
