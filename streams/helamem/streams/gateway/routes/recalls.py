"""Questions, and what of their answers was useful."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter
from starlette.requests import Request

from helamem.streams.async_memory import Memory, Recalled
from helamem.streams.gateway.accessed import accessed_of
from helamem.streams.gateway.answers import RecallOut, RecallsOut, ReinforcedOut
from helamem.streams.gateway.callers import caller_of
from helamem.streams.gateway.fields import IdempotencyKey, NamePath, TenantPath
from helamem.streams.gateway.requests import RecallIn, RecallsIn, ReinforceIn
from helamem.streams.gateway.service import service_of


def register(router: APIRouter) -> None:
    """Add the endpoints."""
    router.post("/v1/spaces/{tenant}/{name}/recall", summary="Ask a space a question")(recall)
    router.post("/v1/recall", summary="Ask several spaces a question")(recall_several)
    router.post("/v1/spaces/{tenant}/{name}/reinforce", summary="Say which results were useful")(reinforce)


async def recall(request: Request, tenant: TenantPath, name: NamePath, asked: RecallIn) -> RecallOut:
    """Return what a space knows about a question, best first, facts last, and why each result is there.

    A space that there is not yet knows nothing.
    """
    spaces = [f"{tenant}/{name}"]
    _unrecorded(request, spaces, asked)
    with service_of(request).memory() as memory:
        return RecallOut.of(await _recall(memory, spaces[0], asked, caller_of(request).name))


async def recall_several(request: Request, asked: RecallsIn) -> RecallsOut:
    """Return what each of several spaces knows; each recall is an event of its own."""
    caller = caller_of(request)
    spaces = list(dict.fromkeys(asked.spaces))
    for space in spaces:
        if not caller.covers(space):
            accessed_of(request).spaces = (space,)
        caller.check_space(space)
    _unrecorded(request, spaces, asked)
    with service_of(request).memory() as memory:
        return RecallsOut(recalls=[RecallOut.of(await _recall(memory, space, asked, caller.name)) for space in spaces])


async def reinforce(
    request: Request, tenant: TenantPath, name: NamePath, useful: ReinforceIn, idempotency_key: IdempotencyKey = None
) -> ReinforcedOut:
    """Say which memories of a recall were useful; links among these and its first one gain the full weight.

    With an Idempotency-Key a retry strengthens once.
    """
    with service_of(request).memory() as memory:
        await memory.reinforce(
            useful.recall_id, useful.memory_ids, space=f"{tenant}/{name}", idempotency_key=idempotency_key
        )
    return ReinforcedOut(recall_id=useful.recall_id, reinforced=useful.memory_ids)


def _unrecorded(request: Request, spaces: Sequence[str], asked: RecallIn) -> None:
    """Have recalls that leave no event recorded as any other look into a space."""
    accessed = accessed_of(request)
    accessed.spaces, accessed.changes = () if asked.record else tuple(spaces), False
    if accessed.spaces:
        accessed.check_room(service_of(request).trail)


async def _recall(memory: Memory, space: str, asked: RecallIn, caller: str | None) -> Recalled:
    return await memory.recall(
        space,
        asked.query,
        k=asked.k,
        m=asked.m,
        facts=asked.facts,
        spreading=asked.spreading,
        token_budget=asked.token_budget,
        context=asked.context,
        as_of=asked.as_of,
        record=asked.record,
        caller=caller,
    )
