"""Lag: how many records of each partition a group has yet to process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct

from helamem.processors.coactivation.processor import GROUP as CO_ACTIVATION
from helamem.processors.consolidation.processor import Consolidation
from helamem.processors.encoding.processor import Encoding
from helamem.schemas.records import TopicPartition
from helamem.schemas.topics import RECALLS, TopicSpec
from helamem.streams.log.port import Log

READS: dict[str, tuple[TopicSpec, ...]] = {
    Encoding.group: Encoding.topics,
    CO_ACTIVATION: (RECALLS,),
    Consolidation.group: Consolidation.topics,
}
"""What each group reads."""

Processed = Callable[[str], Awaitable[Mapping[TopicPartition, int]]]
"""Returns the next offset of a group, where it has one."""


class PartitionLag(Struct, frozen=True, kw_only=True):
    """How far one group is behind in one partition."""

    group: str
    partition: TopicPartition
    end: int
    """The offset that the next record will get."""
    committed: int | None
    """The next offset to process, or None where nothing was processed yet."""
    lag: int
    """Records between the two; those that the log no longer holds are not counted."""


async def lags(log: Log, processed: Processed) -> list[PartitionLag]:
    """Return the lag of every group in every partition that it reads.

    Args:
        log: Where the ends are.
        processed: How far a group has come: `log.committed`, or what the checkpoints of a store say.

    Raises:
        RetryLater: The log is away.
    """
    found = []
    for group, specs in READS.items():
        partitions = [partition for spec in specs for partition in await log.partitions(spec.name)]
        offsets = await processed(group)  # before the ends: what is processed meanwhile makes no lag negative
        begins, ends = await log.begin_offsets(partitions), await log.end_offsets(partitions)
        for partition in partitions:
            committed = offsets.get(partition)
            done = max(begins[partition], committed or 0)
            found.append(
                PartitionLag(
                    group=group,
                    partition=partition,
                    end=ends[partition],
                    committed=committed,
                    lag=max(0, ends[partition] - done),
                )
            )
    return found
