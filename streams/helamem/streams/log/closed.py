"""The log of a home that has none: a projection that a replay made is looked at, not written to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helamem.schemas.errors import BadInput
from helamem.schemas.records import NewRecord, Record, TopicPartition
from helamem.schemas.topics import TopicSpec
from helamem.streams.log.partitioner import Partitioner


class ClosedLog:
    """A `Log` that holds nothing and takes nothing.

    Args:
        topics: Which topics it would have.
        why: The sentence that refuses an append.
    """

    def __init__(self, topics: Sequence[TopicSpec], why: str) -> None:
        self._partitioner = Partitioner(topics)
        self._why = why

    async def append(self, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """Refuse.

        Raises:
            BadInput: Always, unless there is nothing to append.
        """
        if records:
            raise BadInput(self._why)
        return []

    async def read(
        self,
        partition: TopicPartition,
        start: int,  # noqa: ARG002 - the port's argument
        *,
        end: int | None = None,  # noqa: ARG002 - likewise
        limit: int = 1000,  # noqa: ARG002 - likewise
    ) -> list[Record]:
        """Return nothing."""
        self._partitioner.check(partition)
        return []

    async def wait_for_append(self, after: Mapping[TopicPartition, int], timeout_s: float) -> bool:  # noqa: ARG002 - the port's arguments
        """Refuse: nothing will ever come.

        Raises:
            BadInput: Always.
        """
        raise BadInput(self._why)

    async def partitions(self, topic: str) -> list[TopicPartition]:
        """Return the partitions that a topic would have."""
        return self._partitioner.partitions(topic)

    async def begin_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return 0 for each."""
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return 0 for each."""
        return dict.fromkeys(partitions, 0)

    async def offsets_at(
        self,
        partitions: Sequence[TopicPartition],
        time_ms: int,  # noqa: ARG002 - the port's argument
    ) -> dict[TopicPartition, int]:
        """Return 0 for each."""
        return dict.fromkeys(partitions, 0)

    async def committed(self, group: str) -> dict[TopicPartition, int]:  # noqa: ARG002 - the port's argument
        """Return nothing."""
        return {}

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:  # noqa: ARG002 - the port's arguments
        """Refuse to move a group.

        Raises:
            BadInput: Always, unless there is nothing to commit.
        """
        if offsets:
            raise BadInput(self._why)

    async def close(self) -> None:
        """Nothing is open."""
