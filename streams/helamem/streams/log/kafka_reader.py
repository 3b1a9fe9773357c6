"""Reading Kafka forward: one consumer per partition and place, so that no reader waits for another's long poll."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import TopicPartition as KafkaPartition

from helamem.schemas.errors import ConfigurationError
from helamem.schemas.records import ORIGIN, Record, TopicPartition
from helamem.streams.log.kafka_connection import Consumers, close_consumer
from helamem.streams.log.kafka_errors import FAILURES, explained
from helamem.streams.log.kafka_settings import KafkaSettings

FETCH_BYTES = 2 * 2**20
"""Most bytes in one fetch; a cursor holds up to two of them, one being handed out and the next one fetched ahead."""
MAX_IDLE = 64
"""Most cursors that are kept open for a reader that may come back."""
_LOG_APPEND_TIME = 1
_STEP_S = 1.0
_POLL_MS = 60_000


class Cursor:
    """A place in one partition that only moves forward; a task of its own waits for what comes next."""

    def __init__(self, consumer: AIOKafkaConsumer, at: TopicPartition, start: int) -> None:
        self._consumer = consumer
        self._partition = KafkaPartition(*at)
        self._at = at
        self._ahead: deque[Any] = deque()
        self._filling: asyncio.Task[Mapping[Any, list[Any]]] | None = None
        self.position = start
        """Offset of the next record to hand out."""
        self.reached = start
        """What lies before this offset has been seen."""
        self.end = start
        """The end of the partition as the last fetch told it."""
        consumer.assign([self._partition])
        consumer.seek(self._partition, start)

    @property
    def at(self) -> TopicPartition:
        """The partition."""
        return self._at

    @property
    def has_records(self) -> bool:
        """Whether records are at hand."""
        return bool(self._ahead)

    async def fill(self, timeout_s: float) -> None:
        """Wait until records are at hand, at most so long.

        Raises:
            KafkaError: Kafka refused.
        """
        if self._ahead:
            return
        if self._filling is None:
            # A task, since a cancelled `getmany` would leave its waiter behind in the consumer.
            self._filling = asyncio.create_task(self._consumer.getmany(self._partition, timeout_ms=_POLL_MS))
        await asyncio.wait([self._filling], timeout=timeout_s)
        if self._filling is not None and self._filling.done():
            filling, self._filling = self._filling, None
            for messages in filling.result().values():
                self._ahead.extend(messages)
        self.reached = int(await self._consumer.position(self._partition))
        self.end = max(self.end, self._consumer.last_stable_offset(self._partition) or 0)

    def take(self, end: int | None, limit: int) -> list[Record]:
        """Return up to `limit` records that are at hand and lie before `end`."""
        records: list[Record] = []
        ahead, (topic, partition) = self._ahead, self._at
        while ahead and len(records) < limit and (end is None or ahead[0].offset < end):
            message = ahead.popleft()
            if message.timestamp_type != _LOG_APPEND_TIME and not _is_copy(message):
                raise ConfigurationError(
                    f"{topic} keeps the time of whoever wrote a record; set its message.timestamp.type to"
                    " LogAppendTime, or audits cannot name a moment"
                )
            records.append(
                Record(
                    topic=topic,
                    partition=partition,
                    offset=message.offset,
                    append_time_ms=message.timestamp,
                    key=message.key or b"",
                    value=message.value or b"",
                    headers=tuple((name, value or b"") for name, value in message.headers),
                )
            )
        if records:
            self.position = records[-1].offset + 1
        return records

    async def close(self) -> None:
        """Let go of the connection."""
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.wait([self._filling])
            if not self._filling.cancelled():
                self._filling.exception()  # nobody will ask for it any more
        await close_consumer(self._consumer)


def _is_copy(message: Any) -> bool:
    return any(name == ORIGIN for name, _ in message.headers)


class Cursors:
    """Lends cursors: the one that stands where a reader goes on, or a new one.

    A read elsewhere opens a new cursor (some 10 ms) instead of moving one, which would have to wait until the
    broker lets go of the fetch under way.
    """

    def __init__(self, settings: KafkaSettings, consumers: Consumers) -> None:
        self._settings = settings
        self._consumers = consumers
        self._idle: list[Cursor] = []
        """Least recently used first."""

    def known_end(self, at: TopicPartition, start: int) -> int:
        """Return an offset up to which there surely is something from `start` on, or `start`."""
        for cursor in self._idle:
            if cursor.at == at and cursor.position == start:
                return max(cursor.end, start + cursor.has_records)
        return start

    @contextlib.asynccontextmanager
    async def at(self, at: TopicPartition, start: int) -> AsyncIterator[Cursor]:
        """Lend a cursor whose next record is the first one at or past `start`.

        Raises:
            RetryLater: Kafka is away; also for what happens inside the context.
            ConfigurationError: The offset is no longer there.
        """
        try:
            cursor = self._standing_at(at, start)
            if cursor is None:
                consumer = await self._consumers.open(
                    max_partition_fetch_bytes=FETCH_BYTES, fetch_max_bytes=FETCH_BYTES
                )
                cursor = Cursor(consumer, at, start)
            try:
                yield cursor
            except asyncio.CancelledError:
                self._idle.append(cursor)  # whoever gave up waiting will come back
                raise
            except BaseException:
                await cursor.close()
                raise
        except OffsetOutOfRangeError as error:
            raise ConfigurationError(
                f"{at} has no offset {start} (deleted by retention, or lost by the cluster); rebuild from an archive"
            ) from error
        except FAILURES as error:
            raise explained(error, f"reading {at}", self._settings) from error
        self._idle.append(cursor)
        await self._tidy(at)

    async def fetch(self, cursor: Cursor, until: int) -> None:
        """Wait until the cursor has records at hand or has seen all before `until`.

        Raises:
            TimeoutError: Kafka did not deliver in time.
        """
        async with asyncio.timeout(self._settings.timeout_s):
            while not cursor.has_records and cursor.reached < until:
                await cursor.fill(_STEP_S)

    async def close(self) -> None:
        """Close all cursors that are not lent."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(cursor.close() for cursor in idle))

    def _standing_at(self, at: TopicPartition, start: int) -> Cursor | None:
        for index, cursor in enumerate(self._idle):
            if cursor.at == at and cursor.position == start:
                return self._idle.pop(index)
        return None

    async def _tidy(self, at: TopicPartition) -> None:
        """Keep two cursors of a partition (one at its tail, one that reads it again), and not too many in all."""

        def first(which: Callable[[Cursor], bool]) -> Cursor:
            return next(cursor for cursor in self._idle if which(cursor))

        while True:
            if sum(cursor.at == at for cursor in self._idle) > 2:
                surplus = first(lambda cursor: cursor.at == at)
            elif len(self._idle) > MAX_IDLE:
                surplus = self._idle[0]
            else:
                return
            self._idle.remove(surplus)
            await surplus.close()
