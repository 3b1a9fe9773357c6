"""`helamem topics`: what the fleet needs in Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace
from rich.console import Console

from helamem.schemas.errors import BadInput
from helamem.schemas.topics import TopicSpec, inlet_of
from helamem.streams.cli.commands import EXIT_PROBLEM, JsonOption, check_tenant
from helamem.streams.cli.kafka import kafka_log, quiet_clients
from helamem.streams.cli.output import say, show, table

if TYPE_CHECKING:  # they import aiokafka
    from helamem.schemas.settings import Settings
    from helamem.streams.config import Config
    from helamem.streams.log.kafka_generations import Generation
    from helamem.streams.log.kafka_topics import TopicState

APPLY = "make what is missing with: helamem topics apply"


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        no_args_is_help=True, rich_markup_mode="markdown", help="Look at topics in Kafka and make them."
    )
    group.command("show", epilog="Example: helamem topics show")(look)
    group.command("apply", epilog="Example: helamem topics apply --inlet acme")(apply)
    group.command("migrate", epilog="Example: helamem topics migrate --partitions 8")(migrate)
    app.add_typer(group, name="topics", epilog="Example: helamem topics apply")


def look(*, json: JsonOption = False) -> None:
    """Show each topic and inlet as Kafka has it: partitions, replicas, what is not as it should be, all generations.

    A fault keeps the product from working; a difference may be meant so. The exit code is 1 where a topic or the
    settings are missing, or a topic has a fault.
    """
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka
    from helamem.streams.log.kafka_generations import generations, in_use  # noqa: PLC0415 - likewise
    from helamem.streams.log.kafka_inlets import inlets_in  # noqa: PLC0415 - likewise
    from helamem.streams.log.kafka_topics import topic_states  # noqa: PLC0415 - likewise

    quiet_clients()
    config = load_config()

    async def ask() -> tuple[list[TopicState], list[Generation], list[str] | None]:
        kafka = config.kafka()
        specs = (*await in_use(kafka), *(await inlets_in(kafka)).found)
        states, found = await topic_states(kafka, specs), await generations(kafka)
        if any(state.faults or not state.partitions for state in states):
            return states, found, None
        return states, found, await _ungoverned()

    states, found, ungoverned = asyncio.run(ask())
    described = [{"generation": one.number, "partitions": one.partitions, "state": one.state} for one in found]
    _show(config, states, {"partitions_without_settings": ungoverned, "generations": described}, as_json=json)
    missing = [state.name for state in states if not state.partitions]
    faults = [f"{state.name} {fault}" for state in states for fault in state.faults]
    for fault in faults:
        say(fault)
    if missing:
        say(f"missing: {', '.join(missing)}; {APPLY}")
    if ungoverned:
        say(f"no settings stand in {', '.join(ungoverned)}; {APPLY}")
    if missing or faults or ungoverned:
        raise typer.Exit(EXIT_PROBLEM)


def apply(
    *,
    inlets: Annotated[
        list[str] | None,
        typer.Option(
            "--inlet",
            metavar="TENANT",
            help="Make the inlet of this tenant too, for its own producers; helamem merge reads it. May be repeated.",
            show_default="none",
        ),
    ] = None,
    partitions: Annotated[
        int | None,
        typer.Option(
            "--inlet-partitions",
            min=1,
            help="How many a new inlet gets; with more than one its producers need Kafka's default partitioner.",
            show_default="1",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make the topics that are missing, and put the default settings into a log that has none.

    Nothing that is there is changed, grown or deleted, so it may be repeated at will. With the configured embedder
    begins what every worker of this log must use. Where tenants are sealed, it makes the directory of keys that
    HELAMEM_KEYS names; keep a copy of that.
    """
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka
    from helamem.streams.log.kafka_generations import in_use  # noqa: PLC0415 - likewise
    from helamem.streams.log.kafka_inlets import inlets_in  # noqa: PLC0415 - likewise
    from helamem.streams.log.kafka_topics import apply_topics  # noqa: PLC0415 - likewise
    from helamem.streams.sealing.fleet import make_fleet_keys, sealed_tenants  # noqa: PLC0415 - it imports arrays

    tenants = list(dict.fromkeys(check_tenant(tenant) for tenant in inlets or ()))
    if partitions is not None and not tenants:
        raise typer.BadParameter("--inlet-partitions is for new inlets; name one with --inlet TENANT")
    quiet_clients()
    config = load_config()

    make_fleet_keys(config)

    async def make() -> tuple[list[TopicState], bool]:
        kafka = config.kafka()
        wanted = _inlets(tenants, (await inlets_in(kafka)).found, partitions)
        states = await apply_topics(kafka, (*await in_use(kafka), *wanted), config.kafka_replication)
        return states, await _govern(config)

    states, applied = asyncio.run(make())
    for tenant in tenants:
        if tenant in sealed_tenants(config):
            say(f"the inlet of {tenant} holds words as its producers write them, unsealed, until they are merged")
    _show(config, states, {"settings_applied": applied}, as_json=json)


