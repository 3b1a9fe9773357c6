"""What lineage reads of a log: the events of one space, as the processors took them, up to where the log ended."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from msgspec import UNSET

from helamem.processors.coactivation.processor import GROUP as CO_ACTIVATION
from helamem.processors.consolidation.processor import GROUP as CONSOLIDATION
from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.processors.encoding.unsealing import NO_CLAIM, Erased, Unsealer, Words, words_of
from helamem.processors.port import Delivery
from helamem.schemas.errors import BadInput, ConfigurationError, Poison
from helamem.schemas.events import ConversationMessage, KnowledgeDistilled, MemoryRecalled, Wordy
from helamem.schemas.ids import memory_id
from helamem.schemas.records import Position, Record, TopicPartition, base_name_of, generation_of
from helamem.schemas.settings import Settings
from helamem.schemas.times import format_ms
from helamem.schemas.topics import CONTROL, CONVERSATIONS, FACTS, HUBS, RECALLS, TOPICS, TopicSpec
from helamem.schemas.wire import Event, decode, marker_of
from helamem.streams.dead_letters import read_dead_letters
from helamem.streams.log.partitioner import partition_of
from helamem.streams.log.port import Log
from helamem.streams.placement import check_place
from helamem.streams.sealing.erasures import read_erased
from helamem.streams.sealing.opening import opener
from helamem.streams.settings_log import settings_in_force

READERS = {
    CONVERSATIONS.base_name: ENCODING,
    FACTS.base_name: ENCODING,
    CONTROL.base_name: ENCODING,
    RECALLS.base_name: CO_ACTIVATION,
    HUBS.base_name: CONSOLIDATION,
}
"""Per topic, whose processor folds it."""
ERASED = "[erased]"
"""Stands where words were."""
_PAGE = 1000


class Letter(NamedTuple):
    """Why a record was put aside."""

    group: str
    reason: str


class Found(NamedTuple):
    """One event and where it stands."""

    event: Event
    partition: TopicPartition
    offset: int
    append_time_ms: int
    sha256: str
    """Of the record's bytes, in hexadecimal."""
    words: str = ""
    """What was said, asked or distilled, or `ERASED`."""

    @property
    def described(self) -> dict[str, Any]:
        """The event and its record, as they are printed."""
        return {
            "event_type": self.event.data.event_type,
            "time": format_ms(self.event.time_ms),
            "record": {
                "topic": self.partition.topic,
                "partition": self.partition.partition,
                "offset": self.offset,
                "append_time": format_ms(self.append_time_ms),
                "sha256": self.sha256,
            },
        }


