"""`helamem forget` and `helamem restore`: hide what a policy chooses, and bring it back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import typer
from rich.console import Console

from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.schemas.events import MemoryRestored
from helamem.schemas.ids import tenant_of
from helamem.schemas.settings import ForgettingPolicy, Settings
from helamem.schemas.times import format_ms, parse_time
from helamem.streams.cli.commands import (
    DEFAULT_HOME,
    HomeOption,
    JsonOption,
    TenantOption,
    add,
    check_space,
    check_tenant,
    policy_with,
)
from helamem.streams.cli.kafka import KafkaOption, kafka_log, only_one, place
from helamem.streams.cli.output import day_and_minute, say, show, table
from helamem.streams.cli.recorded import record_command
from helamem.streams.cli.session import Session, opened, report

if TYPE_CHECKING:  # they import arrays
    from helamem.processors.forgetting.policy import Choice, Forgettable
    from helamem.processors.store.port import MemoryStore
    from helamem.streams.forgetting.decision import Decision
    from helamem.streams.forgetting.run import Forgetting
    from helamem.streams.log.port import Log

_AS_SET = "as set"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add(app, "forget", forget, "helamem forget --tenant acme --dry-run")
    add(app, "restore", restore, "helamem restore --run RUN_ID")


def forget(
    context: typer.Context,
    *,
    space: Annotated[str | None, typer.Option("--space", help="One space, TENANT/NAME.", show_default=False)] = None,
    tenant: TenantOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be hidden.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Hide it.")] = False,
    older_than_days: Annotated[
        int | None, typer.Option("--older-than-days", help="Only what was said so long ago.", show_default=_AS_SET)
    ] = None,
    weaker_than: Annotated[
        float | None,
        typer.Option("--weaker-than", help="Only what all its links together hold less than.", show_default=_AS_SET),
    ] = None,
    not_recalled_for_days: Annotated[
        int | None,
        typer.Option("--not-recalled-for-days", help="Only what no recall found for so long.", show_default=_AS_SET),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            "--budget",
            help="Hide the least used beyond so many memories of a space, whatever the conditions.",
            show_default=_AS_SET,
        ),
    ] = None,
    protect: Annotated[
        list[str] | None,
        typer.Option(
            "--protect",
            metavar="KIND",
            help="Never hide these: facts (what facts that hold are from), hubs, user, agent, speaker:NAME; may be "
            "repeated, and none protects nothing.",
            show_default=_AS_SET,
        ),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="TIME",
            help="Decide as of this time, like 2025-03-01T09:00:00Z.",
            show_default="now",
        ),
    ] = None,
    kafka: KafkaOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Hide memories from recall that are weak AND old AND have not been recalled lately, and those over a budget.

    What goes is decided by the tenant's policy, see helamem settings; options take the place of single values of it.
    Nothing is deleted, and restore --run brings back all that one run hid. Give --dry-run or --yes, and one of --space
    and --tenant.
    """
    only_one(context, kafka=kafka)
    if dry_run == yes:
        raise typer.BadParameter("give one of --dry-run, to see what would be hidden, and --yes, to hide it")
    if (space is None) == (tenant is None):
        raise typer.BadParameter("give one of --space, for one space, and --tenant, for all spaces of a tenant")
    wanted = {
        "older_than_days": older_than_days,
        "weaker_than": weaker_than,
        "not_recalled_for_days": not_recalled_for_days,
        "budget": budget,
        "protected": [] if protect == ["none"] else protect or None,
    }
    changes = {name: value for name, value in wanted.items() if value is not None}
    policy_with(ForgettingPolicy(), changes)  # refused before anything is opened
    as_of_ms = None if as_of is None else parse_time(as_of)
    if tenant is not None:
        check_tenant(tenant)

    async def work() -> tuple[Decision, str | None]:
        from helamem.streams.home import wall_clock_ms  # noqa: PLC0415 - only needed here

        async with _opened(home, kafka=kafka) as at:
            spaces = await _spaces(at, place(home, kafka=kafka), space, tenant)
            policy = policy_with(at.settings.policy(tenant_of(spaces[0])), changes) if changes else None
            decided = await at.forgetting.decide(
                spaces, as_of_ms=wall_clock_ms() if as_of_ms is None else as_of_ms, policy=policy
            )
            run = await at.forgetting.carry_out(decided) if yes else None
            if run is not None:
                hidden = [choice.space for choice in decided.choices if choice.memories]
                await record_command(at.log, None if kafka else home, "forget", hidden)
                if at.session is not None:
                    report(await at.session.catch_up())
            return decided, run

    decided, run = asyncio.run(work())
    answer = {
        "run": run,
        "dry_run": dry_run,
        "as_of": format_ms(decided.as_of_ms),
        "counts": decided.counts,
        "spaces": [_summary(choice) for choice in decided.choices],
        "memories": [_described(one) for choice in decided.choices for one in choice.memories],
    }
    show(answer, lambda console: _draw(console, decided, run, dry_run=dry_run), as_json=json)


