"""Which generation of its topics a log holds: code names a topic without regard to it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from helamem.schemas.records import generation_of
from helamem.schemas.topics import TopicSpec
from helamem.streams.log.port import Log


def specs_of(number: int, partitions: int, specs: Sequence[TopicSpec]) -> tuple[TopicSpec, ...]:
    """Return the specs of a generation; a topic that has one partition keeps to it."""
    return tuple(
        replace(spec, generation=number, partitions=partitions if spec.partitions > 1 else 1) for spec in specs
    )


async def specs_in(log: Log, specs: Sequence[TopicSpec]) -> tuple[TopicSpec, ...]:
    """Return the specs in the generation that a log holds, with its partitions."""
    found = []
    for spec in specs:
        partitions = await log.partitions(spec.name)
        number = generation_of(partitions[0].topic)
        found.append(replace(spec, generation=number, partitions=len(partitions)))
    return tuple(found)
