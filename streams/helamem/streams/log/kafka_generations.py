"""Generations of the topics: which one is in use, and the marks in Kafka that say so.

Which generation is in use is one fact, kept where the records are: it is the highest one whose conversations take
append times (`message.timestamp.type=LogAppendTime`). While a migration fills a generation, its topics take the times
that the copies bring along (`CreateTime`); switching is changing that one setting of that one topic, last of all.
A generation that is being left takes no record any more (`max.message.bytes=1`), so that nothing can be written past
a migration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from aiokafka.admin import AIOKafkaAdminClient
from msgspec import Struct

from helamem.schemas.errors import BadInput, ConfigurationError, RetryLater
from helamem.schemas.records import base_name_of, generation_of
from helamem.schemas.topics import CONVERSATIONS, TOPICS, TopicSpec
from helamem.streams.log.generation import specs_of
from helamem.streams.log.kafka_configs import (
    SIZE,
    TIMES,
    change_configs,
    configs_of,
    put_configs,
    taken_over,
    topic_configs,
)
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import SEALED_BYTES, admin_client, create_topics, partitions_fault, replicas_of

FILLING = {TIMES: "CreateTime"}
"""What is otherwise in the configuration of a topic that a migration fills."""

SEALED: Final = "in use, sealed"
"""State of the generation in use during a migration."""
GenerationState = Literal["in use", "in use, sealed", "being filled", "left"]


class Generation(Struct, frozen=True, kw_only=True):
    """One generation of the topics."""

    number: int
    partitions: int
    """Of each topic that is keyed by space."""
    state: GenerationState


async def generations(settings: KafkaSettings) -> list[Generation]:
    """Return the generations that Kafka holds, oldest first.

    Raises:
        RetryLater: Kafka is away.
        ConfigurationError: Kafka refuses to tell.
    """
    async with admin_client(settings, "looking at generations") as admin:
        return await _generations(admin, await replicas_of(admin))


async def in_use(settings: KafkaSettings, specs: Sequence[TopicSpec] = TOPICS) -> tuple[TopicSpec, ...]:
    """Return the specs in the generation in use, with its partitions; the first one where there are no topics yet.

    Specs that are not among `TOPICS` are somebody's own, and stay as they are.

    Raises:
        RetryLater: Kafka is away.
        ConfigurationError: Kafka refuses to tell.
    """
    async with admin_client(settings, "looking at topics") as admin:
        return await _in_use(admin, specs, await replicas_of(admin))


async def checked_topics(settings: KafkaSettings, specs: Sequence[TopicSpec]) -> tuple[TopicSpec, ...]:
    """Return the specs as `in_use` does, once it is sure that the topics are there as they should be.

    Raises:
        ConfigurationError: One is missing or has another number of partitions.
        RetryLater: Kafka is away.
    """
    async with admin_client(settings, "looking at topics") as admin:
        found = await replicas_of(admin)
        specs = await _in_use(admin, specs, found)
    missing = [spec.name for spec in specs if spec.name not in found]
    if missing:
        raise ConfigurationError(
            f"Kafka at {settings.bootstrap_servers} has no topic {', '.join(missing)}; run `helamem topics apply`"
        )
    for spec in specs:
        if fault := partitions_fault(spec, len(found[spec.name])):
            raise ConfigurationError(f"{spec.name} {fault}")
    return tuple(specs)


async def prepare(
    admin: AIOKafkaAdminClient, source: Sequence[TopicSpec], target: Sequence[TopicSpec], replication: int
) -> None:
    """Make the topics of a generation that is to be filled, as those in use are, or set them right where they are.

    Args:
        admin: From `admin_client`.
        source: The generation in use.
        target: The one that is to be filled, in the same order.
        replication: Replicas of each partition that is made.

    Raises:
        ConfigurationError: Kafka refuses, or the replicas cannot keep what is set on the topics in use.
        RetryLater: Kafka cannot do it now.
    """
    found = await replicas_of(admin)
    configs = await configs_of(admin, [spec.name for spec in (*source, *target) if spec.name in found])
    wanted = {}
    for before, after in zip(source, target, strict=True):
        if not found.get(before.name):
            raise RetryLater(f"nobody leads {before.name} in Kafka now; try again")
        own = configs[before.name].own
        there = min(found.get(after.name, ()), default=replication)
        wanted[after.name] = taken_over(after, own, min(found[before.name]), there) | FILLING
        # A sealed topic does not know any more what it took; the one made before it was sealed does.
        sizes = own if own.get(SIZE) != str(SEALED_BYTES) else configs[after.name].own if after.name in configs else {}
        if SIZE in sizes:
            wanted[after.name][SIZE] = sizes[SIZE]
    await create_topics(admin, target, replication, configs=wanted)
    if there_already := {name: own for name, own in wanted.items() if name in configs}:
        await put_configs(admin, there_already)


async def seal(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
    """Let topics take no record any more, whoever sends it."""
    await change_configs(admin, {spec.name: {SIZE: str(SEALED_BYTES)} for spec in specs})


async def unseal(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
    """Let topics take records again, as large as before: the generation that was to follow knows."""
    found = await replicas_of(admin)
    later = {
        spec.name: max((name for name in found if _number(spec, name) > spec.generation), key=generation_of, default="")
        for spec in specs
    }
    configs = await configs_of(admin, [name for name in later.values() if name])
    sizes = {
        spec.name: configs[name].in_force[SIZE] if (name := later[spec.name]) else topic_configs(spec, 1)[SIZE]
        for spec in specs
    }
    await change_configs(admin, {name: {SIZE: size} for name, size in sizes.items()})


async def put_in_use(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
    """Switch to the generation of these topics."""
    last = [spec for spec in specs if spec.base_name == CONVERSATIONS.base_name]
    for some in ([spec for spec in specs if spec not in last], last):
        await change_configs(admin, {spec.name: {TIMES: topic_configs(spec, 1)[TIMES]} for spec in some})


async def _generations(admin: AIOKafkaAdminClient, found: Mapping[str, Sequence[int]]) -> list[Generation]:
    numbers = {name: number for name in found if (number := _number(CONVERSATIONS, name))}
    configs = await configs_of(admin, list(numbers))
    usable = [number for name, number in numbers.items() if configs[name].in_force[TIMES] != FILLING[TIMES]]
    current = max(usable, default=min(numbers.values(), default=1))

    def state(name: str, number: int) -> GenerationState:
        if number > current:
            return "being filled"
        if number < current:
            return "left"
        return SEALED if configs[name].in_force[SIZE] == str(SEALED_BYTES) else "in use"

    return [
        Generation(number=number, partitions=len(found[name]), state=state(name, number))
        for name, number in sorted(numbers.items(), key=lambda one: one[1])
    ]


async def _in_use(
    admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec], found: Mapping[str, Sequence[int]]
) -> tuple[TopicSpec, ...]:
    if all(_number(CONVERSATIONS, name) in {0, CONVERSATIONS.generation} for name in found):
        return tuple(specs)
    current = next(one for one in await _generations(admin, found) if one.state.startswith("in use"))
    if current.number == CONVERSATIONS.generation:
        return tuple(specs)
    resolved = dict(zip(TOPICS, specs_of(current.number, current.partitions, TOPICS), strict=True))
    return tuple(next((resolved[one] for one in TOPICS if one == spec), spec) for spec in specs)


def _number(spec: TopicSpec, name: str) -> int:
    """Return of which generation of a topic this is the name, or 0."""
    if base_name_of(name) != spec.base_name:
        return 0
    try:
        return generation_of(name)
    except BadInput:
        return 0
