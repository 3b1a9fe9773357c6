"""Whether a record stands where its space belongs.

All that a topic holds of a space is in one partition, in order: which of two records came first is known only there.
A record of the space elsewhere would take effect before or after the others by chance.
"""

from __future__ import annotations

from helamem.schemas.errors import Poison
from helamem.schemas.events import RecordDeadLettered, SettingsApplied
from helamem.schemas.records import TopicPartition
from helamem.schemas.wire import Event
from helamem.streams.log.partitioner import partition_of

_BY_PARTITION = (SettingsApplied, RecordDeadLettered)
"""Settings stand in every partition that they govern; a dead letter has the key of the record that it is about."""


def check_place(at: TopicPartition, key: bytes, event: Event, partitions: int) -> None:
    """Refuse an event whose record has another key than its space, or stands in another partition than that gives.

    Args:
        at: Where the record stands.
        key: Of the record.
        event: What it holds.
        partitions: How many the topic has.

    Raises:
        Poison: The record is out of place.
    """
    if isinstance(event.data, _BY_PARTITION):
        return
    if key != event.space.encode():
        raise Poison(
            f"is not the space of the event, so its place in {at.topic} says nothing; "
            "append the event with its space as key",
            "key",
        )
    belongs = partition_of(key, partitions)
    if at.partition != belongs:
        raise Poison(
            f"stands in partition {at.partition} of {at.topic} and its key belongs into {belongs}; "
            "append the event without naming a partition, by Kafka's default (murmur2) partitioner",
            "partition",
        )
