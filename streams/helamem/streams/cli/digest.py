"""`helamem digest`: one line that tells whether two projections hold the same."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
import typer

from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.schemas.settings import Settings
from helamem.streams.cli.commands import (
    DEFAULT_HOME,
    AnySpaceOption,
    ArchiveOption,
    HomeOption,
    JsonOption,
    KeysOption,
    NoProcessOption,
    add,
)
from helamem.streams.cli.kafka import KafkaOption, kafka_log, only_one
from helamem.streams.cli.output import show, table
from helamem.streams.cli.progress import told
from helamem.streams.cli.session import Session, in_home
from helamem.streams.sealing.opening import check_keys

if TYPE_CHECKING:  # it imports the engine
    from helamem.processors.digest import Digest
    from helamem.schemas.records import TopicPartition

T = TypeVar("T")


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "digest", digest, "helamem digest --space acme/mira")


def digest(
    context: typer.Context,
    *,
    space: AnySpaceOption = None,
    no_process: NoProcessOption = False,
    kafka: KafkaOption = False,
    archive: ArchiveOption = None,
    keys: KeysOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Print the SHA-256 of what the log became: memories, links and facts.

    Two homes with the same digest remember the same. It holds for the positions and settings printed with it.
    With --kafka it is that of the fleet's store, once its workers have come to the end of the log. With --archive it
    is that of a rebuild from the archive, which is made for it and thrown away.
    """
    only_one(context, kafka=kafka, archive=archive)
    check_keys(keys)

    async def compute(session: Session) -> tuple[Digest, dict[str, int], Settings]:
        if space is not None:
            await session.known(space)
        return await session.memory.digest(space), await session.positions(), session.memory.instance.settings

    if kafka:
        found, positions, settings = asyncio.run(_of_the_fleet(space))
    elif archive is not None:
        found, positions, settings = _of_an_archive(archive, keys, compute)
    else:
        found, positions, settings = in_home(home, compute, process=not no_process)
    answer = {
        "digest": found.digest,
        "spaces": {name: part.digest for name, part in found.spaces.items()},
        "parts": {
            name: {"memories": part.memories, "edges": part.edges, "facts": part.facts, "counts": part.counts}
            for name, part in found.spaces.items()
        },
        "positions": positions,
        "settings": msgspec.to_builtins(settings),
    }
    rows = [
        (name, part.digest, part.counts["memories"], part.counts["edges"], part.counts["facts"])
        for name, part in found.spaces.items()
    ]
    drawn = table(
        found.digest,
        ("space", "digest", "memories", "edges", "facts"),
        rows,
        right=("memories", "edges", "facts"),
    )
    show(answer, lambda console: console.print(drawn), as_json=json)


def _of_an_archive(archive: str, keys: Path | None, compute: Callable[[Session], Awaitable[T]]) -> T:
    from helamem.streams.replay import replay_archive  # noqa: PLC0415 - it imports the engine

    with tempfile.TemporaryDirectory(prefix="helamem-digest-") as folder:
        rebuilt = Path(folder) / "rebuilt"
        with told("replaying") as telling:
            asyncio.run(replay_archive(archive, rebuilt, keys=keys, **telling))
        return in_home(rebuilt, compute)


async def _of_the_fleet(space: str | None) -> tuple[Digest, dict[str, int], Settings]:
    """Return the digest of the fleet's store.

    Raises:
        RetryLater: Workers are behind, or went on meanwhile; or Kafka or the store is away.
    """
    from helamem.processors.digest import digest as compute  # noqa: PLC0415 - it imports arrays
    from helamem.processors.embedder.choose import choose_embedder  # noqa: PLC0415 - it imports arrays
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka
    from helamem.streams.fleet.worker import open_store  # noqa: PLC0415 - it imports the engine
    from helamem.streams.lag import lags  # noqa: PLC0415 - it imports arrays
    from helamem.streams.settings_log import settings_in_force  # noqa: PLC0415 - likewise

    config = load_config()
    async with kafka_log() as log, open_store(config, choose_embedder(config.embedder)) as store:

        async def applied(group: str) -> dict[TopicPartition, int]:
            return {at: one.position.offset for at, one in (await store.load_checkpoints(group)).items()}

        before = await lags(log, applied)
        if behind := sum(one.lag for one in before):
            raise RetryLater(
                f"the fleet has yet to process {behind:,} records; try again when `helamem lag --kafka` says 0"
            )
        found = await compute(store, space)
        if await lags(log, applied) != before:
            raise RetryLater("the fleet went on while the digest was computed; try again when nothing comes in")
        settings = await settings_in_force(log, await store.load_checkpoints("encoding"))
        if settings is None:
            raise ConfigurationError("the log in Kafka has no settings yet; run: helamem topics apply")
        return found, {str(one.partition): one.committed or 0 for one in before}, settings
