"""`helamem rebuild`: another build of the fleet's store beside the one in use, and the switch to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from helamem.schemas.errors import BadInput
from helamem.streams.cli.commands import EXIT_PROBLEM, JsonOption, add
from helamem.streams.cli.kafka import kafka_log
from helamem.streams.cli.output import say, show, table
from helamem.streams.cli.progress import Told, told

if TYPE_CHECKING:  # they import aiokafka and the engine
    from helamem.streams.builds import Built, Server
    from helamem.streams.config import Config


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "rebuild", rebuild, "helamem rebuild && helamem rebuild --switch")


def rebuild(
    *,
    embedder: Annotated[
        str | None,
        typer.Option("--embedder", metavar="NAME", help="Embed everything by this model.", show_default="as now"),
    ] = None,
    switch: Annotated[
        bool, typer.Option("--switch", help="Use the new build, once it is compared; workers have to be stopped.")
    ] = False,
    switch_back: Annotated[
        bool, typer.Option("--switch-back", help="Use the build before the one in use; workers have to be stopped.")
    ] = False,
    work: Annotated[Path, typer.Option("--work", help="Directory for what is needed while a build is made.")] = Path(
        "helamem-rebuild"
    ),
    json: JsonOption = False,
) -> None:
    """Build the fleet's store on a Qdrant server anew from the log, beside the one in use, and switch to it.

    The fleet may be at work while the new build is filled; the same command goes on with it, and takes in what came
    since. Where both stand at the end of the log, their digests are compared. What a service answers to --embedder is
    recorded in the log.

    Exit codes: 0 done, 1 not switched, since workers run or are behind, 2 the builds differ or the set-up is at fault.
    """
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka

    config = load_config()
    if config.store != "qdrant":
        raise BadInput("helamem rebuild is for a Qdrant server; set HELAMEM_STORE=qdrant, or use: helamem replay")
    if switch_back:
        if switch or embedder is not None:
            raise BadInput("--switch-back goes alone: it builds nothing")
        left, now = asyncio.run(_back(config))
        show(
            {"in_use": now, "left": left},
            lambda console: console.print(f"build {now} is in use and no longer build {left}"),
            as_json=json,
        )
        return
    work.mkdir(parents=True, exist_ok=True)
    with told("building") as telling:
        built = asyncio.run(_build(config, work, embedder, telling, switch=switch))
    hubs = built.replayed.hubs
    answer = {
        "build": built.build,
        "in_use": built.in_use,
        "compared": built.compared,
        "digest": built.replayed.digest.digest,
        "positions": built.replayed.positions,
        "settings": msgspec.to_builtins(built.settings),
        "records": built.replayed.records,
        "hubs": {"recorded": hubs.recorded, "missing": hubs.missing, "different": hubs.different},
    }
    row = (built.build, built.in_use, built.compared, built.settings.encoding.embedder)
    title = built.replayed.digest.digest
    show(
        answer,
        lambda console: console.print(table(title, ("build", "in use", "compared", "embedder"), [row])),
        as_json=json,
    )
    if hubs.different:
        say(f"the log does not give again what it gave: {hubs.different} hubs differ")
        raise typer.Exit(EXIT_PROBLEM)


@asynccontextmanager
async def _server(config: Config) -> AsyncIterator[Server]:
    from helamem.streams.builds import Server  # noqa: PLC0415 - it imports the engine
    from helamem.streams.fleet.worker import qdrant_client  # noqa: PLC0415 - likewise

    client = qdrant_client(config)
    try:
        yield Server(client=client, prefix=config.qdrant_prefix, settings=config.qdrant())
    finally:
        await client.close()


async def _build(config: Config, work: Path, embedder: str | None, telling: Told, *, switch: bool) -> Built:
    from helamem.streams.builds import build_beside  # noqa: PLC0415 - it imports the engine
    from helamem.streams.sealing.fleet import fleet_sealing  # noqa: PLC0415 - it imports arrays

    sealing = fleet_sealing(config)
    async with kafka_log() as log, _server(config) as server:
        return await build_beside(
            log,
            server,
            work,
            re_embed=embedder,
            switch=switch,
            at_work=lambda: _at_work(config),
            unsealer=sealing.unsealer,
            **telling,
        )


async def _back(config: Config) -> tuple[int, int]:
    from helamem.streams.builds import switch_back  # noqa: PLC0415 - it imports the engine

    async with _server(config) as server:
        return await switch_back(server, at_work=lambda: _at_work(config))


async def _at_work(config: Config) -> Mapping[str, int]:
    from helamem.streams.lag import READS  # noqa: PLC0415 - it imports arrays
    from helamem.streams.migrate.groups import at_work  # noqa: PLC0415 - it imports aiokafka

    return await at_work(config.kafka(), READS, ())
