"""Dead letters: records that could not be processed, put aside with their bytes, position and reason."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

from helamem.schemas.errors import HelamemError, Poison
from helamem.schemas.events import RecordDeadLettered
from helamem.schemas.ids import derived_id
from helamem.schemas.records import NewRecord, Record, TopicPartition, generation_of
from helamem.schemas.topics import DEAD_LETTERS
from helamem.schemas.wire import Event, decode, encode
from helamem.streams.log.port import Log
from helamem.streams.logs import told

SPACE = "helamem/dead-letters"
"""Subject of dead letters: a poison record's own space may be unreadable."""
_PAGE = 500


def letter_id(group: str, topic: str, partition: int, offset: int) -> str:
    """Return the id of the dead letter of a group for the record that stands there."""
    return derived_id("dead-letter", group, topic, str(partition), str(offset))


def dead_letter(group: str, record: Record, poison: Poison) -> NewRecord:
    """Return the dead letter of a record that `group` could not process.

    Its id depends on group and position alone: the same record put aside twice is one dead letter.
    """
    event = Event(
        id=letter_id(group, record.topic, record.partition, record.offset),
        source=f"helamem/{group}",
        space=SPACE,
        time_ms=record.append_time_ms,
        data=RecordDeadLettered(
            group=group,
            topic=record.topic,
            partition=record.partition,
            generation=generation_of(record.topic),
            offset=record.offset,
            # Whatever an error says of a record, it must not be what keeps the record from being put aside.
            reason=_writable(poison.reason)[:2000] or "no reason was given",
            field=None if poison.field is None else _writable(poison.field),
            key_base64=base64.b64encode(record.key).decode(),
            value_base64=base64.b64encode(record.value).decode(),
        ),
    )
    return NewRecord(topic=DEAD_LETTERS.name, key=record.key, value=encode(event))


def unforeseen(error: Exception) -> Poison:
    """Return why a record cannot be taken at which something failed that is no fault of it by our own words.

    What a stranger's exception says stays out: it may quote the record.
    """
    if isinstance(error, Poison):
        return error
    return Poison(str(error) if isinstance(error, HelamemError) else told(error))


def _writable(text: str) -> str:
    """Return a text that UTF-8 can write."""
    return text.encode(errors="replace").decode()


async def dead_letter_events(log: Log) -> AsyncIterator[tuple[Record, Event]]:
    """Yield every dead letter in the log with its record, each position of a group once; others are passed over."""
    seen: set[str] = set()
    for partition in await log.partitions(DEAD_LETTERS.name):
        offset = (await log.begin_offsets([partition]))[partition]
        while records := await log.read(partition, offset, limit=_PAGE):
            offset = records[-1].offset + 1
            for record in records:
                try:
                    event = decode(record.value)
                except Poison:
                    continue
                if event.id not in seen and isinstance(event.data, RecordDeadLettered):
                    seen.add(event.id)
                    yield record, event


async def read_dead_letters(log: Log) -> AsyncIterator[RecordDeadLettered]:
    """Yield what every dead letter says, each position of a group once."""
    async for _, event in dead_letter_events(log):
        assert isinstance(event.data, RecordDeadLettered)
        yield event.data


async def dead_positions(log: Log, group: str) -> dict[TopicPartition, set[int]]:
    """Return the offsets that a group has put aside, by partition: it never takes them again where they stand."""
    positions: dict[TopicPartition, set[int]] = {}
    async for letter in read_dead_letters(log):
        if letter.group == group:
            positions.setdefault(TopicPartition(letter.topic, letter.partition), set()).add(letter.offset)
    return positions
