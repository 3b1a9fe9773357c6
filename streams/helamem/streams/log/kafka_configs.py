"""The configuration of topics in Kafka: reading it, changing it, and what a new generation takes over from the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import NoError, for_code
from msgspec import Struct

from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.schemas.topics import TopicSpec
from helamem.streams.log.partitioner import MAX_KEY_BYTES

SIZE = "max.message.bytes"
TIMES = "message.timestamp.type"
COMPRESSION = "compression.type"
REPLICAS_IN_SYNC = "min.insync.replicas"
_BATCH_OVERHEAD_BYTES = 1_024
_TRANSIT_MS = 3_600_000
_SET_ON_THE_TOPIC = 1
_OF_ITS_OWN = {
    SIZE,
    TIMES,
    # They name partitions and brokers while replicas are being moved.
    "follower.replication.throttled.replicas",
    "leader.replication.throttled.replicas",
}
"""What no topic takes over from another."""


class TopicConfig(Struct, frozen=True, kw_only=True):
    """What is configured of one topic."""

    in_force: dict[str, str]
    """All of it, what comes from the broker and from Kafka's defaults included."""
    own: dict[str, str]
    """What was set on the topic itself."""


def topic_configs(spec: TopicSpec, replication: int) -> dict[str, str]:
    """Return the configuration of a topic that keeps what was acknowledged.

    With one replica nothing but that node's disk holds a record, so the disk is synced before the acknowledgement;
    with more, two replicas must have it.
    """
    configs = {
        "cleanup.policy": "delete",
        COMPRESSION: "uncompressed" if spec.transit else "producer",
        # Kafka's limit is that of a whole batch: key, value and what is around them.
        SIZE: str(spec.max_record_bytes + MAX_KEY_BYTES + _BATCH_OVERHEAD_BYTES),
        TIMES: "LogAppendTime",
        REPLICAS_IN_SYNC: str(min(2, replication)),
        "retention.bytes": "-1",
        "retention.ms": str(spec.retention_ms),
        "unclean.leader.election.enable": "false",
    }
    if replication == 1:
        configs["flush.messages"] = "1"
    if spec.transit:  # what is deleted lies on the disk until its file is closed
        configs["segment.ms"] = str(_TRANSIT_MS)
    return configs


def taken_over(spec: TopicSpec, own: Mapping[str, str], replicas: int, replication: int) -> dict[str, str]:
    """Return the configuration of the topic that follows another one: an operator's changes to that go along.

    Args:
        spec: The topic that follows.
        own: What is set on the one before.
        replicas: Of each partition of that one, by which its configuration was once made.
        replication: Replicas that the new one is to have.

    Raises:
        ConfigurationError: What was set cannot be had with so many replicas.
    """
    usual, configs = topic_configs(spec, replicas), topic_configs(spec, replication)
    for name in usual.keys() | own.keys():
        if name in _OF_ITS_OWN or own.get(name) == usual.get(name):
            continue
        if name in own:
            configs[name] = own[name]
        else:  # taken off, so what holds for all topics of the cluster holds for this one
            configs.pop(name, None)
    if int(configs.get(REPLICAS_IN_SYNC, 1)) > replication:
        raise ConfigurationError(
            f"{spec.base_name} has {REPLICAS_IN_SYNC}={configs[REPLICAS_IN_SYNC]}, which {replication} replicas cannot"
            " keep; set HELAMEM_KAFKA_REPLICATION to what the topics in use have, or lower that setting of the topic"
        )
    return configs


async def configs_of(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, TopicConfig]:
    """Return the configuration of topics, by their names.

    Raises:
        RetryLater: Kafka cannot tell now.
        ConfigurationError: Kafka refuses to tell.
    """
    if not names:
        return {}
    configs = {}
    for response in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names]):
        for code, _, _, name, entries in response.resources:
            _raise_for(code, name)
            configs[name] = TopicConfig(
                in_force={entry[0]: entry[1] for entry in entries},
                own={entry[0]: entry[1] for entry in entries if entry[3] == _SET_ON_THE_TOPIC},
            )
    return configs


async def change_configs(admin: AIOKafkaAdminClient, changes: Mapping[str, Mapping[str, str]]) -> None:
    """Change settings of topics, all or none; whatever else was set on them stays.

    Raises:
        RetryLater: Kafka cannot do it now.
        ConfigurationError: Kafka refuses to.
    """
    kept = await configs_of(admin, [*changes])
    await put_configs(admin, {name: kept[name].own | dict(changes[name]) for name in changes})


async def put_configs(admin: AIOKafkaAdminClient, configs: Mapping[str, Mapping[str, str]]) -> None:
    """Let topics have these settings and no others of their own, all or none.

    Raises:
        RetryLater: Kafka cannot do it now.
        ConfigurationError: Kafka refuses to.
    """
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, dict(own)) for name, own in configs.items()]
    for response in await admin.alter_configs(resources):
        for code, message, _, name in response.resources:
            _raise_for(code, f"{name}: {message}")


def _raise_for(code: int, where: str) -> None:
    error = for_code(code)
    if error is NoError:
        return
    if error.retriable:
        raise RetryLater(f"Kafka cannot change or tell the configuration now ({error.__name__}, {where}); try again")
    raise ConfigurationError(
        f"Kafka does not change or tell the configuration of a topic ({error.__name__}, {where}); check the rights"
        " DescribeConfigs and AlterConfigs"
    )
