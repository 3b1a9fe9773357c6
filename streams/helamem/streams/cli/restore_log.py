"""`helamem restore-log`: an archive back into a log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from helamem.schemas.errors import BadInput
from helamem.schemas.topics import TOPICS, TopicSpec
from helamem.streams.cli.commands import DEFAULT_HOME, HomeOption, JsonOption, add
from helamem.streams.cli.kafka import KafkaOption, kafka_log, only_one, place, quiet_clients
from helamem.streams.cli.output import say, show, table
from helamem.streams.cli.progress import bar

if TYPE_CHECKING:  # it imports cryptography
    from collections.abc import Callable

    from helamem.streams.archive.restore import Restored


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "restore-log", restore_log, "helamem restore-log --archive archive --home restored")


def restore_log(
    context: typer.Context,
    *,
    archive: Annotated[str, typer.Option("--archive", help="The archive: a directory or a URL.", show_default=False)],
    renumber: Annotated[
        bool, typer.Option("--renumber", help="Allow gaps: records after one get lower offsets than they had.")
    ] = False,
    kafka: KafkaOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Write an archive into a new home, or into Kafka: same generation, partitions, order, ids and bytes.

    A home gets the append times too; Kafka gives its own. Topics that are missing in Kafka are made. Nothing is
    written over: a home with a log and topics with records are refused. Sealed words stay sealed, by keys that no
    archive holds. Process the new log with helamem run --once, or look at it with helamem digest.
    """
    only_one(context, kafka=kafka)
    with bar("restoring") as advance:
        restored = asyncio.run(_restore(archive, home, advance, renumber=renumber, kafka=kafka))
    answer = {
        "records": restored.records,
        "renumbered": [str(at) for at in restored.renumbered],
        "times_kept": restored.times_kept,
        "sealed_tenants": list(restored.sealed_tenants),
    }
    times = "yes" if restored.times_kept else "no"
    drawn = table(
        f"{archive} → {place(home, kafka=kafka)}",
        ("records", "partitions with other offsets", "append times kept"),
        [(restored.records, len(restored.renumbered), times)],
        right=("records", "partitions with other offsets"),
    )
    show(answer, lambda console: console.print(drawn), as_json=json)
    if restored.sealed_tenants:
        names = ", ".join(restored.sealed_tenants)
        say(f"words are sealed in it: {names}; {_what_is_missing(home, restored.sealed_tenants, kafka=kafka)}")


def _what_is_missing(home: Path, sealed: Sequence[str], *, kafka: bool) -> str:
    """Return what somebody has to do so that sealed words open, and others are sealed."""
    if not kafka:
        return f"put a copy of the keys that sealed them at {home / 'keys'} before you process it"
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka
    from helamem.streams.sealing.fleet import sealed_tenants  # noqa: PLC0415 - it imports arrays

    config = load_config()
    keys = "which is not set" if config.keys is None else f"now {config.keys}"
    todo = f"before workers start HELAMEM_KEYS, {keys}, has to name the directory with the keys that sealed them"
    if unnamed := sorted(set(sealed) - set(sealed_tenants(config))):
        names = ", ".join(unnamed)
        todo += f"; name {names} in HELAMEM_SEALED_TENANTS, or what is said from now on stands there readable"
    return todo


async def _restore(
    archive: str, home: Path, on_progress: Callable[[int, int], None], *, renumber: bool, kafka: bool
) -> Restored:
    from helamem.streams.archive.log import ArchiveLog  # noqa: PLC0415 - it imports cryptography
    from helamem.streams.archive.restore import restore_home, restore_into  # noqa: PLC0415 - likewise
    from helamem.streams.log.generation import specs_in  # noqa: PLC0415 - likewise

    async with await ArchiveLog.open(archive, TOPICS) as source:
        specs = await specs_in(source, TOPICS)
        if not kafka:
            return await restore_home(source, specs, home, renumber=renumber, on_progress=on_progress)
        await _make_topics(specs)
        async with kafka_log() as log:
            return await restore_into(source, specs, log, renumber=renumber, on_progress=on_progress)


async def _make_topics(specs: Sequence[TopicSpec]) -> None:
    """Make the topics that are missing in Kafka.

    Raises:
        BadInput: Kafka has another generation of them, or the configuration is not valid.
    """
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka
    from helamem.streams.log.kafka_generations import generations  # noqa: PLC0415 - likewise
    from helamem.streams.log.kafka_topics import apply_topics  # noqa: PLC0415 - likewise
    from helamem.streams.sealing.fleet import sealed_tenants  # noqa: PLC0415 - likewise

    quiet_clients()
    config = load_config()
    sealed_tenants(config)  # refused now and not after the work
    number = specs[0].generation
    for one in await generations(config.kafka()):
        if one.number != number:
            raise BadInput(
                f"Kafka at {config.kafka_servers} has generation {one.number} of the topics and the archive is of"
                f" generation {number}; restore into a Kafka without them, or delete them there"
            )
    await apply_topics(config.kafka(), specs, config.kafka_replication)
