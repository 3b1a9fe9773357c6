"""The wire codec: CloudEvents 1.0 structured JSON, written and read by orjson, validated by msgspec.

Fields that this version does not know are ignored. Of a key that stands twice in an object the last one
counts, as in every common JSON reader. What `encode` writes, `decode` takes: both validate the same.
"""

# Annotations are evaluated here: msgspec reads them to validate.
import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import orjson
from msgspec import Meta, Struct

from helamem.schemas.complaints import invalid, named, not_json, surrogate_field
from helamem.schemas.errors import BadInput, ConfigurationError, Poison
from helamem.schemas.events import EVENT_TYPES, EventData, Name, RecordDeadLettered
from helamem.schemas.times import format_ms, to_ms
from helamem.schemas.upcast import UPCASTERS, Upcaster

MAX_RECORD_BYTES = 1_000_000
"""Largest encoded event but a dead letter; below the default limit of a Kafka broker."""
MAX_DEAD_LETTER_BYTES = 1_500_000
"""Largest dead letter: it repeats a whole record in base64, which takes a third more."""

Space = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}/[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}$(?!\n)", max_length=193)
]
"""`tenant/name`: what may be recalled together."""
TraceParent = Annotated[str, Meta(pattern="^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$", max_length=55)]
"""W3C trace context."""
T = TypeVar("T")


_PLAIN = re.compile(r"[A-Za-z0-9_.:@-]+")


def marker_of(id_: str) -> bytes:
    """Return bytes that stand in every record that names this id, to look for before decoding.

    They are none, which stand everywhere, where JSON writers differ in how they write it.
    """
    return id_.encode() if _PLAIN.fullmatch(id_) else b""


class Event(Struct, frozen=True, kw_only=True, gc=False):
    """One event with its envelope."""

    id: str
    """The same id again in the same partition is the same event again."""
    source: str
    """What wrote it, as a URI reference."""
    space: str
    time_ms: int
    """Event time, milliseconds since 1970."""
    data: EventData
    traceparent: str | None = None


class Envelope(Struct, frozen=True, kw_only=True):
    """The envelope as it stands on the wire; `data` is converted once its type is known."""

    specversion: Literal["1.0"]
    """Version of CloudEvents."""
    id: Name
    """The same id again in the same partition is the same event again."""
    source: Name
    """What wrote it, as a URI reference."""
    type: Name
    """Type of the event and version of its data."""
    time: Annotated[datetime, Meta(tz=True)]
    """Event time, RFC 3339 with a zone, from 1970 to 9999; kept to the millisecond."""
    subject: Space
    """The space, `tenant/name`: what may be recalled together."""
    data: dict[str, Any]
    traceparent: TraceParent | None = None
    """W3C trace context of what caused the event."""


class _Origin(Struct, frozen=True, kw_only=True):
    """What of an envelope is still to be checked when it is written."""

    id: Name
    source: Name
    traceparent: TraceParent | None = None


def encode(event: Event) -> bytes:
    """Return the event as bytes: sorted keys, so that the same event is always the same bytes.

    Raises:
        BadInput: `decode` would not take these bytes; names field and reason.
    """
    data_type = type(event.data)
    type_string = data_type.event_type
    if EVENT_TYPES.get(type_string) is not data_type:
        raise BadInput(f"{data_type.__name__} is not an event type of this version")
    try:
        data = msgspec.to_builtins(event.data)
        envelope = {
            "specversion": "1.0",
            "id": event.id,
            "source": event.source,
            "type": type_string,
            "time": format_ms(event.time_ms),
            "subject": _space(event.space),
            "data": data,
        }
        if event.traceparent is not None:
            envelope["traceparent"] = event.traceparent
        _convert(envelope, _Origin)
        _convert(data, data_type, "data")
        raw = orjson.dumps(envelope, option=orjson.OPT_SORT_KEYS)
    except Poison as poison:
        raise BadInput(str(poison)) from None
    except (TypeError, UnicodeEncodeError) as error:
        raise _unwritable(event, error) from None
    if len(raw) > _most_bytes(event.data):
        raise BadInput(_too_large(len(raw), _most_bytes(event.data)))
    return raw


