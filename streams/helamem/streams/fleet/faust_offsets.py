"""Committing the position of an agent, past Faust's own bookkeeping.

Faust acknowledges a message when the agent's loop lets go of it, whatever the reason: an exception, a restart, a
rebalance that made it skip the message. It takes a single missing offset for none (0.15.3, `Consumer._new_offset`)
and so commits past it, and when a commit fails for any reason but a rebalance it crashes the application. So what an
agent has done is committed here, one position at a time, through the consumer that is the group's member: only who
holds a partition can move it.
"""

from __future__ import annotations

from typing import Any

from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as KafkaPartition
from faust.types import AppT

from helamem.schemas.records import TopicPartition
from helamem.streams.log.kafka_errors import FAILURES, explained
from helamem.streams.log.kafka_settings import KafkaSettings


async def commit(app: AppT, kafka: KafkaSettings, partition: TopicPartition, offset: int) -> bool:
    """Commit the next offset to process of one partition.

    Returns:
        False where the partition is another worker's by now; then nothing was committed.

    Raises:
        RetryLater: Kafka is away.
        ConfigurationError: Kafka refuses it.
    """
    thread: Any = app.consumer._thread  # type: ignore[attr-defined] # noqa: SLF001 - no public way to commit without acks
    offsets = {KafkaPartition(*partition): OffsetAndMetadata(offset, "")}
    try:
        await thread.call_thread(thread._ensure_consumer().commit, offsets)  # noqa: SLF001 - likewise
    except (CommitFailedError, IllegalStateError):
        return False
    except FAILURES as error:
        raise explained(error, f"committing {partition}", kafka) from error
    return True
