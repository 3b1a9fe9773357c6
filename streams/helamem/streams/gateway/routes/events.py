"""The events of a space as they come, as server-sent events."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from helamem.schemas.errors import BadInput
from helamem.streams.gateway.callers import caller_of
from helamem.streams.gateway.fields import NamePath, TenantPath
from helamem.streams.gateway.following import FIRST, Following, positions_of
from helamem.streams.gateway.service import service_of

KIND = "text/event-stream"
_ID = r"[1-9][0-9]{0,8}(-[0-9]{1,16}){5}"


def register(router: APIRouter) -> None:
    """Add the endpoints."""
    router.get(
        "/v1/spaces/{tenant}/{name}/events",
        summary="Follow the events of a space",
        response_class=EventStream,
        responses={200: {"content": {KIND: {"schema": {"type": "string"}}}}},
    )(events)


class EventStream(StreamingResponse):
    """An answer that goes on as long as somebody reads it."""

    media_type = KIND


async def events(
    request: Request,
    tenant: TenantPath,
    name: NamePath,
    *,
    begin: Annotated[
        Literal["now", "first"], Query(description="Where to begin without Last-Event-ID: now, or at the first event.")
    ] = "now",
    last_event_id: Annotated[
        str | None, Header(max_length=120, description="`id` of the last event that was read: goes on behind it.")
    ] = None,
) -> Response:
    """Return the events of a space as they are appended: messages, recalls, hubs, facts, and what was forgotten.

    Each has its position as `id`, its type as `event`, and as `data` the event as JSON with its words, where they were
    not erased. Events of one topic come in order. A stream ends when the gateway stops, an erasure begins or its
    key is revoked; go on with Last-Event-ID.
    """
    service, key = service_of(request), caller_of(request).key
    if last_event_id is not None and not re.fullmatch(_ID, last_event_id):
        raise BadInput("Last-Event-ID is no id of an event of this stream; leave it out to begin now")
    service.check_streams()
    after = last_event_id or (FIRST if begin == "first" else None)
    with service.memory() as memory:
        following = await Following.open(memory, f"{tenant}/{name}", None if after is None else positions_of(after))

    async def stream() -> AsyncIterator[bytes]:
        with service.streaming():
            yield b": helamem\n\n"
            async for part in following.parts(service):
                if key is not None and not service.holds(key):
                    return
                yield part

    return EventStream(stream(), headers={"X-Accel-Buffering": "no"})
