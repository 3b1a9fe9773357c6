"""Single memories and what they are linked to."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request

from helamem.processors.store.port import Turn
from helamem.schemas.errors import NotFound
from helamem.schemas.times import format_ms
from helamem.streams.async_memory import Memory
from helamem.streams.gateway.answers import MemoryOut, NeighbourOut, NeighboursOut
from helamem.streams.gateway.fields import AsOfQuery, MemoryIdPath, NamePath, TenantPath
from helamem.streams.gateway.service import service_of

_MEMORY = "/v1/spaces/{tenant}/{name}/memories/{memory_id}"


def register(router: APIRouter) -> None:
    """Add the endpoints."""
    router.get(_MEMORY, summary="Look at a memory")(memory)
    router.get(f"{_MEMORY}/neighbours", summary="Look at what a memory is linked to")(neighbours)


async def memory(request: Request, tenant: TenantPath, name: NamePath, memory_id: MemoryIdPath) -> MemoryOut:
    """Return a memory, also one that is hidden or erased."""
    with service_of(request).memory() as found_in:
        return MemoryOut.of(await _turn(found_in, f"{tenant}/{name}", memory_id))


async def neighbours(
    request: Request, tenant: TenantPath, name: NamePath, memory_id: MemoryIdPath, as_of: AsOfQuery = None
) -> NeighboursOut:
    """Return a memory and what recalls have linked it to, with weights as they have faded by `as_of`."""
    space = f"{tenant}/{name}"
    with service_of(request).memory() as found_in:
        turn = await _turn(found_in, space, memory_id)
        links = await found_in.neighbours(space, memory_id, as_of=as_of)
        turns = await found_in.turns(space, [link.memory_id for link in links])
    return NeighboursOut(
        memory=MemoryOut.of(turn),
        neighbours=[
            NeighbourOut(
                memory_id=link.memory_id,
                weight=link.weight,
                last_strengthened=format_ms(link.last_strengthened_ms),
                memory=MemoryOut.of(turns[link.memory_id]) if link.memory_id in turns else None,
            )
            for link in links
        ],
    )


async def _turn(memory: Memory, space: str, memory_id: str) -> Turn:
    found = (await memory.turns(space, [memory_id])).get(memory_id)
    if found is None:
        raise NotFound(f"the space {space} has no memory {memory_id}; what was just appended may take a moment")
    return found
