"""What has to be over before a migration: nobody is at work, nothing comes in, everything is processed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from helamem.processors.store.port import MemoryStore
from helamem.schemas.errors import RetryLater
from helamem.schemas.records import TopicPartition
from helamem.streams.lag import READS, lags
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.migrate.groups import Positions, at_work, positions

QUIET_S = 1.0
"""How long nothing may have come in before a migration begins."""


async def refuse_work(settings: KafkaSettings, partitions: Sequence[TopicPartition]) -> None:
    """Refuse while a group has members that read these partitions, or has ever read them and has members.

    Raises:
        RetryLater: One has; or Kafka is away.
    """
    groups = {*READS, *await positions(settings, partitions)}
    if busy := await at_work(settings, groups, {at.topic for at in partitions}):
        named = ", ".join(f"{group} ({count})" for group, count in sorted(busy.items()))
        raise RetryLater(f"workers are at work: {named}; stop them and try again")


async def refuse_growth(log: KafkaLog, partitions: Sequence[TopicPartition]) -> None:
    """Refuse while records come in.

    Raises:
        RetryLater: They do; or Kafka is away.
    """
    before = await log.end_offsets(partitions)
    await asyncio.sleep(QUIET_S)
    if await log.end_offsets(partitions) != before:
        raise RetryLater("records are still coming in; stop whoever appends them and try again")


async def refuse_lag(
    settings: KafkaSettings, log: KafkaLog, store: MemoryStore, partitions: Sequence[TopicPartition]
) -> Positions:
    """Return where the groups of platforms stand, once nobody is behind.

    The fleet stands where the checkpoints of the store say. A platform's group reads all partitions of a topic of which
    it has committed any: where it has committed nothing it has processed nothing.

    Raises:
        RetryLater: Somebody is behind; or Kafka or the store is away.
    """

    async def applied(group: str) -> dict[TopicPartition, int]:
        return {at: one.position.offset for at, one in (await store.load_checkpoints(group)).items()}

    behind: dict[str, int] = defaultdict(int)
    for one in await lags(log, applied):
        behind[one.group] += one.lag
    begins, ends = await log.begin_offsets(partitions), await log.end_offsets(partitions)
    found = await positions(settings, partitions)
    others = {group: offsets for group, offsets in found.items() if group not in READS}
    for group, offsets in others.items():
        topics = {at.topic for at in offsets}
        behind[group] = sum(
            max(0, ends[at] - max(begins[at], offsets.get(at, 0))) for at in partitions if at.topic in topics
        )
    left = [(group, count) for group, count in sorted(behind.items()) if count]
    if left:
        sentence = ", ".join(f"{group} {count:,} records" for group, count in left)
        advice = "let workers finish and try again"
        if any(group in others for group, _ in left):
            advice += "; a group that nobody needs any more is deleted with Kafka's own kafka-consumer-groups"
        raise RetryLater(f"not everything is processed, left are: {sentence}; {advice}")
    return others
