"""Where something came from, what came of it, and what lies between two moments."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from fastapi import Path as InPath
from starlette.requests import Request

from helamem.processors.difference import SpaceDifference, difference
from helamem.streams.async_memory import Memory
from helamem.streams.gateway.answers import DiffOut, LineageOut
from helamem.streams.gateway.fields import AsOfQuery, MemoryIdQuery, NamePath, TenantPath, Time, UuidPath
from helamem.streams.gateway.service import service_of
from helamem.streams.lineage.node import Lineage, as_json
from helamem.streams.lineage.prov import prov
from helamem.streams.lineage.reader import LogReader
from helamem.streams.lineage.trace import trace as trace_event
from helamem.streams.lineage.why import why as why_one
from helamem.streams.lineage.why import why_edge

_SPACE = "/v1/spaces/{tenant}/{name}"
_UNITS = 2**32
EventIdPath = Annotated[str, InPath(min_length=1, max_length=256, description="The event's id.")]
MomentQuery = Annotated[Time | None, Query(description="A moment; left out, now.")]


def register(router: APIRouter) -> None:
    """Add the endpoints."""
    router.get(f"{_SPACE}/why/{{id}}", summary="Say where something came from")(why)
    router.get(f"{_SPACE}/trace/{{event_id}}", summary="Say what an event caused")(trace)
    router.get(f"{_SPACE}/diff", summary="Say what lies between two moments")(diff)


async def why(
    request: Request,
    tenant: TenantPath,
    name: NamePath,
    id: UuidPath,  # noqa: A002 - its name in the path
    *,
    other: MemoryIdQuery = None,
    as_of: AsOfQuery = None,
    form: Annotated[Literal["tree", "prov"], Query(alias="format", description="A tree, or W3C PROV-JSON.")] = "tree",
) -> LineageOut:
    """Return where a fact or a memory came from, or with `other` the link between two memories.

    It goes down to the messages, each with its place in the log and the hash of its record, and to the recalls, each
    with its share of a weight; all of it is read and folded again from the log.
    """
    space = f"{tenant}/{name}"
    with service_of(request).memory() as memory:
        reader = await _reader(memory)
        if other is None:
            found = await why_one(reader, id, space=space, as_of_ms=as_of)
        else:
            found = await why_edge(reader, id, other, space=space, as_of_ms=as_of)
    return _told(found, prov(found) if form == "prov" else None)


async def trace(request: Request, tenant: TenantPath, name: NamePath, event_id: EventIdPath) -> LineageOut:
    """Return all that an event caused: memory, recalls that returned it, links, hubs, facts, retractions."""
    with service_of(request).memory() as memory:
        return _told(await trace_event(await _reader(memory), event_id, space=f"{tenant}/{name}"))


async def diff(
    request: Request, tenant: TenantPath, name: NamePath, before: MomentQuery = None, after: MomentQuery = None
) -> DiffOut:
    """Return what was added, removed, changed, hidden and shown in a space between two moments.

    A moment of the past is rebuilt from the log, and kept below the home for a while. A gateway of a fleet keeps
    nothing of it, and answers 501 where it would take too much: then commands do it.
    """
    space, service = f"{tenant}/{name}", service_of(request)
    with service.memory() as memory:
        async with service.rebuilding(), service.behind.states(memory, space, (before, after)) as (former, latter):
            found = (await difference(former, latter, space)).get(space, SpaceDifference())
    return DiffOut(
        space=space,
        equal=found == SpaceDifference(),
        memories=msgspec.to_builtins(found.memories),
        facts=msgspec.to_builtins(found.facts),
        edges=[
            {
                "memory_ids": list(edge.memory_ids),
                "before": round(edge.before / _UNITS, 9),
                "after": round(edge.after / _UNITS, 9),
            }
            for edge in found.edges
        ],
    )


async def _reader(memory: Memory) -> LogReader:
    return await LogReader.open(memory.instance.log, memory.instance.keys_path)


def _told(found: Lineage, document: dict[str, Any] | None = None) -> LineageOut:
    return LineageOut(space=found.space, problems=[*found.problems], lineage=document or as_json(found.node))
