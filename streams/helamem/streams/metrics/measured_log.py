"""The same log, measured: appends, what waits for its acknowledgement, and what fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from helamem.schemas.records import NewRecord, Record, TopicPartition
from helamem.streams.log.port import Log
from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.calls import no_errors_yet, reason_of, timed, told_nobody
from helamem.streams.metrics.registry import Metrics
from helamem.streams.metrics.unmeasured import Uncounted

T = TypeVar("T")
LOG_CALLS = (
    "append",
    "read",
    "wait-for-append",
    "partitions",
    "begin-offsets",
    "end-offsets",
    "offsets-at",
    "committed",
    "commit",
)


class MeasuredLog:
    """A `Log` that times the appends to another one and counts what fails.

    Args:
        log: What is asked.
        metrics: Where it is counted.
        on_read: Told of the records that were read and how many seconds it took.
        on_append: Likewise of those that were appended.
    """

    def __init__(
        self,
        log: Log,
        metrics: Metrics | Uncounted,
        *,
        on_read: Callable[[Sequence[Record], float], None] = lambda records, seconds: None,
        on_append: Callable[[Sequence[NewRecord], float], None] = lambda records, seconds: None,
    ) -> None:
        self._log = log
        self._metrics = metrics
        self._on_read = on_read
        self._on_append = on_append
        no_errors_yet(metrics, c.LOG_ERRORS, LOG_CALLS)
        metrics.shift(c.UNACKNOWLEDGED, 0)
        metrics.observe(c.APPEND_SECONDS)

    async def append(self, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """See `Log.append`."""
        self._metrics.shift(c.UNACKNOWLEDGED, len(records))
        try:
            with timed(told_nobody, self._failed, "append") as took:
                places = await self._log.append(records)
        finally:
            self._metrics.shift(c.UNACKNOWLEDGED, -len(records))
        if records:
            self._metrics.observe(c.APPEND_SECONDS, took.seconds)
        topics: dict[str, int] = {}
        for record in records:
            topics[record.topic] = topics.get(record.topic, 0) + 1
        for topic, count in topics.items():
            self._metrics.add(c.APPENDED, count, topic=topic)
        self._on_append(records, took.seconds)
        return places

    async def read(
        self, partition: TopicPartition, start: int, *, end: int | None = None, limit: int = 1000
    ) -> list[Record]:
        """See `Log.read`."""
        with timed(told_nobody, self._failed, "read") as took:
            records = await self._log.read(partition, start, end=end, limit=limit)
        self._on_read(records, took.seconds)
        return records

    async def wait_for_append(self, after: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """See `Log.wait_for_append`."""
        return await self._call("wait-for-append", self._log.wait_for_append(after, timeout_s))

    async def partitions(self, topic: str) -> list[TopicPartition]:
        """See `Log.partitions`."""
        return await self._call("partitions", self._log.partitions(topic))

    async def begin_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """See `Log.begin_offsets`."""
        return await self._call("begin-offsets", self._log.begin_offsets(partitions))

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """See `Log.end_offsets`."""
        return await self._call("end-offsets", self._log.end_offsets(partitions))

    async def offsets_at(self, partitions: Sequence[TopicPartition], time_ms: int) -> dict[TopicPartition, int]:
        """See `Log.offsets_at`."""
        return await self._call("offsets-at", self._log.offsets_at(partitions, time_ms))

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        """See `Log.committed`."""
        return await self._call("committed", self._log.committed(group))

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """See `Log.commit`."""
        await self._call("commit", self._log.commit(group, offsets))

    async def close(self) -> None:
        """See `Log.close`."""
        await self._log.close()

    async def _call(self, call: str, work: Awaitable[T]) -> T:
        with timed(told_nobody, self._failed, call):
            return await work

    def _failed(self, call: str, error: Exception) -> None:
        self._metrics.add(c.LOG_ERRORS, call=call, reason=reason_of(error))
