"""`helamem edges`: which memories were learned to belong together."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from helamem.schemas.times import format_ms, parse_time
from helamem.streams.cli.commands import (
    DEFAULT_HOME,
    AnySpaceOption,
    HomeOption,
    JsonOption,
    NoProcessOption,
    add,
)
from helamem.streams.cli.output import day_and_minute, show, table
from helamem.streams.cli.session import Session, in_home


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "edges", edges, "helamem edges --space acme/mira --limit 5")


def edges(
    *,
    space: AnySpaceOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, strongest first.")] = 20,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="TIME",
            help="Weights as they have faded by this time, like 2025-03-01T09:00:00Z.",
            show_default="each when it was last strengthened",
        ),
    ] = None,
    no_process: NoProcessOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """List the strongest links that recalls have made between memories; a weight is at most 1."""
    as_of_ms = None if as_of is None else parse_time(as_of)

    async def look(session: Session) -> tuple[list[dict[str, Any]], int]:
        found = await _pairs(session, None if space is None else await session.known(space), as_of_ms)
        shown = found[:limit]
        for edge in shown:
            turns = await session.memory.turns(edge["space"], edge["memory_ids"])
            edge["texts"] = [
                f"{turns[id_].speaker}: {turns[id_].text}" if id_ in turns else None for id_ in edge["memory_ids"]
            ]
        return shown, len(found)

    shown, total = in_home(home, look, process=not no_process)
    rows = [
        (
            edge["space"],
            f"{edge['weight']:.4f}",
            day_and_minute(parse_time(edge["last_strengthened"])),
            *(text or id_ for text, id_ in zip(edge["texts"], edge["memory_ids"], strict=True)),
        )
        for edge in shown
    ]
    drawn = table(
        f"{home}: {len(shown)} of {total} edges",
        ("space", "weight", "last strengthened", "memory", "memory "),
        rows,
        right=("weight",),
        lines=True,
    )
    show({"edges": shown, "total": total}, lambda console: console.print(drawn), as_json=json)


async def _pairs(session: Session, space: str | None, as_of_ms: int | None) -> list[dict[str, Any]]:
    """Return every linked pair once, strongest first, ties by ids; each end may have its own idea of the weight."""
    from helamem.processors.hebbian.decay import CAP, decayed, tick  # noqa: PLC0415 - it imports arrays
    from helamem.processors.hebbian.packing import unpack  # noqa: PLC0415 - likewise
    from helamem.schemas.ids import id_text  # noqa: PLC0415 - stands with the other two

    half_life_ms = session.memory.instance.settings.hebbian.half_life_s * 1000
    strongest: dict[tuple[str, str, str], tuple[int, int]] = {}
    for row in await session.memory.edges(space):
        for raw, stored, touched_ms in unpack(row.neighbours):
            weight = stored
            if as_of_ms is not None:
                weight = decayed(stored, tick(as_of_ms, half_life_ms) - tick(touched_ms, half_life_ms))
            first, second = sorted((row.memory_id, id_text(raw)))
            pair = row.space, first, second
            strongest[pair] = max(strongest.get(pair, (0, 0)), (weight, touched_ms))
    ranked = sorted(strongest.items(), key=lambda item: (-item[1][0], item[0]))
    return [
        {
            "space": where,
            "memory_ids": [first, second],
            "weight": round(weight / CAP, 9),
            "last_strengthened": format_ms(touched_ms),
        }
        for (where, first, second), (weight, touched_ms) in ranked
    ]
