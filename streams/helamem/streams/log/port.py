"""The `Log` port: an ordered, durable record of everything that happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from helamem.schemas.errors import ConfigurationError
from helamem.schemas.records import NewRecord, Record, TopicPartition


class TakesNoRecordsError(ConfigurationError):
    """The log refuses what it should take, as during a migration: whoever asks over the network may try again."""


class Log(Protocol):
    """What every log does; `SqliteLog` and the fleet's Kafka log run the same contract suite."""

    async def append(self, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """Append records in order and return each one's partition and offset, once all of them are durable.

        What is wrong with a record is found before anything is appended. After `RetryLater` some may be in the log:
        append all of them again; readers skip ids that they have seen, and the order of first sight is kept.

        Raises:
            BadInput: A topic or partition that does not exist, or a record over the size limit.
            RetryLater: The log cannot be written now (disk full, broker away).
        """
        ...

    async def read(
        self, partition: TopicPartition, start: int, *, end: int | None = None, limit: int = 1000
    ) -> list[Record]:
        """Return up to `limit` records of one partition with `start <= offset < end`, in order.

        An empty list means that there is nothing there yet.
        """
        ...

    async def wait_for_append(self, after: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """Wait until one of the partitions has a record at or past the offset given for it.

        Returns:
            True when there is something to read, False after `timeout_s` seconds.
        """
        ...

    async def partitions(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of a topic in the generation in use, whatever generation its name says, in order.

        Raises:
            BadInput: There is no such topic.
        """
        ...

    async def begin_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset that each partition still holds."""
        ...

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset that the next record of each partition will get."""
        ...

    async def offsets_at(self, partitions: Sequence[TopicPartition], time_ms: int) -> dict[TopicPartition, int]:
        """Return per partition the first offset that was appended after `time_ms`.

        These are the end positions of the log as it stood at that moment (inclusive of it).
        """
        ...

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        """Return per partition the next offset that a named group has yet to process."""
        ...

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Store durably up to where a group has processed each partition (the next offset)."""
        ...

    async def close(self) -> None:
        """Release what the log holds open. Appended records are durable already."""
        ...
