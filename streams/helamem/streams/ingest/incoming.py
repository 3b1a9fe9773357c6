"""What a file holds, line by line: events to append, and lines that cannot be taken with the reason."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from helamem.schemas.errors import BadInput, Poison
from helamem.schemas.events import ConversationMessage
from helamem.schemas.ids import derived_id
from helamem.schemas.records import NewRecord
from helamem.schemas.topics import topic_of
from helamem.schemas.traceparent import headers_of
from helamem.schemas.wire import Event, decode, encode, from_builtins

SOURCE = "helamem/ingest"


class Incoming(Struct, frozen=True, kw_only=True):
    """One record to append, and how far into the file it ends."""

    record: NewRecord
    space: str
    read_bytes: int


class BadLine(Struct, frozen=True, kw_only=True):
    """One line that cannot be taken."""

    line: int
    """Counted from 1."""
    reason: str
    read_bytes: int


def message_event(space: object, time: object, data: dict[str, Any]) -> Event:
    """Return the event of a message that was given as plain data.

    Its id follows from space and message id, so that a file which is ingested twice repeats its events.

    Raises:
        Poison: Names the field and the reason; envelope fields by the names that the plain data uses.
    """
    try:
        return from_builtins(
            {
                "specversion": "1.0",
                "id": derived_id("message", str(space), str(data.get("message_id"))),
                "source": SOURCE,
                "type": ConversationMessage.event_type,
                "time": time,
                "subject": space,
                "data": data,
            }
        )
    except Poison as poison:
        field = (poison.field or "").removeprefix("data.").replace("subject", "space")
        raise Poison(poison.reason, field or None) from None


def carrying(record: NewRecord, traceparent: str | None) -> NewRecord:
    """Return a message's record with a trace context, where it has none and has room for it."""
    if traceparent is None or (event := decode(record.value)).traceparent is not None:
        return record
    try:
        return record_of(replace(event, traceparent=traceparent))
    except BadInput:  # it is as large as a record may be
        return record


def record_of(event: Event) -> NewRecord:
    """Return the record that carries an event.

    Raises:
        BadInput: The event is too large for a record.
    """
    return NewRecord(
        topic=topic_of(event.data).name,
        key=event.space.encode(),
        value=encode(event),
        headers=headers_of(event.traceparent),
    )
