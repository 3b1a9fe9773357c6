"""Calls of commands on a home that is served, by its owner alone; no part of what is documented for others."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from helamem.schemas.errors import BadInput
from helamem.streams.gateway.callers import caller_of
from helamem.streams.gateway.calls import KIND, PATH, answered
from helamem.streams.gateway.problems import Problem
from helamem.streams.gateway.service import service_of


def register(router: APIRouter) -> None:
    """Add the endpoint."""
    router.post(PATH, include_in_schema=False)(call)


async def call(request: Request) -> Response:
    """Return what a method of the memory returns."""
    if not caller_of(request).owner:
        raise Problem(403, "forbidden", "this is for commands on the machine of the home; use the other endpoints")
    service = service_of(request)
    with service.memory() as memory:
        try:
            raw = await answered(memory, await request.body(), follows=service.behind.processed)
        except (msgspec.MsgspecError, TypeError) as error:
            raise BadInput(f"the call cannot be read ({error}); use the same version of helamem for both") from None
    return Response(raw, media_type=KIND)
