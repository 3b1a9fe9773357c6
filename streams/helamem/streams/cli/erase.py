"""`helamem erase` and `helamem seal`: take out what somebody said, also from a log that is never rewritten."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console

from helamem.schemas.errors import BadInput
from helamem.schemas.topics import CONVERSATIONS
from helamem.streams.cli.commands import DEFAULT_HOME, HomeOption, JsonOption, SpaceOption, add, check_space
from helamem.streams.cli.output import say, show, table
from helamem.streams.cli.session import opened

if TYPE_CHECKING:  # it imports the engine
    from helamem.streams.erasure.erase import Work

_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


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

    if not _TENANT.fullmatch(tenant):
        raise BadInput(f"{tenant!r} is no tenant; it is the part of a space's name before the slash, like acme")
    tenants = list(asyncio.run(seal_tenant(home, tenant)))
    show({"sealed_tenants": tenants}, lambda console: console.print(f"sealed: {', '.join(tenants)}"), as_json=json)


def erase(
    *,
    subject: Annotated[
        str,
        typer.Argument(
            metavar="SUBJECT", help="The data subject: a speaker, or whom messages name.", show_default=False
        ),
    ],
    space: SpaceOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased.")] = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Erase what a data subject said in a space, and the facts that were distilled from it, for ever.

    Words that are sealed are gone with their key, also from archives. Words that are not are removed from memories,
    facts and caches, and the answer says how many records of the log still hold them. Interrupted, the same command
    goes on.
    """
    from helamem.streams.erasure.erase import erase as work  # noqa: PLC0415 - it imports the engine

    check_space(space)

    @asynccontextmanager
    async def working() -> AsyncIterator[Work]:
        async with opened(home) as session:
            yield session.memory.instance, session.catch_up

    found = asyncio.run(work(home, working, space=space, subject=subject, dry_run=dry_run))
    answer = {**msgspec.to_builtins(found), "dry_run": dry_run}
    kept = CONVERSATIONS.retention_ms
    answer["remains_until"] = "for as long as the log is kept" if kept < 0 else f"{kept} ms after it was appended"

    def people(console: Console) -> None:
        rows = [(name, getattr(found, name)) for name in ("memories", "facts", "keys", "distilled_again")]
        would = " would be" if dry_run else ""
        title = f"{subject} in {space}:{would} erased{' before' if found.erased_before else ''}"
        console.print(table(title, ("what", "count"), rows, right=("count",)))

    show(answer, people, as_json=json)
    remains = {name: count for name, count in msgspec.to_builtins(found.remains).items() if count}
    if remains:
        listed = ", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in remains.items())
        say(f"words stay in records of the log that are not sealed, {answer['remains_until']}: {listed}")
