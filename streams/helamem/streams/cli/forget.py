"""`helamem forget` and `helamem restore`: hide what is weak, old and unused, and bring it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console

from helamem.schemas.errors import BadInput
from helamem.schemas.times import format_ms, from_ms, parse_time
from helamem.streams.cli.commands import DEFAULT_HOME, HomeOption, JsonOption, SpaceOption, add
from helamem.streams.cli.output import say, show, table
from helamem.streams.cli.session import Session, in_home, report

if TYPE_CHECKING:  # it imports arrays
    from helamem.processors.forgetting.policy import Forgettable

WEAKER_THAN = 0.02
OLDER_THAN_DAYS = 180
NOT_RECALLED_FOR_DAYS = 90


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add(app, "forget", forget, "helamem forget --space acme/mira --older-than-days 365 --dry-run")
    add(app, "restore", restore, "helamem restore --space acme/mira MEMORY_ID")


def forget(
    *,
    space: SpaceOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be hidden.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Hide it.")] = False,
    older_than_days: Annotated[
        int, typer.Option("--older-than-days", min=0, help="Only what was said so long ago.")
    ] = OLDER_THAN_DAYS,
    weaker_than: Annotated[
        float, typer.Option("--weaker-than", min=0, help="Only what all its links together hold less than.")
    ] = WEAKER_THAN,
    not_recalled_for_days: Annotated[
        int, typer.Option("--not-recalled-for-days", min=0, help="Only what no recall has found for so long.")
    ] = NOT_RECALLED_FOR_DAYS,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="TIME",
            help="Decide as of this time, like 2025-03-01T09:00:00Z.",
            show_default="now",
        ),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Hide memories from recall that are weak AND old AND have not been recalled lately.

    Nothing is deleted, and restore brings them back. Give --dry-run or --yes.
    """
    if dry_run == yes:
        raise typer.BadParameter("give one of --dry-run, to see what would be hidden, and --yes, to hide it")
    as_of_time = None if as_of is None else from_ms(parse_time(as_of))

    async def decide(session: Session) -> list[Forgettable]:
        from helamem.processors.forgetting.policy import ForgettingPolicy  # noqa: PLC0415 - it imports arrays

        policy = ForgettingPolicy(
            weaker_than=weaker_than,
            older_than_days=older_than_days,
            not_recalled_for_days=not_recalled_for_days,
        )
        found = await session.memory.forgettable(await session.known(space), policy, as_of=as_of_time)
        if yes and found:
            reason = (
                f"weaker than {weaker_than}, older than {older_than_days} days, "
                f"not recalled for {not_recalled_for_days} days"
            )
            await session.memory.forget(space, [one.memory_id for one in found], reason)
            report(await session.catch_up())
        return found

    found = in_home(home, decide, process=True)
    answer = {"space": space, "dry_run": dry_run, "memories": [_described(one) for one in found]}

    def people(console: Console) -> None:
        rows = [(f"{one.age_days} days", f"{one.strength:.4f}", f"{one.text}\n{one.memory_id}") for one in found]
        title = f"{space}: {len(found)} memories {'would be' if dry_run else 'are'} hidden"
        console.print(table(title, ("age", "strength", "text, memory id"), rows, right=("age", "strength")))

    show(answer, people, as_json=json)


def restore(
    *,
    memory_ids: Annotated[
        list[str], typer.Argument(metavar="MEMORY_ID...", help="What to bring back.", show_default=False)
    ],
    space: SpaceOption,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Bring forgotten memories back."""

    async def bring_back(session: Session) -> list[str]:
        turns = await session.memory.turns(await session.known(space), memory_ids)
        if missing := [id_ for id_ in memory_ids if id_ not in turns]:
            raise BadInput(f"the space {space} has no memory {missing[0]}; forget --dry-run and recall print the ids")
        if erased := [id_ for id_ in memory_ids if turns[id_].erased]:
            raise BadInput(f"the memory {erased[0]} was erased, and nothing brings it back")
        hidden = [id_ for id_ in dict.fromkeys(memory_ids) if turns[id_].hidden]
        if hidden:
            await session.memory.restore(space, hidden, "asked for on the command line")
            report(await session.catch_up())
        return hidden

    restored = in_home(home, bring_back, process=True)
    if visible := len(set(memory_ids)) - len(restored):
        say(f"not hidden in the first place: {visible}")
    answer = {"space": space, "restored": restored}
    show(answer, lambda console: console.print(f"{len(restored)} memories restored"), as_json=json)


def _described(one: Forgettable) -> dict[str, object]:
    described: dict[str, object] = msgspec.to_builtins(one)
    del described["last_recalled_ms"]
    return described | {"last_recalled": None if one.last_recalled_ms is None else format_ms(one.last_recalled_ms)}
