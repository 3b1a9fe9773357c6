"""`helamem diff`: what lies between two homes, or between two moments of one."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from helamem.streams.cli.commands import DEFAULT_HOME, AnySpaceOption, HomeOption, JsonOption, add, check_space
from helamem.streams.cli.output import show, table
from helamem.streams.cli.past import SignedByOption, opening, past_state, tell
from helamem.streams.cli.session import Session, opened, report

if TYPE_CHECKING:  # it imports arrays
    from helamem.processors.difference import SpaceDifference, Thing
    from helamem.streams.past import Past

_UNITS = 2**32
_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "diff", diff, "helamem diff 2025-03-01T09:00:00Z now")


def diff(
    *,
    before: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="A home, or a moment of --home: a time, an event's id, positions or a .json file of them, or now.",
            show_default=False,
        ),
    ],
    after: Annotated[str, typer.Argument(metavar="B", help="The other home or moment.", show_default=False)],
    space: AnySpaceOption = None,
    public_key: SignedByOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Show what was added, removed, changed, hidden and shown between A and B: memories, links and facts, by space.

    A moment of the past is rebuilt from the log, and kept below the home for a while. Weights of links are compared as
    they were last strengthened.
    """
    if space is not None:
        check_space(space)
    found = asyncio.run(_differ(home, before, after, space, public_key))
    answer = {
        "equal": not found,
        "spaces": {name: _described(one) for name, one in found.items()},
    }
    rows = [row for name, one in found.items() for row in _rows(name, one)]
    drawn = table(
        f"{before} → {after}: {'no difference' if not found else f'{len(found)} spaces differ'}",
        ("space", "what", "how", "which"),
        rows,
        lines=True,
    )
    show(answer, lambda console: console.print(drawn), as_json=json)


async def _differ(
    home: Path, before: str, after: str, space: str | None, signed_by: list[Path] | None
) -> dict[str, SpaceDifference]:
    from helamem.processors.difference import difference  # noqa: PLC0415 - it imports arrays

    # both are rebuilt before either is opened: a home that is open keeps others out
    found = [(text, await _place(home, text, space, signed_by)) for text in (before, after)]
    for text, place in found:
        if not isinstance(place, Path):
            tell(text, place)
    places = [place if isinstance(place, Path) else place.home for _, place in found]
    async with AsyncExitStack() as stack:
        sessions: dict[Path, Session] = {}
        for (text, one), place in zip(found, places, strict=True):
            if place.resolve() not in sessions:
                with opening(one, home, text):
                    session = await stack.enter_async_context(opened(place))
                report(await session.catch_up())
                sessions[place.resolve()] = session
        former, latter = (sessions[place.resolve()].memory.instance.store for place in places)
        return await difference(former, latter, space)


async def _place(home: Path, text: str, space: str | None, signed_by: list[Path] | None) -> Path | Past:
    """Return the home that an argument names, or the past state that it is."""
    if text == "now":
        return home
    if (Path(text) / "home.json").exists():
        return Path(text)
    return await past_state(home, text, space, signed_by)


def _described(one: SpaceDifference) -> dict[str, Any]:
    edges = [
        {
            "memory_ids": list(edge.memory_ids),
            "before": round(edge.before / _UNITS, 9),
            "after": round(edge.after / _UNITS, 9),
        }
        for edge in one.edges
    ]
    return {
        "memories": msgspec.to_builtins(one.memories),
        "edges": {
            "added": [edge for edge, change in zip(edges, one.edges, strict=True) if not change.before],
            "removed": [edge for edge, change in zip(edges, one.edges, strict=True) if not change.after],
            "changed": [edge for edge, change in zip(edges, one.edges, strict=True) if change.before and change.after],
        },
        "facts": msgspec.to_builtins(one.facts),
    }


def _rows(space: str, one: SpaceDifference) -> list[tuple[str, str, str, str]]:
    rows = []
    for what, things in (("memories", one.memories), ("facts", one.facts)):
        for how in ("added", "removed", "changed", "hidden", "shown"):
            found: tuple[Thing, ...] = getattr(things, how)
            if found:
                rows.append(
                    (space, what, f"{len(found)} {how}", _some([f"{thing.id}  {thing.text}" for thing in found]))
                )
    if one.edges:
        changes = [
            f"{' '.join(edge.memory_ids)}  {edge.before / _UNITS:.6f} → {edge.after / _UNITS:.6f}" for edge in one.edges
        ]
        rows.append((space, "links", f"{len(changes)} changed", _some(changes)))
    return rows


def _some(lines: list[str]) -> str:
    more = len(lines) - _SHOWN
    return "\n".join([*lines[:_SHOWN], *([f"… and {more} more; --json has them all"] if more > 0 else [])])