class LogReader:
    """Reads a log for lineage; made by `LogReader.open`. What is appended later is not looked at.

    Attributes:
        settings: In force at the end of the log; what holds in a partition before its first `settings.applied`.
        letters: Per position the dead letters that name it.
        erased: What the log says was erased.
    """

    def __init__(
        self,
        log: Log,
        ends: Mapping[TopicPartition, int],
        settings: Settings,
        letters: Mapping[tuple[TopicPartition, int], list[Letter]],
        *,
        erased: Erased,
        unsealer: Unsealer,
    ) -> None:
        self.settings = settings
        self.letters = letters
        self.erased = erased
        self._unsealer = unsealer
        self._log = log
        self._ends = ends

    @classmethod
    async def open(cls, log: Log, keys: Path | None = None) -> Self:
        """Begin to read a log.

        Args:
            log: The log.
            keys: Directory of the keys that open sealed words, or None where there are none.

        Raises:
            BadInput: It is empty.
        """
        ends = await log.end_offsets([p for spec in TOPICS for p in await log.partitions(spec.name)])
        settings = await settings_in_force(log, {})
        if settings is None:
            raise BadInput("the log is empty; name the home, or the Kafka, that has one")
        letters: dict[tuple[TopicPartition, int], list[Letter]] = {}
        async for one in read_dead_letters(log):
            at = TopicPartition(one.topic, one.partition), one.offset
            letters.setdefault(at, []).append(Letter(one.group, one.reason))
        erased = await read_erased(log)
        return cls(log, ends, settings, letters, erased=erased, unsealer=opener(keys, erased))

    async def events(
        self, topic: TopicSpec, space: str | None, *, naming: str | None = None, put_aside: bool = False
    ) -> AsyncIterator[Found]:
        """Yield the events of a topic, in order, as its processor takes them.

        Args:
            topic: The topic.
            space: Whose; only its partition is read. None reads all partitions.
            naming: Only events in which this id stands somewhere; others may be among them.
            put_aside: Also those that its processor put aside, or will: they stand in the dead letters, or do not
                belong into the topic.
        """
        marker = b"" if naming is None else marker_of(naming)
        count = len(await self._log.partitions(topic.name))
        for partition in await self._partitions(topic, space):
            async for record in self._records(partition):
                if marker not in record.value:
                    continue
                if not put_aside and self.is_put_aside(partition, record.offset):
                    continue
                event = _event(record, None if put_aside else topic, count)
                if event is not None and (space is None or event.space == space):
                    yield self.found(event, record)

    async def recalls(self, space: str) -> AsyncIterator[tuple[Record, Delivery]]:
        """Yield every event in the space's partition of recalls that co-activation takes, other spaces' too.

        What it takes depends on the ids that the whole partition has seen.
        """
        async for record, delivery in self.records(await self.place(RECALLS, space), RECALLS):
            if delivery is not None:
                yield record, delivery

    async def place(self, topic: TopicSpec, space: str) -> TopicPartition:
        """Return the partition of a topic in which a space stands."""
        (partition,) = await self._partitions(topic, space)
        return partition

    def end_of(self, partition: TopicPartition) -> int:
        """Return the offset up to which a partition is read."""
        return self._ends[partition]

    async def records(
        self, partition: TopicPartition, topic: TopicSpec, begin: int = 0, end: int | None = None, *, key: bytes = b""
    ) -> AsyncGenerator[tuple[Record, Delivery | None]]:
        """Yield every record of a partition, with what the topic's processor takes of it: None where that is nothing.

        Args:
            partition: The partition.
            topic: Its topic.
            begin: The first offset.
            end: The first one that is not yielded any more; None is where the log ended.
            key: Where it is not empty, of records of other spaces nothing is taken.
        """
        count, generation = len(await self._log.partitions(topic.name)), generation_of(partition.topic)
        async for record in self._records(partition, begin, end):
            event = None
            if (not key or record.key == key) and not self.is_put_aside(partition, record.offset):
                event = _event(record, topic, count)
            if event is None:
                yield record, None
            else:
                position = Position(generation, record.offset)
                yield record, Delivery(position=position, event=event, value=record.value)

    def found(self, event: Event, record: Record) -> Found:
        """Return an event with its place, and with its words as far as they can be read."""
        return Found(
            event,
            TopicPartition(record.topic, record.partition),
            record.offset,
            record.append_time_ms,
            hashlib.sha256(record.value).hexdigest(),
            _shown(event, self.words(event, record.append_time_ms)),
        )

    def words(self, event: Event, append_time_ms: int) -> Words:
        """Return what was said, asked or distilled, as far as it can be read.

        A question may say anything about anybody: with an erasure in the space all go that the log took before it.
        """
        match event.data:
            case ConversationMessage(message_id=message_id):
                thing = memory_id(event.space, message_id)
            case KnowledgeDistilled(fact_id=fact):
                thing = fact
            case MemoryRecalled(sealed=sealed):  # of those that are sealed their keys say it
                if sealed is UNSET and self.erased.asked_before(event.space, append_time_ms):
                    return Words(None, erased=True)
                thing = ""
            case _:
                return Words("", erased=False)
        if self.erased.has(event.space, thing):
            return Words(None, erased=True)
        claim = NO_CLAIM
        try:
            words = self._unsealer.open(event)
            if words is not None and isinstance(event.data, KnowledgeDistilled):
                claim = self._unsealer.claim(event)
        except (ConfigurationError, Poison):  # the keys are elsewhere: where it came from can be told all the same
            return Words(None, erased=False)
        return Words(words, erased=words is None, claim=claim)

    def is_put_aside(self, partition: TopicPartition, offset: int) -> bool:
        """Return whether the processor of this topic put the record aside: where it stands it has no effect."""
        group = READERS.get(base_name_of(partition.topic))
        return any(letter.group == group for letter in self.letters.get((partition, offset), ()))

    async def _partitions(self, topic: TopicSpec, space: str | None) -> list[TopicPartition]:
        partitions = await self._log.partitions(topic.name)
        return partitions if space is None else [partitions[partition_of(space.encode(), len(partitions))]]

    async def _records(
        self, partition: TopicPartition, begin: int = 0, end: int | None = None
    ) -> AsyncIterator[Record]:
        offset = max(begin, (await self._log.begin_offsets([partition]))[partition])
        end = self._ends[partition] if end is None else end
        while records := await self._log.read(partition, offset, end=end, limit=_PAGE):
            offset = records[-1].offset + 1
            for record in records:
                yield record


def _event(record: Record, topic: TopicSpec | None, partitions: int) -> Event | None:
    """Return the event of a record, or None where it is none, or out of its place in this topic: that is put aside."""
    try:
        event = decode(record.value)
        if topic is not None:
            check_place(TopicPartition(record.topic, record.partition), record.key, event, partitions)
    except Poison:
        return None
    return event if topic is None or isinstance(event.data, topic.events) else None


def _shown(event: Event, words: Words) -> str:
    if words.erased:
        return ERASED
    return words_of(event.data) if words.text is None and isinstance(event.data, Wordy) else words.text or ""
