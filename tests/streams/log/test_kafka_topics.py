"""Topics in Kafka: made where missing, checked where present, never changed."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from msgspec.structs import replace

from fixtures.kafka import Kafka, kafka
from helamem.schemas.errors import ConfigurationError
from helamem.schemas.records import TopicPartition
from helamem.schemas.topics import TOPICS, TopicSpec
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import apply_topics, topic_states

__all__ = ["kafka"]

pytestmark = pytest.mark.slow  # the broker takes seconds to start


@pytest.fixture
def settings(kafka: Kafka) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka.servers)


@pytest.fixture
def specs() -> list[TopicSpec]:
    run = uuid.uuid4().hex[:8]
    return [
        TopicSpec(base_name=f"apply-{run}.{name}", key="", events=(), partitions=partitions)
        for name, partitions in (("a", 1), ("b", 3))
    ]


@pytest.fixture
async def admin(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    yield admin
    await admin.close()


async def test_missing_topics_are_made_once(settings: KafkaSettings, specs: list[TopicSpec]) -> None:
    """The first call makes what is missing, the next one finds it as it should be."""
    await apply_topics(settings, specs[:1], replication=1)
    states = await apply_topics(settings, specs, replication=1)
    assert [(state.partitions, state.created) for state in states] == [(1, False), (3, True)]
    states = await apply_topics(settings, specs, replication=1)
    assert [(state.partitions, state.created) for state in states] == [(1, False), (3, False)]
    assert [(state.faults, state.differences) for state in states] == [((), ())] * 2


async def test_the_product_s_topics(settings: KafkaSettings) -> None:
    """All topics of the product can be made and opened."""
    run = uuid.uuid4().hex[:8]
    specs = [replace(spec, base_name=f"{run}.{spec.base_name}") for spec in TOPICS]
    await apply_topics(settings, specs, replication=1)
    async with await KafkaLog.open(settings, specs) as log:
        for spec in specs:
            assert len(await log.partitions(spec.name)) == spec.partitions


async def test_a_missing_topic_is_refused(settings: KafkaSettings, specs: list[TopicSpec]) -> None:
    """A log over topics that are not there says which command makes them, and makes none itself."""
    with pytest.raises(ConfigurationError, match=r"has no topic .*\.a\.g1.*helamem topics apply"):
        await KafkaLog.open(settings, specs)
    assert [state.partitions for state in await topic_states(settings, specs)] == [0, 0]


async def test_another_number_of_partitions_is_refused(settings: KafkaSettings, specs: list[TopicSpec]) -> None:
    """Neither more nor fewer are taken or made; and nothing else is made then."""
    await apply_topics(settings, specs[1:], replication=1)
    for partitions in (2, 4):
        other = [specs[0], replace(specs[1], partitions=partitions)]
        with pytest.raises(ConfigurationError, match=f"has 3 partitions and {partitions} are configured; a topic is"):
            await apply_topics(settings, other, replication=1)
        with pytest.raises(ConfigurationError, match="never grown in place"):
            await KafkaLog.open(settings, other[1:])
    assert [state.partitions for state in await topic_states(settings, specs)] == [0, 3]


async def test_more_copies_than_brokers_are_refused(settings: KafkaSettings, specs: list[TopicSpec]) -> None:
    """The error says what was asked for, and nothing is made."""
    with pytest.raises(ConfigurationError, match=r"check replication \(33\)"):
        await apply_topics(settings, specs, replication=33)
    assert [state.partitions for state in await topic_states(settings, specs)] == [0, 0]


async def test_another_retention_is_told_and_left_alone(
    settings: KafkaSettings, specs: list[TopicSpec], admin: AIOKafkaAdminClient
) -> None:
    """What an operator may have meant so is shown, not refused and not changed."""
    await apply_topics(settings, specs, replication=1)
    shorter = [replace(specs[0], retention_ms=3_600_000), specs[1]]
    for state in (await topic_states(settings, shorter), await apply_topics(settings, shorter, replication=1)):
        assert [each.differences for each in state] == [("retention.ms is -1, not 3600000",), ()]


async def test_a_topic_that_cannot_hold_the_log_is_refused(
    settings: KafkaSettings, specs: list[TopicSpec], admin: AIOKafkaAdminClient
) -> None:
    """A compacted topic would lose records, a writer's own clock would make moments meaningless."""
    spec = specs[0]
    await admin.create_topics([NewTopic(spec.name, 1, 1, topic_configs={"cleanup.policy": "compact,delete"})])
    with pytest.raises(ConfigurationError) as refusal:
        await apply_topics(settings, [spec], replication=1)
    for word in ("cleanup.policy=compact,delete", "message.timestamp.type=CreateTime", "max.message.bytes=1048588"):
        assert word in str(refusal.value)
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as stranger:
        await stranger.send_and_wait(spec.name, b"v", key=b"k")
    async with await KafkaLog.open(settings, [spec]) as log:
        with pytest.raises(ConfigurationError, match="LogAppendTime"):
            await log.read(TopicPartition(spec.name, 0), 0)
