"""Hiding memories from recall, and bringing them back: what an agent may do that may recall; erasing is final."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request

from helamem.schemas.errors import BadInput, NotFound
from helamem.streams.gateway.answers import MarkedOut
from helamem.streams.gateway.fields import NamePath, TenantPath
from helamem.streams.gateway.requests import MarkIn
from helamem.streams.gateway.service import service_of

APPLIED_S = 10.0
"""How long `wait=applied` waits."""
_SPACE = "/v1/spaces/{tenant}/{name}"

Wait = Annotated[
    Literal["applied"] | None,
    Query(
        description=f"Answer when recalls know of it, or after {APPLIED_S:.0f} s; `applied` in the answer says which. "
        "Left out, the answer comes when it is durable."
    ),
]


def register(router: APIRouter) -> None:
    """Add the endpoints."""
    router.post(f"{_SPACE}/forget", summary="Hide memories from recall")(forget)
    router.post(f"{_SPACE}/restore", summary="Bring hidden memories back")(restore)


async def forget(
    request: Request, *, tenant: TenantPath, name: NamePath, named: MarkIn, wait: Wait = None
) -> MarkedOut:
    """Hide memories from recall by an event in the log; `restore` brings them back. Sent again it changes nothing."""
    return await _mark(request, f"{tenant}/{name}", named, hidden=True, wait=wait is not None)


async def restore(
    request: Request, *, tenant: TenantPath, name: NamePath, named: MarkIn, wait: Wait = None
) -> MarkedOut:
    """Bring back memories that were hidden, whoever hid them; what was erased stays so."""
    return await _mark(request, f"{tenant}/{name}", named, hidden=False, wait=wait is not None)


async def _mark(request: Request, space: str, named: MarkIn, *, hidden: bool, wait: bool) -> MarkedOut:
    service = service_of(request)
    if wait and not service.behind.processed:
        raise BadInput("this gateway processes nothing, so nothing is applied; leave `wait` out")
    ids = list(dict.fromkeys(named.memory_ids))
    with service.memory() as memory:
        known = await memory.turns(space, ids)
        if unknown := [id_ for id_ in ids if id_ not in known]:
            raise NotFound(
                f"the space {space} has no memory {unknown[0]}, so nothing was changed; what was just appended may "
                "take a moment"
            )
        ends = await (memory.forget if hidden else memory.restore)(space, ids, named.reason)
        return MarkedOut(memory_ids=ids, applied=await memory.encoded(ends, APPLIED_S) if wait else None)
