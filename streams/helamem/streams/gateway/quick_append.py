"""The usual append of one message, answered without the web framework: that takes several times as long as the append.

Only what is plainly right is answered here. Whatever else comes, wrong or merely rare, goes to the framework's own
route (`routes/messages.py`) as if nobody had looked at it, so there is one place that says what is wrong.
"""

# Annotations are evaluated here: msgspec reads them to decode.
import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from helamem.schemas.errors import BadInput
from helamem.schemas.events import MAX_TEXT, MOST_SUBJECTS
from helamem.schemas.events import Name as NameText
from helamem.schemas.times import from_ms, parse_time
from helamem.streams.appending import Appended
from helamem.streams.async_memory import Message as Said
from helamem.streams.gateway.callers import SCOPE, Caller
from helamem.streams.gateway.fields import NAME, TENANT
from helamem.streams.gateway.guarded import ROUTE
from helamem.streams.gateway.rights import NEEDED
from helamem.streams.gateway.routes.messages import MESSAGES, append_keyed
from helamem.streams.gateway.service import Service

_PATH = re.compile(f"/v1/spaces/({TENANT})/({NAME})/messages")
_LONGEST_KEY = 255


class _MessageIn(Struct, forbid_unknown_fields=True):
    """What `requests.MessageIn` takes."""

    conversation: NameText
    speaker: NameText
    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    time: str | None = None
    role: Literal["user", "agent"] = "user"
    message_id: NameText | None = None
    data_subjects: Annotated[list[NameText], Meta(min_length=1, max_length=MOST_SUBJECTS)] | None = None


class _Position(Struct):
    topic: str
    partition: int
    offset: int


class _MessageAppended(Struct):
    """What `answers.MessageAppended` says."""

    message_id: str
    memory_id: str
    position: _Position
    repeated: bool
    searchable: None = None


_decoder = msgspec.json.Decoder(_MessageIn)
_encoder = msgspec.json.Encoder()


class QuickAppend:
    """An ASGI application before the framework's.

    Args:
        app: The framework's.
        service: What endpoints share.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Append a message, or hand the request on."""
        usual = scope["type"] == "http" and scope["method"] == "POST" and not scope["query_string"]
        path = _PATH.fullmatch(scope["path"]) if usual else None
        if path is None:
            await self._app(scope, receive, send)
            return
        space = f"{path[1]}/{path[2]}"
        caller: Caller = scope[SCOPE]
        may = caller.has(NEEDED["POST", MESSAGES]) and caller.covers(space)
        plain, key = _looked_at(scope)
        if not (may and plain):
            await self._app(scope, receive, send)
            return
        scope[ROUTE] = MESSAGES  # also of a body that turns out to be too large
        parts = [await receive()]
        while parts[-1].get("more_body", False) and parts[-1]["type"] == "http.request":
            parts.append(await receive())
        said = _message(b"".join(part.get("body", b"") for part in parts), space)
        if said is None or parts[-1]["type"] != "http.request":
            await self._app(scope, _again(parts, receive), send)
            return
        ((appended,), _) = await append_keyed(self._service, caller, space, [said], key=key, searchable=False)
        body = _encoder.encode(_answer(appended))
        await send(
            {
                "type": "http.response.start",
                "status": 200 if appended.repeated else 201,
                "headers": [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")],
            }
        )
        await send({"type": "http.response.body", "body": body})


def _looked_at(scope: Scope) -> tuple[bool, str | None]:
    """Return whether the headers are those of the usual request, and the idempotency key among them."""
    kinds: list[bytes] = []
    keys: list[bytes] = []
    for name, value in scope["headers"]:
        if name == b"content-type":
            kinds.append(value)
        elif name == b"idempotency-key":
            keys.append(value)
    if kinds != [b"application/json"] or len(keys) > 1 or not all(0 < len(key) <= _LONGEST_KEY for key in keys):
        return False, None
    return True, keys[0].decode("latin-1") if keys else None


def _message(body: bytes, space: str) -> Said | None:
    """Return the message that a body is, or None where something is wrong with it."""
    try:
        said = _decoder.decode(body)
        time = None if said.time is None else from_ms(parse_time(said.time))
        body.decode()
    except (msgspec.MsgspecError, BadInput, UnicodeError):
        return None
    return Said(
        space=space,
        conversation=said.conversation,
        speaker=said.speaker,
        text=said.text,
        time=time,
        role=said.role,
        message_id=said.message_id,
        data_subjects=tuple(said.data_subjects or ()),
    )


def _answer(appended: Appended) -> _MessageAppended:
    return _MessageAppended(
        message_id=appended.message_id,
        memory_id=appended.memory_id,
        position=_Position(appended.partition.topic, appended.partition.partition, appended.offset),
        repeated=appended.repeated,
    )


def _again(parts: list[Message], receive: Receive) -> Receive:
    """Return what gives the parts of a body once more, and then what follows."""
    left = iter(parts)

    async def read() -> Message:
        part = next(left, None)
        return await receive() if part is None else part

    return read
