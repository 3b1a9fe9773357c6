"""Inlets in Kafka: which there are, and deleting from them what is merged."""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka.admin import RecordsToDelete
from aiokafka.structs import TopicPartition as KafkaPartition
from msgspec import Struct
from msgspec.structs import replace

from helamem.schemas.records import TopicPartition
from helamem.schemas.topics import TopicSpec, inlet_of, tenant_of_inlet
from helamem.streams.log.kafka_configs import configs_of
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import admin_client, config_faults


class Inlets(Struct, frozen=True, kw_only=True):
    """The inlets that Kafka holds, by name, each with the partitions that it has."""

    found: tuple[TopicSpec, ...]
    sound: tuple[TopicSpec, ...]
    """Those that can be merged."""
    faults: tuple[str, ...]
    """What keeps the others from it, each a sentence."""


async def inlets_in(settings: KafkaSettings) -> Inlets:
    """Return the inlets that Kafka holds.

    Raises:
        RetryLater: Kafka is away.
        ConfigurationError: Kafka refuses to tell.
    """
    async with admin_client(settings, "looking for inlets") as admin:
        # All partitions and not those alone that have a leader: where a record belongs hangs on their number.
        found = {one["topic"]: one["partitions"] for one in await admin.describe_topics() if not one["error_code"]}
        specs = [
            replace(inlet_of(tenant), partitions=len(found[name]))
            for name in sorted(found)
            if (tenant := tenant_of_inlet(name)) is not None
        ]
        configs = await configs_of(admin, [spec.name for spec in specs])
    faults = {}
    for spec in specs:
        replication = min(len(one["replicas"]) for one in found[spec.name])
        faults[spec.name], _ = config_faults(spec, replication, configs[spec.name].in_force)
    return Inlets(
        found=tuple(specs),
        sound=tuple(spec for spec in specs if not faults[spec.name]),
        faults=tuple(f"{name} {fault}" for name, several in faults.items() for fault in several),
    )


async def delete_before(settings: KafkaSettings, offsets: Mapping[TopicPartition, int]) -> None:
    """Delete what stands before some offsets.

    Raises:
        RetryLater: Kafka is away.
        ConfigurationError: Kafka refuses to.
    """
    async with admin_client(settings, "deleting what is merged from inlets") as admin:
        await admin.delete_records({KafkaPartition(*at): RecordsToDelete(offset) for at, offset in offsets.items()})
