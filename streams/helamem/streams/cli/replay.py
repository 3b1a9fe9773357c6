"""`helamem replay`: a fresh projection from the log, and whether the log gives again what it gave before."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from helamem.streams.cli.commands import (
    DEFAULT_HOME,
    EXIT_PROBLEM,
    ArchiveOption,
    HomeOption,
    JsonOption,
    KeysOption,
    add,
    check_space,
)
from helamem.streams.cli.kafka import KafkaOption, fleets_kafka, keys_of, only_one
from helamem.streams.cli.metrics import LOOPBACK, OnceMetricsHostOption, OnceMetricsOption, measuring_once
from helamem.streams.cli.output import say, show, table
from helamem.streams.cli.progress import Told, told
from helamem.streams.sealing.opening import check_keys

if TYPE_CHECKING:  # it imports the engine
    from helamem.streams.rebuild import Replayed


class Part(StrEnum):
    """What may be replayed by itself."""

    ENCODING = "encoding"
    EDGES = "edges"
    FACTS = "facts"


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "replay", replay, "helamem replay --into rebuilt && helamem digest --home rebuilt")


def replay(
    context: typer.Context,
    *,
    into: Annotated[Path, typer.Option("--into", help="A new directory for the projection.", show_default=False)],
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="MOMENT",
            help="Take what belongs to this moment: a time (by append time), an event's id, positions such as "
            "helamem.recalls.g1/0=12, or a JSON file of positions as digest prints them.",
            show_default="all",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MOMENT",
            help="Go on in the home that was replayed until this moment.",
            show_default="the beginning",
        ),
    ] = None,
    spaces: Annotated[
        str | None, typer.Option("--spaces", help="Only these, as TENANT/NAME,TENANT/NAME.", show_default="all")
    ] = None,
    only: Annotated[
        Part | None, typer.Option("--only", help="Only memories, only links, or only facts.", show_default="all three")
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option(
            "--embedder",
            metavar="NAME",
            help="Embed everything anew by this model; a service is asked for what the log has not recorded.",
            show_default="as in the log",
        ),
    ] = None,
    archive: ArchiveOption = None,
    kafka: KafkaOption = False,
    metrics: OnceMetricsOption = None,
    metrics_host: OnceMetricsHostOption = LOOPBACK,
    keys: KeysOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Rebuild what the log became in another directory. The log is only read, and no service is asked.

    Hubs are derived again and compared with the recorded ones; the exit code is 1 where they differ. A replay that was
    interrupted goes on when the same command is given again. With --archive the log is that of an archive, with --kafka
    that of the fleet, which may be at work. What a service embedded stands in the log; where it does not, the replay
    says what is missing and ends with 1.
    """
    only_one(context, kafka=kafka, archive=archive)
    check_keys(keys)
    chosen = [] if spaces is None else [check_space(space.strip()) for space in spaces.split(",")]
    with told("replaying") as telling:
        asked: dict[str, Any] = {
            "until": until,
            "since": since,
            "spaces": chosen,
            "only": None if only is None else only.value,
            "re_embed": embedder,
        }
        if keys is not None:
            asked["keys"] = keys
        source = None if kafka else archive or home
        replayed = asyncio.run(_replay(source, into, asked, telling, (metrics, metrics_host)))
    for space in sorted(set(chosen) - replayed.digest.spaces.keys()):
        say(f"nothing of the space {space} stands in that part of the log")
    hubs = replayed.hubs
    answer = {
        "digest": replayed.digest.digest,
        "spaces": {name: part.digest for name, part in replayed.digest.spaces.items()},
        "parts": {
            name: {"memories": part.memories, "edges": part.edges, "facts": part.facts, "counts": part.counts}
            for name, part in replayed.digest.spaces.items()
        },
        "positions": replayed.positions,
        "settings": msgspec.to_builtins(replayed.settings),
        "newly_embedded": replayed.newly_embedded,
        "records": replayed.records,
        "dead_letters": replayed.dead_letters,
        "hubs": {
            "recorded": hubs.recorded,
            "derived": hubs.derived,
            "missing": hubs.missing,
            "different": hubs.different,
            "not_yet_recorded": hubs.not_yet_recorded,
        },
        "reproduced": replayed.reproduced,
    }
    drawn = table(
        replayed.digest.digest,
        ("records", "put aside", "hubs recorded", "hubs derived again", "reproduced"),
        [
            (
                replayed.records,
                replayed.dead_letters,
                hubs.recorded,
                hubs.derived - hubs.not_yet_recorded - hubs.different,
                "yes" if replayed.reproduced else "no",
            )
        ],
        right=("records", "put aside", "hubs recorded", "hubs derived again"),
    )
    show(answer, lambda console: console.print(drawn), as_json=json)
    if newly := replayed.newly_embedded:
        say(f"{embedder} was asked for {newly} texts; their vectors are kept in {into}, not in the log")
    if not replayed.reproduced:
        say(f"the log does not give again what it gave: {hubs.missing} hubs are missing, {hubs.different} differ")
        raise typer.Exit(EXIT_PROBLEM)


async def _replay(
    source: Path | str | None, into: Path, asked: dict[str, Any], telling: Told, metrics_at: tuple[int | None, str]
) -> Replayed:
    """Replay a home, an archive where `source` is a text, or else the fleet's log; measured where it is asked for."""
    from helamem.streams.replay import replay as rebuild  # noqa: PLC0415 - it imports the engine
    from helamem.streams.replay import replay_archive, replay_kafka  # noqa: PLC0415 - likewise

    async with measuring_once(*metrics_at) as metrics:
        meter = None
        if metrics is not None:
            from helamem.streams.metrics.proving import ReplayMeter  # noqa: PLC0415 - it imports cryptography

            meter = ReplayMeter(metrics)
            telling["on_progress"] = meter.noting(telling["on_progress"])
        if source is None:
            asked.setdefault("keys", keys_of(into, kafka=True))
            replayed = await replay_kafka(into, fleets_kafka(), **telling, **asked)
        elif isinstance(source, Path):
            replayed = await rebuild(source, into, **telling, **asked)
        else:
            replayed = await replay_archive(source, into, **telling, **asked)
        if meter is not None:
            meter.ended(replayed)
    return replayed
