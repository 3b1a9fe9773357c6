"""Copying a topic into its next generation, never twice: what is copied is known by the positions alone."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from helamem.schemas.errors import ConfigurationError
from helamem.schemas.records import ORIGIN, TopicPartition
from helamem.schemas.topics import GOVERNED, TopicSpec
from helamem.streams.log.kafka_producer import Producer
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.partitioner import partition_of
from helamem.streams.migrate.originals import Original, merged

BATCH_RECORDS = 500
_BATCH_BYTES = 500_000
_START_ANEW = "; it is not in use yet: delete the topics of that generation and migrate again"

Ranges = Mapping[TopicPartition, tuple[int, int]]
"""First offset and end by partition."""
Place = tuple[TopicPartition, int]
Rewrite = Callable[[Original], bytes | None]
"""Returns the value that the copy of a record has."""


class Sums:
    """Of each key in each partition, a hash over all its records in their order: keys, values, headers and times."""

    def __init__(self) -> None:
        self._hashes: dict[tuple[int, bytes], bytes] = defaultdict(bytes)
        self.records: dict[int, int] = defaultdict(int)

    def add(self, partition: int, original: Original, value: bytes | None) -> None:
        """Take in the next record of a partition."""
        key = original.key or b""
        parts = (original.key, value, *(part for name, value in original.headers for part in (name.encode(), value)))
        sum_ = hashlib.sha256(self._hashes[partition, key] + original.time_ms.to_bytes(8, "big", signed=True))
        for part in parts:
            sum_.update(b"-" if part is None else len(part).to_bytes(8, "big") + part)
        self._hashes[partition, key] = sum_.digest()
        self.records[partition] += 1

    def difference(self, other: Sums) -> str:
        """Return where two differ, in words, or nothing."""
        for partition in sorted(self.records.keys() | other.records.keys()):
            if self.records[partition] != other.records[partition]:
                return f"{self.records[partition]} records and not {other.records[partition]} in partition {partition}"
        for at in sorted(self._hashes.keys() | other._hashes.keys()):
            if self._hashes.get(at) != other._hashes.get(at):
                return f"other records of one key in partition {at[0]}"
        return ""


class TopicCopy:
    """Copies one topic.

    Args:
        settings: How to reach Kafka.
        producer: What appends.
        target: The topic in its new generation.
        ranges: What to copy.
        held: The ends of the new partitions: so much of them was copied before.
        wanted: Positions of which it is to be known where their copies stand.
        rewrite: Gives the copies their values; by default their own.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        producer: Producer,
        target: TopicSpec,
        ranges: Ranges,
        held: Mapping[TopicPartition, int],
        *,
        wanted: frozenset[Place] = frozenset(),
        rewrite: Rewrite = lambda original: original.value,
    ) -> None:
        self._settings = settings
        self._producer = producer
        self._target = target
        self._ranges = ranges
        self._held = held
        self._wanted = wanted
        self._rewrite = rewrite
        self._waiting: dict[int, list[tuple[int, Original, bytes | None]]] = defaultdict(list)
        self._bytes: dict[int, int] = defaultdict(int)
        self.sums = Sums()
        self.places: dict[Place, Place] = {}
        """Where the copies of the wanted records stand."""
        self.appended = 0

    async def run(self) -> None:
        """Copy what is missing; killed in the middle, the next one goes on behind the last record that is there.

        Raises:
            ConfigurationError: The new generation holds what is no copy.
            RetryLater: Kafka is away.
        """
        governed = self._target.base_name in {spec.base_name for spec in GOVERNED}
        count = self._target.partitions
        async for original, for_all in merged(self._settings, self._ranges, governed=governed):
            value = self._rewrite(original)
            for number in range(count) if for_all else (partition_of(original.key or b"", count),):
                await self._place(number, original, value)
        for number in list(self._waiting):
            await self._send(number)
        for at, held in self._held.items():
            if held > self.sums.records[at.partition]:
                raise ConfigurationError(
                    f"{at} holds {held} records, more than the {self.sums.records[at.partition]} to copy{_START_ANEW}"
                )

    async def _place(self, number: int, original: Original, value: bytes | None) -> None:
        at = TopicPartition(self._target.name, number)
        offset = self.sums.records[number]
        self.sums.add(number, original, value)
        source = (original.at, original.offset)
        if source in self._wanted:
            self.places[source] = (at, offset)
        if offset < self._held[at]:
            return
        self._waiting[number].append((offset, original, value))
        self._bytes[number] += len(original.key or b"") + len(value or b"")
        if len(self._waiting[number]) >= BATCH_RECORDS or self._bytes[number] >= _BATCH_BYTES:
            await self._send(number)

    async def _send(self, number: int) -> None:
        at = TopicPartition(self._target.name, number)
        waiting = self._waiting.pop(number, [])
        self._bytes[number] = 0
        while waiting:
            taken: list[int] = []
            begin = await self._producer.send(at, partial(_fill, waiting, taken))
            if begin != waiting[0][0]:
                raise ConfigurationError(f"{at} got a record from somebody else before offset {begin}{_START_ANEW}")
            self.appended += len(taken)
            waiting = waiting[len(taken) :]


def _fill(waiting: list[tuple[int, Original, bytes | None]], taken: list[int], batch: Any) -> None:
    for offset, original, value in waiting:
        origin = f"{original.at}@{original.offset}".encode()
        headers = [*original.headers, (ORIGIN, origin)]
        if batch.append(timestamp=original.time_ms, key=original.key, value=value, headers=headers) is None:
            return
        taken.append(offset)


def check(source: TopicCopy, found: Sums, target: TopicSpec) -> None:
    """Compare what was to be copied with what stands there.

    Raises:
        ConfigurationError: They differ.
    """
    if difference := found.difference(source.sums):
        raise ConfigurationError(f"{target.name} holds {difference}{_START_ANEW}")
