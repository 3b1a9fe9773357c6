"""Reading a topic as it is to be copied: whole records, of all partitions, in an order that is always the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition as KafkaPartition
from msgspec import Struct

from helamem.schemas.errors import ConfigurationError
from helamem.schemas.records import ORIGIN, TopicPartition
from helamem.schemas.settings import Settings
from helamem.streams.log.kafka_connection import Consumers, close_consumer
from helamem.streams.log.kafka_errors import FAILURES, explained
from helamem.streams.log.kafka_reader import FETCH_BYTES
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.settings_log import settings_of

Header = tuple[str, bytes]
_POLL_MS = 1000


class Original(Struct, frozen=True, kw_only=True):
    """One record with all that Kafka keeps of it, but for what a migration before this one has added."""

    at: TopicPartition
    offset: int
    time_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]


async def originals(settings: KafkaSettings, at: TopicPartition, begin: int, end: int) -> AsyncIterator[Original]:
    """Yield the records of a partition between two offsets.

    Raises:
        RetryLater: Kafka is away.
        ConfigurationError: Kafka refuses access.
    """
    if begin >= end:
        return
    consumers = Consumers(settings)
    try:
        consumer = await consumers.open(max_partition_fetch_bytes=FETCH_BYTES, fetch_max_bytes=FETCH_BYTES)
        try:
            partition = KafkaPartition(*at)
            consumer.assign([partition])
            consumer.seek(partition, begin)
            position = begin
            while position < end:
                async with asyncio.timeout(settings.timeout_s):
                    messages = await _fetch(consumer, partition, position)
                for message in messages:
                    if message.offset >= end:
                        return
                    yield Original(
                        at=at,
                        offset=message.offset,
                        time_ms=message.timestamp,
                        key=message.key,
                        value=message.value,
                        headers=tuple((name, value) for name, value in message.headers if name != ORIGIN),
                    )
                position = await consumer.position(partition)
        finally:
            await close_consumer(consumer)
    except FAILURES as error:
        raise explained(error, f"reading {at}", settings) from error
    finally:
        await consumers.close()


async def _fetch(consumer: AIOKafkaConsumer, partition: KafkaPartition, position: int) -> list[Any]:
    while True:
        found = await consumer.getmany(partition, timeout_ms=_POLL_MS)
        if found or await consumer.position(partition) > position:
            return list(found.get(partition, ()))


class _Head:
    """The next record of one partition."""

    def __init__(self, records: AsyncIterator[Original]) -> None:
        self._records = records
        self.record: Original | None = None
        self.settings: Settings | None = None

    async def advance(self, *, governed: bool) -> None:
        self.record = await anext(self._records, None)
        value = self.record.value if self.record is not None and governed else None
        self.settings = None if value is None else settings_of(value)


async def merged(
    settings: KafkaSettings, ranges: Mapping[TopicPartition, tuple[int, int]], *, governed: bool
) -> AsyncIterator[tuple[Original, bool]]:
    """Yield the records of a topic, and whether one is settings, which are for every partition.

    Those of one partition stay in order; those of several are taken by the time at which the log took them. Settings
    are in every partition and are yielded once: after all that stood before them and before all that stood after.
    The order depends on the records alone.

    Args:
        settings: How to reach Kafka.
        ranges: Where to begin and to end, by partition.
        governed: Whether settings stand in this topic.

    Raises:
        ConfigurationError: The partitions are not governed by the same settings.
        RetryLater: Kafka is away.
    """
    heads = [_Head(originals(settings, at, *ends)) for at, ends in sorted(ranges.items())]
    for head in heads:
        await head.advance(governed=governed)
    in_force: Settings | None = None
    while True:
        again = [head for head in heads if head.settings is not None and head.settings == in_force]
        if again:  # a try to apply them that failed in the middle was repeated
            await again[0].advance(governed=governed)
            continue
        ready = [head for head in heads if head.record is not None and head.settings is None]
        if ready:
            first = min(ready, key=_age)
            assert first.record is not None
            yield first.record, False
            await first.advance(governed=governed)
            continue
        if all(head.record is None for head in heads):
            return
        in_force = _agreed(heads)
        assert heads[0].record is not None
        yield heads[0].record, True
        for head in heads:
            await head.advance(governed=governed)


def _age(head: _Head) -> tuple[int, int]:
    assert head.record is not None
    return head.record.time_ms, head.record.at.partition


def _agreed(heads: Sequence[_Head]) -> Settings:
    """Return the settings that come next in every partition."""
    first = next(head for head in heads if head.record is not None)
    assert first.record is not None
    assert first.settings is not None
    if any(head.settings != first.settings for head in heads):
        raise ConfigurationError(
            f"the settings at offset {first.record.offset} of {first.record.at} are not those of all partitions of that"
            " topic, so nobody can say what governs which record after a migration; apply the same settings to all"
        )
    return first.settings
