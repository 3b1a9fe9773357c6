"""`helamem lag`: how far processing is behind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from helamem.streams.cli.commands import DEFAULT_HOME, HomeOption, JsonOption, add
from helamem.streams.cli.kafka import KafkaOption, fleets_kafka, log_to_read, only_one, place
from helamem.streams.cli.output import show, table

if TYPE_CHECKING:  # they import arrays
    from helamem.schemas.records import TopicPartition
    from helamem.streams.lag import PartitionLag


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "lag", lag, "helamem lag --kafka")


def lag(
    context: typer.Context,
    *,
    kafka: KafkaOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Show how many records each group has yet to process, by partition.

    It only reads: for a home from the checkpoints of its store, for the fleet from the positions that its workers
    committed. Records that wait for a worker which is down are lag too. In a fleet with inlets of tenants,
    what waits there for helamem merge is the lag of the group merge.
    """
    only_one(context, kafka=kafka)
    found = asyncio.run(_lags(home, kafka=kafka))
    total = sum(one.lag for one in found)
    groups: dict[str, int] = {}
    for one in found:
        groups[one.group] = groups.get(one.group, 0) + one.lag
    answer = {
        "lag": total,
        "groups": groups,
        "partitions": [
            {
                "group": one.group,
                "topic": one.partition.topic,
                "partition": one.partition.partition,
                "end": one.end,
                "committed": one.committed,
                "lag": one.lag,
            }
            for one in found
        ],
    }
    rows = [
        (one.group, one.partition, one.end, "none yet" if one.committed is None else one.committed, one.lag)
        for one in found
    ]
    drawn = table(
        f"{place(home, kafka=kafka)}: lag {total:,}",
        ("group", "partition", "end", "committed", "lag"),
        rows,
        right=("end", "committed", "lag"),
    )
    show(answer, lambda console: console.print(drawn), as_json=json)


async def _lags(home: Path, *, kafka: bool) -> list[PartitionLag]:
    if kafka:
        return await _lags_in_fleet()
    from helamem.processors.store.checkpoints import CheckpointFiles  # noqa: PLC0415 - it imports arrays
    from helamem.streams.home import Home  # noqa: PLC0415 - only needed for a home
    from helamem.streams.lag import lags  # noqa: PLC0415 - it imports arrays

    async with log_to_read(home, kafka=False) as log:
        checkpoints = Home.look(home).store_path / "checkpoints"

        async def processed(group: str) -> Mapping[TopicPartition, int]:
            if not checkpoints.is_dir():
                return {}
            return {at: one.position.offset for at, one in CheckpointFiles(checkpoints).load(group).items()}

        return await lags(log, processed)


async def _lags_in_fleet() -> list[PartitionLag]:
    from helamem.schemas.topics import TOPICS  # noqa: PLC0415 - only needed for the fleet
    from helamem.streams.inlet.rules import GROUP  # noqa: PLC0415 - it imports aiokafka
    from helamem.streams.lag import READS, lags  # noqa: PLC0415 - it imports arrays
    from helamem.streams.log.kafka import KafkaLog  # noqa: PLC0415 - it imports aiokafka
    from helamem.streams.log.kafka_generations import checked_topics  # noqa: PLC0415 - likewise
    from helamem.streams.log.kafka_inlets import inlets_in  # noqa: PLC0415 - likewise

    kafka = fleets_kafka()
    specs = await checked_topics(kafka, TOPICS)
    inlets = (await inlets_in(kafka)).found
    async with KafkaLog(kafka, (*specs, *inlets)) as log:
        return await lags(log, log.committed, READS | ({GROUP: inlets} if inlets else {}))
