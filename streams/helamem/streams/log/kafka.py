"""`KafkaLog`: the fleet's log, for producers, replay, audits and tools."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from aiokafka.structs import TopicPartition as KafkaPartition

from helamem.schemas.errors import RetryLater
from helamem.schemas.records import NewRecord, Record, TopicPartition
from helamem.schemas.topics import TopicSpec
from helamem.streams.log.kafka_appender import Appender
from helamem.streams.log.kafka_connection import Connection, Consumers, close_consumer
from helamem.streams.log.kafka_generations import checked_topics
from helamem.streams.log.kafka_groups import GroupPositions
from helamem.streams.log.kafka_reader import Cursors
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.partitioner import Partitioner

LOOK_AGAIN_S = 0.1
"""How often a wait looks again where there is nothing yet to fetch from."""


class KafkaLog:
    """A `Log` over topics in Kafka. It belongs to the event loop that opened it.

    What Kafka gives and what it does not:

    - An append is acknowledged when all in-sync replicas have it. What is wrong with a record is found before
      anything is sent, so then nothing is appended.
    - When Kafka fails in the middle, an append of several records may be in the log in part, or whole without its
      caller knowing: `RetryLater` says "append all of it again". Readers skip an event id that they have seen, so
      doubles do nothing; within a partition the order of first appearance is the order of the append.
    - Offsets are dense unless somebody else writes to a topic in transactions.
    - Append times are the broker's clock and go back where that clock, or that of a new leader, does.
    - Positions of a group are kept while Kafka keeps them (`offsets.retention.minutes` after the last commit).
    """

    def __init__(self, settings: KafkaSettings, topics: Sequence[TopicSpec]) -> None:
        self._settings = settings
        self._partitioner = Partitioner(topics)
        self._all = [partition for spec in topics for partition in self._partitioner.partitions(spec.name)]
        self._appender = Appender(settings)
        self._consumers = Consumers(settings)
        self._cursors = Cursors(settings, self._consumers)
        self._lookups = Connection(settings, lambda _: self._consumers.open(), close_consumer)
        self._groups = GroupPositions(settings)

    @classmethod
    async def open(cls, settings: KafkaSettings, topics: Sequence[TopicSpec]) -> Self:
        """Open a log over topics that exist, in the generation in use.

        Raises:
            RetryLater: Kafka is away.
            ConfigurationError: A topic is missing or has another number of partitions; or Kafka refuses access.
        """
        return cls(settings, await checked_topics(settings, topics))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def append(self, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """Append records in order and return where they are, once all in-sync replicas have them.

        It waits while `max_pending_bytes` are under way.

        Raises:
            BadInput: A topic or partition that does not exist, or a record over the size limit; nothing was appended.
            RetryLater: Kafka is away. Some of the records may be appended; append all of them again.
            ConfigurationError: Kafka will never take them as things are.
        """
        placed = [(self._partitioner.place(record), record) for record in records]
        return await self._appender.append(placed) if placed else []

    async def read(
        self, partition: TopicPartition, start: int, *, end: int | None = None, limit: int = 1000
    ) -> list[Record]:
        """Return records of one partition in order; fewer than `limit` where a fetch brought fewer.

        Raises:
            BadInput: There is no such partition.
            RetryLater: Kafka is away.
            ConfigurationError: The partition no longer holds `start`, or Kafka refuses access.
        """
        self._partitioner.check(partition)
        start = max(start, 0)
        if limit <= 0 or (end is not None and end <= start):
            return []
        known_end = self._cursors.known_end(partition, start)
        if known_end <= start:
            known_end = (await self.end_offsets([partition]))[partition]
        if known_end <= start:
            return []
        async with self._cursors.at(partition, start) as cursor:
            await self._cursors.fetch(cursor, known_end if end is None else min(end, known_end))
            return cursor.take(end, limit)

    async def wait_for_append(self, after: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """Wait for a record at or past the given offsets; it ends some milliseconds after one was appended anywhere.

        While Kafka is away there is nothing to read: it looks again until the time is over and returns False, and the
        next `read` says why.

        Raises:
            BadInput: There is no such partition.
            ConfigurationError: A partition no longer holds an offset, or Kafka refuses access.
        """
        self._partitioner.check(*after)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        with contextlib.suppress(RetryLater):
            ends = await self.end_offsets(list(after))
            for at, offset in after.items():
                if ends[at] > offset and await self._has_record(at, offset, ends[at]):
                    return True
        waiting = {asyncio.create_task(self._until_record(at, offset)) for at, offset in after.items()}
        try:
            left_s = max(0.0, deadline - loop.time())
            if not waiting:
                await asyncio.sleep(left_s)
                return False
            done, _ = await asyncio.wait(waiting, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            return bool(done)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def partitions(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of a topic, in order."""
        return list(self._partitioner.partitions(topic))

    async def begin_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset that each partition still holds."""
        self._partitioner.check(*partitions)
        asked = _for_kafka(partitions)
        return _from_kafka(await self._lookups.ask("looking up begins", lambda one: one.beginning_offsets(asked)))

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset that the next record of each partition will get."""
        self._partitioner.check(*partitions)
        asked = _for_kafka(partitions)
        return _from_kafka(await self._lookups.ask("looking up ends", lambda one: one.end_offsets(asked)))

    async def offsets_at(self, partitions: Sequence[TopicPartition], time_ms: int) -> dict[TopicPartition, int]:
        """Return per partition the first offset that was appended after `time_ms`, by the broker's clock."""
        # The ends first: what is appended after this question must not count as there at that moment.
        ends = await self.end_offsets(partitions)
        # Kafka answers with the first record at or past a time.
        times = dict.fromkeys(_for_kafka(partitions), max(0, time_ms + 1))
        found = await self._lookups.ask("looking up a time", lambda one: one.offsets_for_times(times))
        later = {TopicPartition(*at): int(place.offset) for at, place in found.items() if place is not None}
        return {at: later.get(at, ends[at]) for at in partitions}

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        """Return per partition the next offset that a named group has yet to process."""
        return await self._groups.committed(group, self._all)

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Store up to where a group has processed each partition. The group may have no running members.

        Raises:
            BadInput: There is no such partition.
            RetryLater: Kafka is away.
            ConfigurationError: The group has members, which alone may move it; or Kafka refuses access.
        """
        self._partitioner.check(*offsets)
        if offsets:
            await self._groups.commit(group, offsets)

    async def close(self) -> None:
        """Finish what was begun, within the time-out, and close all connections; a second call does nothing."""
        await self._appender.close()
        await self._cursors.close()
        await self._lookups.close()
        await self._groups.close()
        await self._consumers.close()

    async def _has_record(self, at: TopicPartition, offset: int, end: int) -> bool:
        """Return whether there is a record from `offset` on; the end alone also counts marks of transactions."""
        async with self._cursors.at(at, offset) as cursor:
            await self._cursors.fetch(cursor, end)
            return cursor.has_records

    async def _until_record(self, at: TopicPartition, offset: int) -> None:
        """Return once there is a record at or past `offset`; Kafka may be away meanwhile."""
        while True:
            with contextlib.suppress(RetryLater):
                if (await self.end_offsets([at]))[at] >= offset:  # otherwise there is nothing to fetch from yet
                    async with self._cursors.at(at, offset) as cursor:
                        while not cursor.has_records:
                            await cursor.fill(self._settings.timeout_s)
                        return
            await asyncio.sleep(LOOK_AGAIN_S)


def _for_kafka(partitions: Iterable[TopicPartition]) -> list[KafkaPartition]:
    return [KafkaPartition(*partition) for partition in partitions]


def _from_kafka(offsets: Mapping[KafkaPartition, int]) -> dict[TopicPartition, int]:
    return {TopicPartition(*at): int(offset) for at, offset in offsets.items()}