def _inlets(tenants: list[str], found: Sequence[TopicSpec], partitions: int | None) -> list[TopicSpec]:
    """Return the inlets of tenants; one that is there has the partitions that it has.

    Raises:
        BadInput: It was to get another number.
    """
    wanted = []
    for tenant in tenants:
        new = inlet_of(tenant)
        there = next((spec for spec in found if spec.name == new.name), None)
        if there is not None and partitions not in (None, there.partitions):
            raise BadInput(
                f"{there.name} has {there.partitions} partitions and keeps them, or a space would come to stand in two;"
                " leave --inlet-partitions out"
            )
        wanted.append(there or replace(new, partitions=partitions or new.partitions))
    return wanted


def migrate(
    *,
    partitions: Annotated[
        int | None,
        typer.Option("--partitions", min=1, help="How many each topic is to have.", show_default=False),
    ] = None,
    give_up: Annotated[
        bool, typer.Option("--cancel", help="Give up a migration that was not finished: records are taken again.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Move all topics to another number of partitions: a new generation, copied from the one in use.

    Stop producers, let workers finish, stop them, then run this, with the configuration of the workers: the store goes
    on from the new generation without folding anything again. From the first step on until the end no topic takes
    records. Stopped or killed, it goes on where it was when it is run again. The old topics are left as they are,
    sealed; delete them with Kafka's own tools when nobody needs them any more.

    Exit codes: 0 done, 1 somebody is still at work, something is not processed yet, or Kafka or the store is away,
    2 bad usage, or the topics are not as they should be.
    """
    from helamem.processors.embedder.choose import choose_embedder  # noqa: PLC0415 - it imports arrays
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka
    from helamem.streams.fleet.worker import open_store  # noqa: PLC0415 - it imports the engine
    from helamem.streams.migrate.migration import Migrated, cancel  # noqa: PLC0415 - it imports aiokafka
    from helamem.streams.migrate.migration import migrate as move  # noqa: PLC0415 - likewise

    if (partitions is None) != give_up:
        raise typer.BadParameter("give one of --partitions, to migrate, and --cancel, to give a migration up")
    quiet_clients()
    config = load_config()
    if partitions is None:
        number = asyncio.run(cancel(config.kafka(), session_timeout_s=config.session_timeout_s))
        show({"generation": number}, lambda console: console.print(f"generation {number} is in use"), as_json=json)
        return
    wanted = partitions

    async def run() -> Migrated:
        async with open_store(config, choose_embedder(config.embedder)) as store:
            return await move(
                config.kafka(),
                store,
                wanted,
                replication=config.kafka_replication,
                session_timeout_s=config.session_timeout_s,
                tell=say,
            )

    done = asyncio.run(run())
    rows = sorted(done.records.items())
    title = f"generation {done.generation} is in use, with {done.partitions} partitions"
    show(
        {
            "generation": done.generation,
            "partitions": done.partitions,
            "records": done.records,
            "appended": done.appended,
        },
        lambda console: console.print(table(title, ("topic", "records"), rows, right=("records",))),
        as_json=json,
    )


async def _ungoverned() -> list[str]:
    from helamem.streams.settings_log import without_settings  # noqa: PLC0415 - it imports arrays

    async with kafka_log() as log:
        return [str(partition) for partition in await without_settings(log)]


async def _govern(config: Config) -> bool:
    """Append settings where they are missing, and return whether they were."""
    from helamem.streams.home import wall_clock_ms  # noqa: PLC0415 - only needed here
    from helamem.streams.settings_log import (  # noqa: PLC0415 - it imports arrays
        apply_settings,
        settings_in_force,
        without_settings,
    )

    async with kafka_log() as log:
        if not await without_settings(log):
            return False
        # Some partitions may have them, where Kafka failed in the middle: those are given the same ones again.
        await apply_settings(log, await settings_in_force(log, {}) or _defaults(config), wall_clock_ms)
        return True


def _defaults(config: Config) -> Settings:
    from helamem.processors.embedder.choose import full_name  # noqa: PLC0415 - it imports arrays
    from helamem.schemas.settings import EncodingSettings, Settings  # noqa: PLC0415 - only needed here

    return Settings(encoding=EncodingSettings(embedder=full_name(config.embedder)))


def _show(config: Config, states: list[TopicState], more: dict[str, Any], *, as_json: bool) -> None:
    answer = {
        "topics": [
            {
                "name": state.name,
                "partitions": state.partitions,
                "replication": state.replication,
                "faults": state.faults,
                "differences": state.differences,
                "created": state.created,
            }
            for state in states
        ]
    } | more

    def people(console: Console) -> None:
        rows = [
            (
                state.name,
                state.partitions or "missing",
                state.replication,
                "\n".join((*state.faults, *state.differences)) or ("created" if state.created else "as it should be"),
            )
            for state in states
        ]
        title = f"Kafka at {config.kafka_servers}"
        console.print(
            table(title, ("topic", "partitions", "replicas", "state"), rows, right=("partitions", "replicas"))
        )
        for one in more.get("generations", ()):
            console.print(f"generation {one['generation']}: {one['partitions']} partitions, {one['state']}")

    show(answer, people, as_json=as_json)
