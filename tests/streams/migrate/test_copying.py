"""Copies on a real broker: whole records, in an order that keeps what governs them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer
from msgspec.structs import replace

from fakes.events import applied, message, record
from fixtures.kafka import Kafka, kafka
from helamem.schemas.errors import ConfigurationError
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.schemas.settings import EncodingSettings, Settings
from helamem.schemas.topics import TopicSpec
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_generations import prepare
from helamem.streams.log.kafka_producer import Producer
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import admin_client, apply_topics
from helamem.streams.migrate.copying import Ranges, Sums, TopicCopy, check
from helamem.streams.migrate.originals import Original, merged, originals

__all__ = ["kafka"]

pytestmark = pytest.mark.slow  # the broker takes seconds to start

FIRST = Settings()
SECOND = Settings(encoding=EncodingSettings(embedder="another:one"))


class Topic:
    """A topic of two partitions, and its next generation of three."""

    def __init__(self, servers: str) -> None:
        self.settings = KafkaSettings(bootstrap_servers=servers)
        self.source = TopicSpec(base_name=f"copy.{uuid.uuid4().hex}", key="space", events=(), partitions=2)
        self.target = replace(self.source, generation=2, partitions=3)
        self.log = KafkaLog(self.settings, [self.source])
        self.copies = KafkaLog(self.settings, [self.target])

    async def append(self, partition: int, *what: str | Settings) -> None:
        for number, one in enumerate(what):
            event = message(one, one) if isinstance(one, str) else applied(f"s{partition}{number}", one)
            await self.log.append([record_at(self.source, event_record=record(event), partition=partition)])

    async def ranges(self) -> Ranges:
        ends = await self.log.end_offsets(await self.log.partitions(self.source.name))
        return {at: (0, end) for at, end in ends.items()}

    async def merged(self) -> list[str]:
        found = []
        async for one, for_all in merged(self.settings, await self.ranges(), governed=True):
            found.append("settings" if for_all else (one.key or b"").decode() + str(one.offset))
        return found

    async def copy(self, producer: Producer) -> TopicCopy:
        held = await self.copies.end_offsets(await self.copies.partitions(self.target.name))
        copy = TopicCopy(self.settings, producer, self.target, await self.ranges(), held)
        await copy.run()
        return copy

    async def copied(self) -> dict[TopicPartition, list[Original]]:
        ends = await self.copies.end_offsets(await self.copies.partitions(self.target.name))
        return {at: [one async for one in originals(self.settings, at, 0, end)] for at, end in ends.items()}


def record_at(spec: TopicSpec, *, event_record: NewRecord, partition: int) -> NewRecord:
    return NewRecord(topic=spec.name, key=f"p{partition}-".encode(), value=event_record.value, partition=partition)


@pytest.fixture
async def topic(kafka: Kafka) -> AsyncIterator[Topic]:
    topic = Topic(kafka.servers)
    await apply_topics(topic.settings, [topic.source], replication=1)
    async with admin_client(topic.settings, "creating") as admin:
        await prepare(admin, [topic.source], [topic.target], 1)
    yield topic
    await topic.log.close()
    await topic.copies.close()


async def test_settings_govern_what_they_governed(topic: Topic) -> None:
    """They come once, after all that stood before them in any partition, also where they were applied twice."""
    await topic.append(1, FIRST, FIRST, "a")
    await topic.append(0, FIRST, "b", SECOND, "c")
    await topic.append(1, SECOND, "d")
    await topic.append(0, SECOND, "e")
    assert await topic.merged() == ["settings", "p1-2", "p0-1", "settings", "p0-3", "p1-4", "p0-5"]


async def test_other_settings_in_one_partition_are_refused(topic: Topic) -> None:
    """Nobody could say what governs what."""
    await topic.append(0, FIRST, "a", SECOND)
    await topic.append(1, FIRST, "b")
    with pytest.raises(ConfigurationError, match=r"offset 2 of copy\.\w+\.g1/0 are not those of all partitions"):
        await topic.merged()


async def test_a_copy_is_the_whole_record(topic: Topic) -> None:
    """Bytes, no bytes, headers and append time; a second copy appends nothing, and what is none is found out."""
    producer = AIOKafkaProducer(bootstrap_servers=topic.settings.bootstrap_servers)
    await producer.start()
    try:
        for key, value, headers in (
            (b"k", b"v", [("trace", b"1"), ("trace", b"2")]),
            (None, b"v", []),
            (b"k", None, [("empty", b"")]),
        ):
            await producer.send_and_wait(topic.source.name, value, key, headers=headers, partition=1)
    finally:
        await producer.stop()
    before = [one async for one in originals(topic.settings, TopicPartition(topic.source.name, 1), 0, 3)]
    sender = Producer(topic.settings)
    try:
        assert (await topic.copy(sender)).appended == 3
        again = await topic.copy(sender)
        assert again.appended == 0
        found = await topic.copied()
        after = sorted((one for copies in found.values() for one in copies), key=lambda one: one.time_ms)
        assert sorted(map(content, after)) == sorted(map(content, before))
        sums = Sums()
        for at, copies in found.items():
            for one in copies:
                sums.add(at.partition, one, one.value)
        check(again, sums, topic.target)
        late = Sums()
        for at, copies in found.items():
            for one in copies:
                late.add(at.partition, replace(one, time_ms=one.time_ms + 1), one.value)
        with pytest.raises(ConfigurationError, match="other records of one key in partition"):
            check(again, late, topic.target)
        sums.add(0, before[0], b"more")
        with pytest.raises(ConfigurationError, match=r"records and not .* delete the topics of that generation"):
            check(again, sums, topic.target)
        await topic.copies.append([NewRecord(topic=topic.target.name, key=b"x", value=b"x", partition=2)])
        with pytest.raises(ConfigurationError, match=r"more than the \d to copy; it is not in use yet"):
            await topic.copy(sender)
    finally:
        await sender.close()


def content(one: Original) -> tuple[str, str, str, int]:
    return repr(one.key), repr(one.value), repr(one.headers), one.time_ms
