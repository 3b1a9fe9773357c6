"""Appending to Kafka: what waits for the same partition shares a batch, and not too much waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from helamem.schemas.errors import RetryLater
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.streams.log.kafka_producer import Producer
from helamem.streams.log.kafka_settings import KafkaSettings


class Room:
    """A bound on the bytes that wait; whoever comes first gets room first.

    Args:
        size_bytes: The bound. Something larger goes alone.
    """

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self.taken_bytes = 0
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, wanted_bytes: int) -> None:
        """Wait until there is room and take it."""
        async with self._turn:
            while self.taken_bytes and self.taken_bytes + wanted_bytes > self._size_bytes:
                self._freed.clear()
                await self._freed.wait()
            self.taken_bytes += wanted_bytes

    def give_back(self, size_bytes: int) -> None:
        """Free what was taken."""
        self.taken_bytes -= size_bytes
        self._freed.set()


class _Part:
    """What one append has for one partition."""

    def __init__(self, records: Sequence[NewRecord]) -> None:
        self.records = records
        self.batched = 0
        """How many of them have gone into batches."""
        self.offsets: list[int] = []
        self.done: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()


class _Lane:
    """The appends to one partition: one batch at a time, so their order is the log's."""

    def __init__(self, at: TopicPartition, producer: Producer) -> None:
        self._at = at
        self._producer = producer
        self._waiting: deque[_Part] = deque()
        self.running: asyncio.Task[None] | None = None

    def append(self, records: Sequence[NewRecord]) -> asyncio.Future[list[int]]:
        """Return the future offsets of these records."""
        part = _Part(records)
        self._waiting.append(part)
        if self.running is None:
            self.running = asyncio.create_task(self._run(), name=f"append to {self._at}")
        return part.done

    async def _run(self) -> None:
        try:
            while self._waiting:
                shares: list[tuple[_Part, int]] = []
                try:
                    offset = await self._producer.send(self._at, partial(self._fill, shares))
                except BaseException as error:
                    self._fail(shares, error)
                    if isinstance(error, Exception):
                        continue
                    raise
                for part, count in shares:
                    part.offsets.extend(range(offset, offset + count))
                    offset += count
                    if len(part.offsets) == len(part.records) and not part.done.done():
                        part.done.set_result(part.offsets)
        finally:
            self.running = None

    def _fill(self, shares: list[tuple[_Part, int]], batch: Any) -> None:
        """Put what waits into a batch until it is full, and note who has how many records in it."""
        while self._waiting:
            part = self._waiting[0]
            begin = part.batched
            if not part.done.done():  # else its append was cancelled; what is not sent yet never will be
                for record in part.records[begin:]:
                    if (
                        batch.append(timestamp=None, key=record.key, value=record.value, headers=list(record.headers))
                        is None
                    ):
                        break
                    part.batched += 1
                if part.batched > begin:
                    shares.append((part, part.batched - begin))
                if part.batched < len(part.records):
                    return
            self._waiting.popleft()

    def _fail(self, shares: Sequence[tuple[_Part, int]], error: BaseException) -> None:
        """Tell those who had a share; and when Kafka is away, all who wait, or each would wait its time-out in turn."""
        failed = [part for part, _ in shares]
        if isinstance(error, RetryLater) or not failed:
            failed += self._waiting
        for part in failed:
            if not part.done.done():
                part.done.set_exception(error)
        # The rest of a failed append must not come behind the gap: its order would be lost when it is tried again.
        self._waiting = deque(part for part in self._waiting if not part.done.done())


class Appender:
    """Appends records to the partitions they were given."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._producer = Producer(settings)
        self._lanes: dict[TopicPartition, _Lane] = {}
        self.room = Room(settings.max_pending_bytes)

    async def append(self, placed: Sequence[tuple[TopicPartition, NewRecord]]) -> list[tuple[TopicPartition, int]]:
        """Append records and return where they are, once every one is acknowledged.

        Raises:
            RetryLater: Some may be in the log and some not; append all of them again.
            ConfigurationError: Kafka will never take them as things are.
        """
        by_partition: dict[TopicPartition, list[NewRecord]] = {}
        for at, record in placed:
            by_partition.setdefault(at, []).append(record)
        size_bytes = sum(len(record.key) + len(record.value) for _, record in placed)
        await self.room.take(size_bytes)
        try:
            told = await asyncio.gather(
                *(self._lane(at).append(records) for at, records in by_partition.items()), return_exceptions=True
            )
        finally:
            self.room.give_back(size_bytes)
        offsets = {}
        for at, result in zip(by_partition, told, strict=True):
            if isinstance(result, BaseException):
                raise result
            offsets[at] = iter(result)
        return [(at, next(offsets[at])) for at, _ in placed]

    async def close(self) -> None:
        """Wait for what is under way and close the producer."""
        running = [lane.running for lane in self._lanes.values() if lane.running is not None]
        if running:
            await asyncio.wait(running)
        await self._producer.close()

    def _lane(self, at: TopicPartition) -> _Lane:
        if at not in self._lanes:
            self._lanes[at] = _Lane(at, self._producer)
        return self._lanes[at]