def restore(
    context: typer.Context,
    *,
    memory_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[MEMORY_ID]...", help="What to bring back.", show_default=False)
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", help="Bring back what this run of forget hid, in all spaces.", show_default="none"),
    ] = None,
    space: Annotated[
        str | None, typer.Option("--space", help="The space of the memories, TENANT/NAME.", show_default=False)
    ] = None,
    kafka: KafkaOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Bring forgotten memories back: some of a space, or all that one run of forget hid.

    Of a run, what was restored, forgotten again or erased since stays as it is.
    """
    only_one(context, kafka=kafka)
    if bool(memory_ids) == (run is not None):
        raise typer.BadParameter("give either ids of memories or --run with the id of a run of forget")
    if memory_ids and space is None:
        raise typer.BadParameter("give --space, of which these memories are")

    async def bring_back() -> dict[str, list[str]]:
        from helamem.streams.home import wall_clock_ms  # noqa: PLC0415 - only needed here

        async with _opened(home, kafka=kafka) as at:
            if run is not None:
                found = await at.forgetting.undo(run, time_ms=wall_clock_ms(), space=space)
            else:
                assert space is not None
                assert memory_ids is not None
                await _spaces(at, place(home, kafka=kafka), space, None)
                found = {space: await _hidden(at.store, space, memory_ids)}
                await at.forgetting.mark(
                    space, found[space], MemoryRestored, "asked for on the command line", time_ms=wall_clock_ms()
                )
            if any(found.values()):
                shown = [space for space, ids in found.items() if ids]
                await record_command(at.log, None if kafka else home, "restore", shown)
                if at.session is not None:
                    report(await at.session.catch_up())
            return found

    restored = asyncio.run(bring_back())
    if memory_ids and (visible := len(set(memory_ids)) - sum(map(len, restored.values()))):
        say(f"not hidden in the first place: {visible}")
    show(
        {"run": run, "restored": restored},
        lambda console: console.print(f"{sum(map(len, restored.values()))} memories restored"),
        as_json=json,
    )


class _Place(NamedTuple):
    """Where is forgotten."""

    log: Log
    store: MemoryStore
    settings: Settings
    forgetting: Forgetting
    session: Session | None
    """Of a home; the workers of a fleet process what is appended."""


@asynccontextmanager
async def _opened(home: Path, *, kafka: bool) -> AsyncIterator[_Place]:
    """Open a home, and process its log, or the fleet's log and store."""
    if not kafka:
        async with opened(home) as session:
            report(await session.catch_up())
            instance = session.memory.instance
            yield _Place(instance.log, instance.store, instance.settings, session.memory.forgetting, session)
        return
    from helamem.processors.embedder.choose import choose_embedder  # noqa: PLC0415 - it imports arrays
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka
    from helamem.streams.fleet.worker import open_store  # noqa: PLC0415 - it imports the engine
    from helamem.streams.forgetting.run import Forgetting  # noqa: PLC0415 - it imports arrays
    from helamem.streams.settings_log import settings_in_force  # noqa: PLC0415 - likewise

    config = load_config()
    async with kafka_log() as log, open_store(config, choose_embedder(config.embedder)) as store:
        settings = await settings_in_force(log, await store.load_checkpoints("encoding"))
        if settings is None:
            raise ConfigurationError("the log in Kafka has no settings yet; run: helamem topics apply")
        yield _Place(log, store, settings, Forgetting(store, log, settings), None)


async def _spaces(at: _Place, where: str, space: str | None, tenant: str | None) -> list[str]:
    """Return the spaces that are meant.

    Raises:
        BadInput: There are none.
    """
    if space is not None:
        check_space(space)
    known = sorted(await at.store.spaces())
    found = [one for one in known if one == space or tenant_of(one) == tenant]
    if not found:
        missing = f"space {space}" if tenant is None else f"space of the tenant {tenant}"
        raise BadInput(f"there is no {missing} in {where}; see which there are with: helamem spaces")
    return found


async def _hidden(store: MemoryStore, space: str, memory_ids: list[str]) -> list[str]:
    """Return those of some memories that are hidden.

    Raises:
        BadInput: The space has no such memory, or its words are gone.
    """
    turns = await store.turns(space, memory_ids)
    if missing := [id_ for id_ in memory_ids if id_ not in turns]:
        raise BadInput(f"the space {space} has no memory {missing[0]}; forget --dry-run and recall print the ids")
    if erased := [id_ for id_ in memory_ids if turns[id_].erased]:
        raise BadInput(f"the memory {erased[0]} was erased, and nothing brings it back")
    return [id_ for id_ in dict.fromkeys(memory_ids) if turns[id_].hidden]


def _described(one: Forgettable) -> dict[str, Any]:
    described: dict[str, Any] = msgspec.to_builtins(one)
    del described["last_recalled_ms"]
    return described | {"last_recalled": None if one.last_recalled_ms is None else format_ms(one.last_recalled_ms)}


def _summary(choice: Choice) -> dict[str, Any]:
    return {
        "space": choice.space,
        "policy": msgspec.to_builtins(choice.policy),
        "memories": choice.visible,
        "counts": choice.counts,
        "spared": choice.spared,
        "excess": choice.excess,
    }


def _draw(console: Console, decided: Decision, run: str | None, *, dry_run: bool) -> None:
    would = "would be" if dry_run else "are"
    for choice in decided.choices:
        rows = [
            (
                one.reason.replace("-", " "),
                f"{one.age_days} days",
                f"{one.strength:.4f}",
                "never" if one.last_recalled_ms is None else day_and_minute(one.last_recalled_ms),
                f"{one.text}\n{one.memory_id}",
            )
            for one in choice.memories
        ]
        title = f"{choice.space}: {len(rows)} of {choice.visible} memories {would} hidden"
        console.print(
            table(
                title, ("why", "age", "strength", "last recalled", "text, memory id"), rows, right=("age", "strength")
            )
        )
        counts = [f"{name.replace('-', ' ')}: {count}" for name, count in choice.counts.items()]
        counts += [f"spared, {kind}: {count}" for kind, count in choice.spared.items()]
        counts += [f"over the budget still, all protected: {choice.excess}"] if choice.excess else []
        console.print("; ".join(counts), markup=False)
    if run is not None:
        console.print(f"undo with: helamem restore --run {run}", markup=False)
