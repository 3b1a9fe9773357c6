"""Whether the process lives, is ready, and what it counts."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from helamem.streams.gateway.openapi import describe
from helamem.streams.gateway.service import service_of
from helamem.streams.metrics.server import CONTENT_TYPE


def register(router: APIRouter) -> None:
    """Add the endpoints."""
    plain = {"content": {"text/plain": {"schema": {"type": "string"}}}}
    answers: dict[int | str, dict[str, Any]] = {200: plain, 503: {"description": "It does not.", **plain}}
    for path, answer, summary in (
        ("/live", live, "Ask whether the process lives"),
        ("/ready", ready, "Ask whether it does its work"),
        ("/metrics", metrics, "Read the metrics, in Prometheus' format"),
    ):
        router.get(path, summary=summary, response_class=PlainTextResponse, responses=answers)(answer)
    router.get("/openapi.json", summary="Read this document", response_class=JSONResponse)(openapi)


async def live(request: Request) -> Response:
    """Return 200 as long as the event loop goes round."""
    return _plain("live", well=service_of(request).health.live)


async def ready(request: Request) -> Response:
    """Return 200 as long as requests are answered from the memory."""
    return _plain("ready", well=service_of(request).health.ready)


async def metrics(request: Request) -> Response:
    """Return all that is counted."""
    return Response(service_of(request).metrics.text(), media_type=CONTENT_TYPE)


async def openapi(request: Request) -> Response:
    """Return the OpenAPI document."""
    state = request.app.state
    if not hasattr(state, "document"):  # it is always the same
        state.document = describe(request.app)
    return JSONResponse(state.document)


def _plain(what: str, *, well: bool) -> Response:
    status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    return PlainTextResponse(f"{what if well else f'not {what}'}\n", status)
