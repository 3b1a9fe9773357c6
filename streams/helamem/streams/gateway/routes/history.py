"""The history of a space: what changed its graph and its facts."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from helamem.streams.async_memory import Memory
from helamem.streams.gateway.cursors import cursor_of, key_of
from helamem.streams.gateway.fields import CursorQuery, NamePath, TenantPath
from helamem.streams.gateway.history_answers import HistoryOut
from helamem.streams.gateway.service import Service, service_of
from helamem.streams.history import TOPICS, Walk
from helamem.streams.lineage.reader import LogReader

_MAX_WEIGHT = 1.0
_EXAMPLE = {
    "space": "acme/mira",
    "half_life_s": 2_592_000,
    "max_weight": 1.0,
    "changes": [
        {
            "kind": "memory",
            "at": "2025-05-12T18:00:01.250Z",
            "event_id": "3f0c3c2e-4a8d-4d0e-9d0a-6a3a0e6f1b11",
            "memory_id": "115c888a-08bb-551d-8bdc-e246e38b8f0b",
            "conversation": "monday",
            "speaker": "Mira",
            "role": "user",
            "time": "2025-05-12T18:00:00.000Z",
            "text": "We have moved from Lisbon to Bergen.",
            "previous": "1487bfb4-9ca6-5d36-95ae-0e4a53827baf",
            "hidden": False,
        },
        {
            "kind": "links",
            "at": "2025-05-13T08:12:00.480Z",
            "event_id": "e55b70c3-da2f-45f5-a16b-d6b6f978d5cf",
            "recall_id": "e55b70c3-da2f-45f5-a16b-d6b6f978d5cf",
            "reinforced": False,
            "query": "Where does Mira live?",
            "edges": [
                {
                    "memory_ids": ["115c888a-08bb-551d-8bdc-e246e38b8f0b", "1487bfb4-9ca6-5d36-95ae-0e4a53827baf"],
                    "weight": 0.001,
                    "last_strengthened": "2025-05-13T08:12:00.480Z",
                }
            ],
            "pruned": [],
        },
    ],
    "next": None,
    "resume": "WzEsMiwyLDAsMCwwXQ",
}
LimitQuery = Annotated[
    int, Query(ge=1, le=1000, description="Changes after which the page ends; those of one event are not parted.")
]


def register(router: APIRouter) -> None:
    """Add the endpoint."""
    router.get(
        "/v1/spaces/{tenant}/{name}/history",
        summary="Say what changed the graph and the facts of a space",
        response_model=HistoryOut,
        responses={200: {"content": {"application/json": {"example": _EXAMPLE}}}},
    )(history)


async def history(
    request: Request, tenant: TenantPath, name: NamePath, limit: LimitQuery = 1000, cursor: CursorQuery = None
) -> Response:
    """Return what changed the graph and the facts of a space, in the order in which the log took it.

    All changes whose `at` is not after a moment, one after the other, give what the space was at that moment. Links are
    folded again from the log. A page also ends with some 20,000 links, or after 10,000 records of the log, of whatever
    space: it may be empty while `next` says that more may follow. Pages that follow each other fold the log once; a
    cursor that is old folds it from its beginning, one such request at a time.
    """
    space, service = f"{tenant}/{name}", service_of(request)
    positions = None if cursor is None else [*key_of(cursor, *[int] * (1 + len(TOPICS)))]
    with service.memory() as memory:
        reader = await LogReader.open(memory.instance.log, memory.instance.keys_path)
        walk = await _walk(service, memory, reader, space, positions)
        page = await walk.page(reader, limit)
        service.walks.keep(memory, space, walk)
    resume = cursor_of([*walk.positions])
    answer = {
        "space": space,
        "half_life_s": reader.settings.hebbian.half_life_s,
        "max_weight": _MAX_WEIGHT,
        "changes": page.changes,
        "next": resume if page.more else None,
        "resume": resume,
    }
    return Response(msgspec.json.encode(answer), media_type="application/json")


async def _walk(service: Service, memory: Memory, reader: LogReader, space: str, positions: list[int] | None) -> Walk:
    """Return a walk that is where a page ended."""
    if (
        positions is not None
        and (walk := service.walks.take(memory, space, reader.erased.seen(space), positions)) is not None
    ):
        return walk
    walk = await Walk.begin(reader, space)
    if positions is not None:
        async with service.rebuilding():
            await walk.skip(reader, positions)
    return walk
