"""`helamem facts`: what was distilled, and from what."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import typer

from helamem.schemas.times import format_ms
from helamem.streams.cli.commands import (
    DEFAULT_HOME,
    AnySpaceOption,
    HomeOption,
    JsonOption,
    NoProcessOption,
    add,
)
from helamem.streams.cli.output import show, table
from helamem.streams.cli.session import Session, in_home
from helamem.streams.home import wall_clock_ms

if TYPE_CHECKING:  # it imports the engine
    from helamem.processors.store.port import FactRecord


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "facts", facts, "helamem facts --space acme/mira")


def facts(
    *,
    space: AnySpaceOption = None,
    no_process: NoProcessOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """List the facts that were distilled from memories, with their evidence, hidden ones and what is over included."""

    async def look(session: Session) -> tuple[list[FactRecord], dict[str, str], dict[str, int]]:
        from helamem.processors.consolidation.standing import ended  # noqa: PLC0415 - it imports the engine

        found = await session.memory.facts(None if space is None else await session.known(space))
        texts: dict[str, str] = {}
        for fact in found:
            turns = await session.memory.turns(fact.space, fact.evidence)
            texts.update((id_, f"{turn.speaker}: {turn.text}") for id_, turn in turns.items())
        now_ms, over = wall_clock_ms(), dict[str, int]()
        for _, of_space in groupby(found, key=lambda fact: fact.space):
            over |= {id_: end.at_ms for id_, end in ended(of_space, now_ms).items()}
        return found, texts, over

    found, texts, over = in_home(home, look, process=not no_process)
    answer = [
        {
            "id": fact.id,
            "space": fact.space,
            "kind": fact.kind,
            "subject": fact.subject,
            "text": fact.text,
            "key": fact.key or None,
            "value": fact.value or None,
            "valid_from": format_ms(fact.valid_from_ms),
            "valid_until": format_ms(over[fact.id]) if fact.id in over else None,
            "supersedes": fact.supersedes,
            "evidence": [{"memory_id": id_, "text": texts.get(id_)} for id_ in fact.evidence],
            "hub": fact.hub,
            "distiller": fact.distiller,
            "hidden": fact.hidden,
        }
        for fact in found
    ]
    rows = [
        (
            fact.space,
            fact.kind,
            (fact.text or "[erased]") + (" (hidden)" if fact.hidden else ""),
            format_ms(fact.valid_from_ms)[:10]
            + (f"\nuntil {format_ms(over[fact.id])[:10]}" if fact.id in over else ""),
            "\n".join(texts.get(id_, id_) for id_ in fact.evidence),
        )
        for fact in found
    ]
    drawn = table(str(home), ("space", "kind", "fact", "since", "evidence"), rows, lines=True)
    show({"facts": answer}, lambda console: console.print(drawn), as_json=json)
