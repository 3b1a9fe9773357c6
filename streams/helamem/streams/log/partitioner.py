"""Which partitions there are and which one a record belongs to: the same answer in every log."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from aiokafka.partitioner import murmur2

from helamem.schemas.errors import BadInput
from helamem.schemas.records import NewRecord, TopicPartition, base_name_of
from helamem.schemas.topics import TopicSpec

MAX_KEY_BYTES = 65_536
"""Largest key: a dead letter repeats value and key, and must still be a record itself."""


@lru_cache(maxsize=65_536)  # murmur2 is pure Python and takes longer than all else that an append does to a record
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of `key` in a topic of so many `partitions`, as Kafka's default partitioner does."""
    return int((murmur2(key) & 0x7FFF_FFFF) % partitions)


class Partitioner:
    """Knows the partitions of some topics and refuses what does not fit into them.

    A topic's name names the topic, whatever generation stands in it: a log holds each in one generation, and answers
    with partitions of that one. A partition is a place in one generation, and in no other.
    """

    def __init__(self, topics: Sequence[TopicSpec]) -> None:
        self._partitions = {
            spec.name: [TopicPartition(spec.name, partition) for partition in range(spec.partitions)] for spec in topics
        }
        self._max_bytes = {spec.name: spec.max_record_bytes for spec in topics}
        self._names = {spec.base_name: spec.name for spec in topics}

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of a topic, in order.

        Raises:
            BadInput: There is no such topic.
        """
        return self._partitions[self._name(topic)]

    def knows(self, partition: TopicPartition) -> bool:
        """Return whether a partition exists."""
        return partition in self._partitions.get(partition.topic, ())

    def check(self, *partitions: TopicPartition) -> None:
        """Raise BadInput where one of the partitions does not exist."""
        for topic, partition in partitions:
            count = len(self.partitions(topic))
            if topic not in self._partitions:
                raise BadInput(f"the log no longer holds {topic}/{partition}; it has {self._name(topic)}")
            if not 0 <= partition < count:
                raise BadInput(f"{topic} has no partition {partition}; it has {count}, counted from 0")

    def place(self, record: NewRecord) -> TopicPartition:
        """Return the partition that a record names or that its key gives.

        Raises:
            BadInput: A topic or partition that does not exist, or a record over the size limit.
        """
        name = self._name(record.topic)
        partitions = self._partitions[name]
        most = self._max_bytes[name]
        if len(record.value) > most or len(record.key) > MAX_KEY_BYTES:
            raise BadInput(
                f"a record for {name} has a value of {len(record.value):,} bytes and a key of"
                f" {len(record.key):,}; they may have at most {most:,} and {MAX_KEY_BYTES:,}: split it or leave it out"
            )
        if record.partition is None:
            return partitions[partition_of(record.key, len(partitions))]
        named = TopicPartition(name, record.partition)
        self.check(named)
        return named

    def _name(self, topic: str) -> str:
        if topic in self._partitions:
            return topic
        try:
            return self._names[base_name_of(topic)]
        except KeyError:
            raise BadInput(f"the log has no topic {topic!r}; it has {', '.join(sorted(self._partitions))}") from None
