"""Topics in Kafka: what is there, and making what is missing. Nothing is ever grown, shrunk or deleted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import NoError, TopicAlreadyExistsError, for_code
from msgspec import Struct

from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.schemas.topics import TopicSpec
from helamem.streams.log.kafka_configs import COMPRESSION, SIZE, TIMES, configs_of, topic_configs
from helamem.streams.log.kafka_errors import FAILURES, explained
from helamem.streams.log.kafka_settings import KafkaSettings

_LOOK_AGAIN_S = 0.05


class TopicState(Struct, frozen=True, kw_only=True):
    """What Kafka has of one topic."""

    name: str
    partitions: int
    """0 where the topic is missing."""
    replication: int
    faults: tuple[str, ...] = ()
    """What keeps the product from working with it, in words."""
    differences: tuple[str, ...] = ()
    """What differs from the spec and may be meant so, in words."""
    created: bool = False
    """Whether it was made just now."""


SEALED_BYTES = 1
"""Largest batch of a topic that takes no more records: none is so small. Every producer is refused, ours or not."""


async def retention_ms(settings: KafkaSettings, names: Sequence[str]) -> list[int]:
    """Return how long Kafka keeps the records of topics, in milliseconds; -1 is for ever.

    Raises:
        RetryLater: Kafka is away.
        ConfigurationError: Kafka refuses to tell.
    """
    async with admin_client(settings, "looking at topics") as admin:
        found = await configs_of(admin, names)
    return [int(found[name].in_force["retention.ms"]) for name in names]


async def apply_topics(settings: KafkaSettings, specs: Sequence[TopicSpec], replication: int) -> list[TopicState]:
    """Create the topics that are missing and check those that are there.

    Args:
        settings: How to reach Kafka.
        specs: The topics.
        replication: Copies of each partition, for topics that are made now.

    Returns:
        The state of each, in order.

    Raises:
        ConfigurationError: A topic has another number of partitions or cannot hold what it must. Then nothing was made.
        RetryLater: Kafka is away.
    """
    async with admin_client(settings, "creating topics") as admin:
        states = await _states(admin, specs)
        _refuse_faults(states)
        missing = {state.name for state in states if not state.partitions}
        if not missing:
            return states
        for dry_run in (True, False):  # all or none, as far as Kafka can tell beforehand
            await create_topics(admin, [spec for spec in specs if spec.name in missing], replication, dry_run=dry_run)
        async with asyncio.timeout(settings.timeout_s):
            while any(not state.partitions for state in states):  # brokers hear of it a little later
                await asyncio.sleep(_LOOK_AGAIN_S)
                states = await _states(admin, specs)
        _refuse_faults(states)  # somebody else may have been faster
        return [
            TopicState(
                name=state.name,
                partitions=state.partitions,
                replication=state.replication,
                differences=state.differences,
                created=state.name in missing,
            )
            for state in states
        ]


async def topic_states(settings: KafkaSettings, specs: Sequence[TopicSpec]) -> list[TopicState]:
    """Return what Kafka has of each topic, in order.

    Raises:
        RetryLater: Kafka is away.
        ConfigurationError: Kafka refuses to tell.
    """
    async with admin_client(settings, "looking at topics") as admin:
        return await _states(admin, specs)


@contextlib.asynccontextmanager
async def admin_client(settings: KafkaSettings, doing: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Open an admin client; what goes wrong with it is explained, with what was being done."""
    try:
        admin = AIOKafkaAdminClient(**settings.client_options())
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()
    except FAILURES as error:
        raise explained(error, doing, settings) from error


async def replicas_of(admin: AIOKafkaAdminClient) -> dict[str, list[int]]:
    """Return per topic the number of replicas of each partition that has a leader."""
    # Asking for all topics, since asking for one by name may create it.
    return {
        topic["topic"]: [len(part["replicas"]) for part in topic["partitions"] if part["leader"] >= 0]
        for topic in await admin.describe_topics()
        if not topic["error_code"]
    }


async def _states(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> list[TopicState]:
    found = await replicas_of(admin)
    configs = await configs_of(admin, [spec.name for spec in specs if spec.name in found])
    return [
        _state(spec, found.get(spec.name, []), configs[spec.name].in_force if spec.name in configs else {})
        for spec in specs
    ]


def _state(spec: TopicSpec, replicas: Sequence[int], configs: dict[str, str]) -> TopicState:
    if not replicas:
        return TopicState(name=spec.name, partitions=0, replication=0)
    replication = min(replicas)
    faults = []
    if fault := partitions_fault(spec, len(replicas)):
        faults.append(fault)
    more, differences = config_faults(spec, replication, configs)
    return TopicState(
        name=spec.name,
        partitions=len(replicas),
        replication=replication,
        faults=(*faults, *more),
        differences=differences,
    )


def config_faults(
    spec: TopicSpec, replication: int, configs: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what of a topic's configuration keeps the product from working with it, and what may be meant so."""
    faults, differences = [], []
    for name, wanted in topic_configs(spec, replication).items():
        found = configs.get(name, "")
        if name in {"cleanup.policy", TIMES, *([COMPRESSION] if spec.transit else [])} and found != wanted:
            faults.append(f"has {name}={found} and needs {wanted}; set it with kafka-configs")
        elif name == SIZE and found == str(SEALED_BYTES):
            faults.append("is sealed for a migration; finish that with `helamem topics migrate`, or give --cancel")
        elif name == SIZE and int(found) < int(wanted):
            faults.append(f"has {name}={found} and needs at least {wanted}; raise it with kafka-configs")
        elif name not in {SIZE, COMPRESSION} and found != wanted:
            differences.append(f"{name} is {found}, not {wanted}")
    return tuple(faults), tuple(differences)


def partitions_fault(spec: TopicSpec, partitions: int) -> str:
    """Return what is wrong with a number of partitions, or nothing."""
    if partitions == spec.partitions:
        return ""
    return (
        f"has {partitions} partitions and {spec.partitions} are configured; a topic is never grown in place:"
        f" configure {partitions}, or move to a new generation with `helamem topics migrate`"
    )


def _refuse_faults(states: Sequence[TopicState]) -> None:
    faults = [f"{state.name} {fault}" for state in states for fault in state.faults]
    if faults:
        raise ConfigurationError("; ".join(faults))


async def create_topics(
    admin: AIOKafkaAdminClient,
    specs: Sequence[TopicSpec],
    replication: int,
    *,
    dry_run: bool = False,
    configs: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Create topics; those that are there already are left alone.

    Args:
        admin: From `admin_client`.
        specs: The topics.
        replication: Copies of each partition.
        dry_run: Only ask whether it could be done.
        configs: Their configuration by name, where it is not that of the specs.

    Raises:
        ConfigurationError: Kafka will not do it.
        RetryLater: Kafka cannot do it now.
    """
    configs = configs or {spec.name: topic_configs(spec, replication) for spec in specs}
    topics = [
        NewTopic(spec.name, spec.partitions, replication, topic_configs=dict(configs[spec.name])) for spec in specs
    ]
    response = await admin.create_topics(topics, validate_only=dry_run)
    for name, code, message, *_ in response.topic_errors:
        error = for_code(code)
        if error in (NoError, TopicAlreadyExistsError):
            continue
        sentence = f"Kafka does not create {name}: {message or error.__name__}"
        if error.retriable:
            raise RetryLater(f"{sentence}; try again")
        raise ConfigurationError(f"{sentence}; check replication ({replication}), the number of brokers, and rights")
