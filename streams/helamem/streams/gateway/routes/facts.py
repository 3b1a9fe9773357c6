"""Facts: what was distilled from memories."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request

from helamem.processors.consolidation.standing import ended
from helamem.streams.gateway.answers import FactOut, FactsOut
from helamem.streams.gateway.cursors import cursor_of, key_of
from helamem.streams.gateway.fields import CursorQuery, LimitQuery, NamePath, TenantPath
from helamem.streams.gateway.service import service_of
from helamem.streams.home import wall_clock_ms


def register(router: APIRouter) -> None:
    """Add the endpoints."""
    router.get("/v1/spaces/{tenant}/{name}/facts", summary="List the facts of a space")(facts)


async def facts(
    request: Request, tenant: TenantPath, name: NamePath, limit: LimitQuery = 100, cursor: CursorQuery = None
) -> FactsOut:
    """Return the facts of a space with their evidence, hidden ones and what is over included."""
    behind = None if cursor is None else key_of(cursor, int, str)
    with service_of(request).memory() as memory:
        found = await memory.facts(f"{tenant}/{name}")
    over = ended(found, wall_clock_ms())
    left = [fact for fact in found if behind is None or (fact.valid_from_ms, fact.id) > behind]
    page = left[:limit]
    return FactsOut(
        facts=[FactOut.of(fact, over) for fact in page],
        next=cursor_of([page[-1].valid_from_ms, page[-1].id]) if len(left) > limit else None,
    )
