"""What Faust hands over, as our records and events: bytes only, so nothing in a record can upset Faust's stream."""

from __future__ import annotations

from faust import Schema
from faust.types import AppT, EventT, Message

from helamem.processors.port import Delivery
from helamem.schemas.records import Position, Record, TopicPartition, generation_of
from helamem.schemas.wire import decode


class RawSchema(Schema[bytes, bytes]):
    """Keys and values as bytes. Faust throws what its own decoders raise into the agent, which ends its loop."""

    def loads_key(self, app: AppT, message: Message, **_: object) -> bytes:  # noqa: ARG002 - Faust's
        """Return the key; a record without one has an empty one."""
        return message.key or b""

    def loads_value(self, app: AppT, message: Message, **_: object) -> bytes:  # noqa: ARG002 - Faust's
        """Return the value; a record without one has an empty one, which no event is."""
        return message.value or b""


class Arrival(Delivery, frozen=True, kw_only=True):
    """One decoded record and where it came from."""

    partition: TopicPartition


def record_of(event: EventT[bytes]) -> Record:
    """Return what Faust delivered as a record."""
    message = event.message
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        append_time_ms=round((message.timestamp or 0.0) * 1000),  # Faust made seconds of Kafka's milliseconds
        key=message.key or b"",
        value=message.value or b"",
    )


def arrival_of(record: Record) -> Arrival:
    """Return a record decoded.

    Raises:
        Poison: It holds no event that this version knows.
    """
    return Arrival(
        partition=TopicPartition(record.topic, record.partition),
        position=Position(generation_of(record.topic), record.offset),
        event=decode(record.value),
        value=record.value,
    )
