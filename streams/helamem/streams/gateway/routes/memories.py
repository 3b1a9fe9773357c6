"""Memories and what they are linked to."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request

from helamem.processors.store.by_time import said
from helamem.processors.store.port import Turn
from helamem.schemas.errors import NotFound
from helamem.schemas.times import format_ms
from helamem.streams.async_memory import Memory
from helamem.streams.gateway.answers import MemoriesOut, MemoryOut, NeighbourOut, NeighboursOut
from helamem.streams.gateway.cursors import cursor_of, key_of
from helamem.streams.gateway.fields import (
    AsOfQuery,
    CursorQuery,
    LimitQuery,
    MemoryIdPath,
    Name,
    NamePath,
    TenantPath,
)
from helamem.streams.gateway.service import service_of

_MEMORIES = "/v1/spaces/{tenant}/{name}/memories"
_MEMORY = f"{_MEMORIES}/{{memory_id}}"
_MOST_CONVERSATIONS = 16


def register(router: APIRouter) -> None:
    """Add the endpoints."""
    router.get(_MEMORIES, summary="List the memories of a space")(memories)
    router.get(_MEMORY, summary="Look at a memory")(memory)
    router.get(f"{_MEMORY}/neighbours", summary="Look at what a memory is linked to")(neighbours)


async def memories(
    request: Request,
    *,
    tenant: TenantPath,
    name: NamePath,
    conversation: Annotated[
        list[Name] | None,
        Query(
            max_length=_MOST_CONVERSATIONS,
            description="Only memories of this conversation, of its last 1,000 turns; may stand several times.",
        ),
    ] = None,
    limit: LimitQuery = 100,
    cursor: CursorQuery = None,
) -> MemoriesOut:
    """Return the memories of a space that may be recalled, by the time at which they were said."""
    after = None
    if cursor is not None:
        time_ms, id_ = key_of(cursor, int, str)
        after = (time_ms, id_)
    with service_of(request).memory() as found_in:
        found = await found_in.memories(f"{tenant}/{name}", conversation, after=after, limit=limit + 1)
    page = found[:limit]
    return MemoriesOut(
        memories=[MemoryOut.of(turn) for turn in page],
        next=cursor_of([*said(page[-1])]) if len(found) > limit else None,
    )


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
