"""Appending what was said."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from helamem.schemas.errors import BadInput
from helamem.schemas.ids import derived_id
from helamem.streams.appending import Admitting, Appended
from helamem.streams.async_memory import Message
from helamem.streams.gateway.answers import AppendedOut, BatchAppended, MessageAppended, StreamAppended
from helamem.streams.gateway.callers import Caller, caller_of
from helamem.streams.gateway.fields import IdempotencyKey, NamePath, TenantPath
from helamem.streams.gateway.keys import ApiKey
from helamem.streams.gateway.lines import append_stream
from helamem.streams.gateway.problems import Problem
from helamem.streams.gateway.requests import BatchIn, MessageIn
from helamem.streams.gateway.service import Service, service_of
from helamem.streams.gateway.token import Token

SEARCHABLE_S = 10.0
"""How long `wait=searchable` waits."""
NDJSON = "application/x-ndjson"
MESSAGES = "/v1/spaces/{tenant}/{name}/messages"
_LINE = (
    '{"space": "acme/mira", "conversation": "monday", "message_id": "monday:1", "speaker": "Mira", '
    '"text": "We have moved from Lisbon to Bergen.", "time": "2025-05-12T18:00:00Z"}\n'
)

_Answers = dict[int | str, dict[str, Any]]
Wait = Annotated[
    Literal["searchable"] | None,
    Query(
        description=f"Answer when what was appended can be recalled, or after {SEARCHABLE_S:.0f} s; `searchable` in "
        "the answer says which. Left out, the answer comes when it is durable."
    ),
]


def register(router: APIRouter) -> None:
    """Add the endpoints."""
    one: _Answers = {200: {"description": "It was there already.", "model": MessageAppended}}
    several: _Answers = {200: {"description": "All of it was there already.", "model": BatchAppended}}
    router.post(MESSAGES, status_code=HTTPStatus.CREATED, summary="Append a message", responses=one)(append)
    router.post(
        f"{MESSAGES}/batch", status_code=HTTPStatus.CREATED, summary="Append messages of a space", responses=several
    )(append_batch)
    router.post(
        "/v1/messages/stream",
        summary="Append any number of messages",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {NDJSON: {"schema": {"type": "string"}, "example": _LINE}},
            }
        },
    )(stream)


async def append(
    request: Request,
    response: Response,
    *,
    tenant: TenantPath,
    name: NamePath,
    said: MessageIn,
    wait: Wait = None,
    idempotency_key: IdempotencyKey = None,
) -> MessageAppended:
    """Append a message; it is durable when this is answered. The same id or Idempotency-Key again appends nothing."""
    space = f"{tenant}/{name}"
    (appended,), searchable = await _append(
        request, response, space, [said], searchable=wait is not None, key=idempotency_key
    )
    return MessageAppended(**dict(AppendedOut.of(appended)), searchable=searchable)


async def append_batch(
    request: Request,
    response: Response,
    *,
    tenant: TenantPath,
    name: NamePath,
    batch: BatchIn,
    wait: Wait = None,
    idempotency_key: IdempotencyKey = None,
) -> BatchAppended:
    """Append messages in order, all or none; they are durable when this is answered."""
    space = f"{tenant}/{name}"
    appended, searchable = await _append(
        request, response, space, batch.messages, searchable=wait is not None, key=idempotency_key
    )
    return BatchAppended(messages=[AppendedOut.of(one) for one in appended], searchable=searchable)


async def stream(request: Request) -> StreamAppended:
    """Append messages, one JSON object a line (`application/x-ndjson`), of any number and of several spaces.

    A line is a message with `space`, `conversation`, `message_id`, `speaker`, `text` and `time`. Lines that cannot be
    taken are told, and the others appended; a retry of the same lines has no further effect. Where the log goes away
    in between, the answer is 503 and what was read so far is safe.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != NDJSON:
        raise Problem(415, "not-json-lines", f"the body must be {NDJSON}, a JSON object a line; set Content-Type")
    return await append_stream(service_of(request), request.stream(), caller_of(request))


def _counted(service: Service, key: ApiKey | Token | None) -> Admitting:
    """Return what counts messages of a key towards its tenant's quota: those alone that are not in the log yet."""
    if key is None:
        return nullcontext
    tenant = key.tenant
    return lambda fresh: service.quotas.taking(tenant, [len(one.text.encode("utf-8", "replace")) for one in fresh])


async def _append(
    request: Request,
    response: Response,
    space: str,
    said: Sequence[MessageIn],
    *,
    searchable: bool,
    key: str | None,
) -> tuple[list[Appended], bool | None]:
    messages = [one.message(space) for one in said]
    appended, in_time = await append_keyed(
        service_of(request), caller_of(request), space, messages, key=key, searchable=searchable
    )
    if all(one.repeated for one in appended):
        response.status_code = HTTPStatus.OK
    return appended, in_time


async def append_keyed(
    service: Service, caller: Caller, space: str, said: Sequence[Message], *, key: str | None, searchable: bool
) -> tuple[list[Appended], bool | None]:
    """Append messages of a space, and wait until they can be recalled where that is asked for.

    Args:
        service: What endpoints share.
        caller: Who asks; their right has been looked at.
        space: Of all of them.
        said: The messages; those without an id get one by the idempotency key and their place.
        key: The idempotency key, or None.
        searchable: Whether to wait.

    Returns:
        Where each stands, and whether all can be recalled; None where nobody asked.
    """
    if searchable and not service.behind.processed:
        raise BadInput("this gateway processes nothing, so nothing becomes searchable; leave `wait` out")
    if key is not None:
        ids = [derived_id("idempotency", space, str(place), key) for place in range(len(said))]
        said = [
            replace(one, message_id=id_) if one.message_id is None else one for one, id_ in zip(said, ids, strict=True)
        ]
    with service.memory() as memory:
        appended = await memory.append_once(said, _counted(service, caller.key))
        return appended, await memory.searchable(appended, SEARCHABLE_S) if searchable else None