def decode(raw: bytes, upcasters: Mapping[str, Upcaster] = UPCASTERS) -> Event:
    """Return the event that `raw` holds, brought up to the newest version of its type.

    Args:
        raw: One record's value.
        upcasters: Per old type string, what turns its data into the next version.

    Raises:
        Poison: Not JSON, not an envelope, an unknown type or invalid data; names field and reason.
        ConfigurationError: The upcasters lead in a circle.
    """
    if len(raw) > MAX_DEAD_LETTER_BYTES:  # parsing could cost much more memory than this
        raise Poison(_too_large(len(raw), MAX_RECORD_BYTES))
    try:
        builtins = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise not_json(raw, error) from None
    event = from_builtins(builtins, upcasters)
    if len(raw) > MAX_RECORD_BYTES and len(raw) > _most_bytes(event.data):
        raise Poison(_too_large(len(raw), MAX_RECORD_BYTES))
    return event


def from_builtins(builtins: object, upcasters: Mapping[str, Upcaster] = UPCASTERS) -> Event:
    """Return the event of an already parsed envelope; see `decode`."""
    envelope = _convert(builtins, Envelope)
    type_string, data = envelope.type, envelope.data
    if type_string in upcasters:
        type_string, data = _newest(type_string, data, upcasters)
    data_type = EVENT_TYPES.get(type_string)
    if data_type is None:
        known = ", ".join(EVENT_TYPES)
        raise Poison(f"{named(type_string)} is not an event type that this version knows; it knows {known}", "type")
    try:
        time_ms = to_ms(envelope.time)
    except BadInput as error:
        raise Poison(str(error), "time") from None
    return Event(
        id=envelope.id,
        source=envelope.source,
        space=envelope.subject,
        time_ms=time_ms,
        data=_convert(data, data_type, "data"),
        traceparent=envelope.traceparent,
    )


def _newest(type_string: str, data: dict[str, Any], upcasters: Mapping[str, Upcaster]) -> tuple[str, dict[str, Any]]:
    first = type_string
    for _ in range(len(upcasters)):  # a chain without a circle uses each at most once
        try:
            type_string, data = upcasters[type_string](data)
        except Exception as error:  # whatever an old record lacks, it is the record that is at fault
            raise Poison(f"cannot be read as {type_string} ({type(error).__name__})", "data") from error
        if type_string not in upcasters:
            return type_string, data
    raise ConfigurationError(f"the upcasters of {first} lead in a circle; each must lead to a newer version")


@lru_cache(maxsize=65_536)  # matching the pattern costs as much as all other checks of an envelope together
def _space(text: str) -> str:
    return _convert(text, Space, "subject")


def _convert(builtins: object, into: type[T], at: str = "") -> T:
    try:
        return msgspec.convert(builtins, into)
    except msgspec.ValidationError as error:
        raise invalid(error, at) from None


def _most_bytes(data: EventData) -> int:
    return MAX_DEAD_LETTER_BYTES if isinstance(data, RecordDeadLettered) else MAX_RECORD_BYTES


def _too_large(size_bytes: int, most_bytes: int) -> str:
    return f"the event has {size_bytes:,} bytes; at most {most_bytes:,} are taken"


def _unwritable(event: Event, error: Exception) -> BadInput:
    """Return what keeps an event from being JSON: half a surrogate pair, or a foreign type such as NumPy's."""
    try:
        field = surrogate_field(msgspec.to_builtins(event), "event")
    except TypeError:
        field = None
    if field is not None:
        field = field.removeprefix("event.")
        return BadInput(f"{field}: holds half of a surrogate pair, which UTF-8 cannot write; remove it and try again")
    return BadInput(f"the event cannot be written as JSON: {error}")
