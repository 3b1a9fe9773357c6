"""`helamem erase` and `helamem seal`: take out what somebody said, also from a log that is never rewritten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import typer
from rich.console import Console

from helamem.schemas.topics import TOPICS
from helamem.streams.cli.commands import (
    DEFAULT_HOME,
    HomeOption,
    JsonOption,
    SpaceOption,
    add,
    check_space,
    check_tenant,
)
from helamem.streams.cli.kafka import KafkaOption, kafka_history, only_one
from helamem.streams.cli.output import say, show, table
from helamem.streams.cli.recorded import record_command
from helamem.streams.cli.session import opened

if TYPE_CHECKING:  # it imports the engine
    from helamem.streams.erasure.erase import Work
    from helamem.streams.erasure.fleet import FleetErasure
    from helamem.streams.erasure.steps import Erasure

_DAY_MS = 86_400_000


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add(app, "seal", seal, "helamem seal acme")
    add(app, "erase", erase, "helamem erase Mira --space acme/mira --dry-run")


def seal(
    *,
    tenant: Annotated[
        str, typer.Argument(metavar="TENANT", help="The part of a space's name before the slash.", show_default=False)
    ],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Seal what is said in a tenant's spaces from now on, with a key for each data subject.

    The log then holds no readable words of theirs, and erasing a data subject destroys the key. It cannot be undone,
    and what stands in the log already stays as it is. Keep a copy of the home's directory `keys`: without it, sealed
    words are lost.
    """
    from helamem.streams.sealing.tenants import seal_tenant  # noqa: PLC0415 - it imports arrays

    check_tenant(tenant)
    tenants = list(asyncio.run(seal_tenant(home, tenant)))
    show({"sealed_tenants": tenants}, lambda console: console.print(f"sealed: {', '.join(tenants)}"), as_json=json)


def erase(
    context: typer.Context,
    *,
    subject: Annotated[
        str,
        typer.Argument(
            metavar="SUBJECT", help="The data subject: a speaker, or whom messages name.", show_default=False
        ),
    ],
    space: SpaceOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased.")] = False,
    kafka: KafkaOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Erase what a data subject said in a space, and the facts that were distilled from it, for ever.

    Words that are sealed are gone with their key, also from archives. Words that are not are removed from memories,
    facts and caches, and the answer says how many records of the log still hold them. Interrupted, the same command
    goes on. With --kafka it is the fleet's log and store; workers go on meanwhile, and have to run.
    """
    only_one(context, kafka=kafka)
    check_space(space)
    if kafka:
        fleet = asyncio.run(_in_the_fleet(space, subject, dry_run=dry_run))
        found, until, more = fleet.found.erasure, fleet.until, fleet.more
    else:
        found, until, more = asyncio.run(_at_home(home, space, subject, dry_run=dry_run)), _until(-1), {}
    answer = {**msgspec.to_builtins(found), "dry_run": dry_run, "remains_until": until, **more}

    def people(console: Console) -> None:
        rows = [(name, getattr(found, name)) for name in ("memories", "facts", "keys", "distilled_again")]
        would = " would be" if dry_run else ""
        title = f"{subject} in {space}:{would} erased{' before' if found.erased_before else ''}"
        console.print(table(title, ("what", "count"), rows, right=("count",)))

    show(answer, people, as_json=json)
    remains = {name: count for name, count in msgspec.to_builtins(found.remains).items() if count}
    if remains:
        listed = ", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in remains.items())
        say(f"words stay in records of the log that are not sealed, {until}: {listed}")
    if earlier := more.get("generations_left"):
        say(
            f"generations of the topics that a migration left hold the same records: {', '.join(map(str, earlier))}; "
            "delete these topics where nobody needs them"
        )
    for one in more.get("builds", ()):
        if not one["in_use"] and (one["memories"] or one["facts"]):
            held = "would be" if dry_run else "were"
            say(
                f"build {one['build']}, which is not in use, held {one['memories']} memories and {one['facts']} facts "
                f"of it; they {held} erased there too"
            )


async def _at_home(home: Path, space: str, subject: str, *, dry_run: bool) -> Erasure:
    from helamem.streams.erasure.erase import erase as work  # noqa: PLC0415 - it imports the engine

    @asynccontextmanager
    async def working() -> AsyncIterator[Work]:
        async with opened(home) as session:
            instance = session.memory.instance
            yield instance, session.catch_up
            if not (dry_run or instance.home.erasing_path.exists()):  # as long as that is there, it has yet to go on
                await record_command(instance.log, home, "erase", [space])

    return await work(home, working, space=space, subject=subject, dry_run=dry_run)


class _InFleet(NamedTuple):
    found: FleetErasure
    until: str
    """How long words stay that are not sealed."""
    more: dict[str, Any]
    """What an answer says of a fleet besides."""


async def _in_the_fleet(space: str, subject: str, *, dry_run: bool) -> _InFleet:
    from helamem.processors.embedder.choose import choose_embedder  # noqa: PLC0415 - it imports arrays
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka
    from helamem.streams.fleet.erasing import erase_from_all_builds  # noqa: PLC0415 - it imports the engine
    from helamem.streams.log.kafka_topics import retention_ms  # noqa: PLC0415 - it imports aiokafka
    from helamem.streams.sealing.fleet import fleet_sealing  # noqa: PLC0415 - it imports arrays

    config = load_config()
    sealing = fleet_sealing(config)
    embedder = choose_embedder(config.embedder)
    async with kafka_history() as history:
        logs = await history.look()
        log = sealing.sealing(logs.in_use)
        found = await erase_from_all_builds(
            config, log, sealing.keys, embedder, space=space, subject=subject, dry_run=dry_run
        )
        if not dry_run:
            await record_command(log, None, "erase", [space])
        names = [(await log.partitions(spec.name))[0].topic for spec in TOPICS]
        kept = await retention_ms(config.kafka(), names)
        more = {"builds": msgspec.to_builtins(found.builds), "generations_left": sorted(logs.left)}
        return _InFleet(found, _until(-1 if -1 in kept else max(kept)), more)


def _until(retention_ms: int) -> str:
    if retention_ms < 0:
        return "for as long as the log is kept"
    return f"until {retention_ms / _DAY_MS:g} days after they were appended"
