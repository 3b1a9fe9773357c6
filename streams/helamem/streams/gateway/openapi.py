"""The OpenAPI document: FastAPI's, with what it cannot know."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from helamem.streams.gateway.answers import ProblemOut
from helamem.streams.gateway.problems import MEDIA_TYPE
from helamem.streams.gateway.rights import NEEDED, Right

_ABOUT = (
    "Long-term memory for AI agents. A space is `tenant/name`: what may be recalled together. What is appended is "
    "durable when it is answered, and can be recalled a moment later."
)
_PROBLEM = "#/components/schemas/ProblemOut"
_OF_HOMES = frozenset({"/v1/spaces/{tenant}/{name}/diff"})
"""Paths that a gateway of a fleet does not answer in every case."""
_EXAMPLE = {
    "type": "urn:helamem:problem:not-found",
    "title": "Not Found",
    "status": 404,
    "detail": "there is no space acme/mira; GET /v1/spaces lists those that there are",
}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the document."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.1.0",
        description=_ABOUT,
        routes=app.routes,
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas |= ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}").pop("$defs", {})
    problem = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
    problem.pop("$defs", None)
    schemas["ProblemOut"] = problem
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _complete(operation, NEEDED[method.upper(), path], path, has_body="requestBody" in operation)
    return document


def _complete(operation: dict[str, Any], rights: Sequence[Right], path: str, *, has_body: bool) -> None:
    """Say which rights an operation needs, and what it answers where something is wrong."""
    answers = operation["responses"]
    answers.pop("422", None)
    statuses = [HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE]
    statuses += [HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE]
    if rights:
        statuses += [HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS]
        operation["security"] = [{"key": []}]
        operation["description"] = f"{operation.get('description', '').strip()}\n\n{_told(rights)}".strip()
        operation["x-helamem-rights"] = [*rights]
    if operation.get("parameters") or has_body:
        statuses.append(HTTPStatus.UNPROCESSABLE_ENTITY)
    if path in _OF_HOMES:
        statuses.append(HTTPStatus.NOT_IMPLEMENTED)
    if "{" in path:
        statuses.append(HTTPStatus.NOT_FOUND)
    if has_body:
        statuses += [HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.CONFLICT]
    for status in sorted(statuses):
        answers.setdefault(
            str(int(status)),
            {
                "description": status.phrase,
                "content": {MEDIA_TYPE: {"schema": {"$ref": _PROBLEM}, "example": _EXAMPLE}},
            },
        )


def _told(rights: Sequence[Right]) -> str:
    return f"Right{'s' if len(rights) > 1 else ''}: {' and '.join(f'`{right}`' for right in rights)}."
