"""Spaces, and what is known in one."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request

from helamem.schemas.errors import NotFound
from helamem.streams.gateway.answers import ProfileOut, SpaceOut, SpacesOut
from helamem.streams.gateway.callers import caller_of
from helamem.streams.gateway.cursors import cursor_of, key_of
from helamem.streams.gateway.fields import AsOfQuery, CursorQuery, LimitQuery, NamePath, TenantPath
from helamem.streams.gateway.service import service_of


def register(router: APIRouter) -> None:
    """Add the endpoints."""
    router.get("/v1/spaces", summary="List the spaces")(spaces)
    router.get("/v1/spaces/{tenant}/{name}", summary="Look at a space")(space)
    router.get("/v1/spaces/{tenant}/{name}/profile", summary="Say what is known in a space")(profile)


async def spaces(request: Request, limit: LimitQuery = 100, cursor: CursorQuery = None) -> SpacesOut:
    """Return the spaces that the key is for, with their numbers of memories, by name."""
    (behind,) = ("",) if cursor is None else key_of(cursor, str)
    caller = caller_of(request)
    with service_of(request).memory() as memory:
        found = await memory.spaces()
    names = sorted(name for name in found if name > behind and caller.covers(name))
    page = names[:limit]
    return SpacesOut(
        spaces=[SpaceOut(space=name, memories=found[name]) for name in page],
        next=cursor_of([page[-1]]) if len(names) > limit else None,
    )


async def space(request: Request, tenant: TenantPath, name: NamePath) -> SpaceOut:
    """Return a space's number of memories."""
    wanted = f"{tenant}/{name}"
    with service_of(request).memory() as memory:
        found = await memory.spaces()
    if wanted not in found:
        raise NotFound(f"there is no space {wanted}; GET /v1/spaces lists those that there are")
    return SpaceOut(space=wanted, memories=found[wanted])


async def profile(request: Request, tenant: TenantPath, name: NamePath, as_of: AsOfQuery = None) -> ProfileOut:
    """Return what is known of the people of a space and what its agents know, put together from facts that hold."""
    with service_of(request).memory() as memory:
        return ProfileOut.of(await memory.profile(f"{tenant}/{name}", as_of=as_of))
