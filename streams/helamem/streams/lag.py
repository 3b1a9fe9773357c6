"""Lag: how many records of each partition a group has yet to process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from helamem.processors.coactivation.processor import GROUP as CO_ACTIVATION
from helamem.processors.consolidation.processor import Consolidation
from helamem.processors.encoding.processor import Encoding
from helamem.processors.store.port import MemoryStore
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


async def lags(log: Log, processed: Processed, reads: Mapping[str, Sequence[TopicSpec]] = READS) -> list[PartitionLag]:
    """Return the lag of every group in every partition that it reads.

    Args:
        log: Where the ends are.
        processed: How far a group has come: `log.committed`, or what the checkpoints of a store say.
        reads: What each group reads.

    Raises:
        RetryLater: The log is away.
    """
    found = []
    for group, specs in reads.items():
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


async def ends_of(log: Log, groups: Iterable[str] = READS) -> dict[TopicPartition, int]:
    """Return the end of every partition that some groups read; all of them, if none are named.

    Raises:
        RetryLater: The log is away.
    """
    partitions = [at for group in groups for spec in READS[group] for at in await log.partitions(spec.name)]
    return await log.end_offsets(partitions)


async def left_before(ends: Mapping[TopicPartition, int], log: Log, store: MemoryStore) -> int:
    """Return how many records before some ends are yet to be processed; what the log no longer holds is not counted.

    Args:
        ends: Of partitions, as `ends_of` returned them; what comes in later is not asked for.
        log: Where the records are.
        store: Its checkpoints say how far each group has come; a partition is read by one of them.

    Raises:
        RetryLater: The log or the store is away.
    """
    done = {at: one.position.offset for group in READS for at, one in (await store.load_checkpoints(group)).items()}
    begins = await log.begin_offsets([*ends])
    return sum(max(0, end - max(begins[at], done.get(at, 0))) for at, end in ends.items())
