"""`helamem access`: who looked at what, who erased, and which keys were made or revoked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from helamem.schemas.times import format_ms, parse_time
from helamem.streams.cli.commands import DEFAULT_HOME, AnySpaceOption, HomeOption, JsonOption, add, check_space
from helamem.streams.cli.kafka import KafkaOption, log_to_read, only_one, place
from helamem.streams.cli.output import show, table

if TYPE_CHECKING:  # it stands with what reads the log
    from helamem.schemas.wire import Event
    from helamem.streams.access.reading import Access


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "access", access, "helamem access --space acme/mira --since 2025-03-01T00:00:00Z")


def access(
    context: typer.Context,
    *,
    space: AnySpaceOption = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Only by this key, named by its id.", show_default="all")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Only since this time, like 2025-03-01T09:00:00Z."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="The newest so many.")] = 1000,
    kafka: KafkaOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """List who looked at what over HTTP, who erased, and which keys were made or revoked; the newest last.

    A gateway records it where there are keys, and the owner's commands (`--key owner`) what they erase, forget, restore
    or redrive. It only reads the log, also while another process writes; what was answered in the last second may not
    be in it yet.
    """
    only_one(context, kafka=kafka)
    if space is not None:
        check_space(space)
    since_ms = 0 if since is None else parse_time(since)
    found = asyncio.run(_read(home, kafka=kafka, space=space, key=key, since_ms=since_ms, limit=limit))
    columns = ("time", "key", "space", "did", "status", "item")
    rows = [tuple("" if cell is None else cell for cell in _described(one).values()) for one in found]
    show(
        {"count": len(found), "accesses": [_described(one) for one in found]},
        lambda console: console.print(table(place(home, kafka=kafka), columns, rows, right=("status",))),
        as_json=json,
    )


async def _read(
    home: Path, *, kafka: bool, space: str | None, key: str | None, since_ms: int, limit: int
) -> list[Access]:
    from helamem.streams.access.reading import accesses  # noqa: PLC0415 - only commands that read a log need it

    async with log_to_read(home, kafka=kafka) as log:
        pending = [] if kafka else _pending(home)
        return await accesses(log, space=space, caller=key, since_ms=since_ms, most=limit, pending=pending)


def _pending(home: Path) -> list[Event]:
    """Return the changes of keys that no gateway has recorded yet."""
    from helamem.streams.gateway.keys import Keys  # noqa: PLC0415 - only this command of those that read a log needs it

    return Keys(home).unrecorded()


def _described(one: Access) -> dict[str, Any]:
    return {
        "time": format_ms(one.time_ms),
        "key": one.caller,
        "space": one.space,
        "did": one.did,
        "status": one.status,
        "item": one.item,
    }
