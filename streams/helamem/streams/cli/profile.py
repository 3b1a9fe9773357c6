"""`helamem profile`: what is known of the people of a space, and what its agents know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from helamem.schemas.times import format_ms, parse_time
from helamem.streams.cli.commands import DEFAULT_HOME, HomeOption, JsonOption, NoProcessOption, add
from helamem.streams.cli.output import show, table
from helamem.streams.cli.session import Session, in_home

if TYPE_CHECKING:  # it imports the engine
    from helamem.processors.profile.profile import Entry, Profile


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "profile", profile, "helamem profile acme/mira")


def profile(
    space: Annotated[str, typer.Argument(help="The space, TENANT/NAME.", show_default=False)],
    *,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="TIME",
            help="What held at this time, of what was known by then, like 2025-03-01T09:00:00Z.",
            show_default="now",
        ),
    ] = None,
    no_process: NoProcessOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Show what is known of the people of a space, and what its agents know, with the memories that it rests on.

    It is put together from the facts that hold, by no model. What is forgotten or erased is left out.
    """
    as_of_ms = None if as_of is None else parse_time(as_of)

    async def look(session: Session) -> Profile:
        return await session.memory.profile(await session.known(space), as_of=as_of_ms)

    found = in_home(home, look, process=not no_process)
    answer = {
        "space": found.space,
        "as_of": format_ms(found.as_of_ms),
        "user_model": [
            {"subject": person.subject, "entries": [_described(entry) for entry in person.entries]}
            for person in found.user_model
        ],
        "agent_knowledge": [_described(entry) for entry in found.agent_knowledge],
        "left_out": found.left_out,
    }

    def people(console: Console) -> None:
        rows = [(person.subject, *_row(entry)) for person in found.user_model for entry in person.entries]
        rows += [("(agents)", *_row(entry)) for entry in found.agent_knowledge]
        if not rows:
            console.print("Nothing yet: facts are distilled from memories that are recalled together again and again.")
            return
        title = f"{found.space} as of {format_ms(found.as_of_ms)[:10]}"
        console.print(table(title, ("who", "what", "since", "said", "evidence"), rows, right=("evidence",), lines=True))
        if found.left_out:
            console.print(f"{found.left_out} older statements are left out; helamem facts lists all.")

    show(answer, people, as_json=json)


def _row(entry: Entry) -> tuple[str, str, str, str]:
    claim = f"{entry.key}: {entry.value}" if entry.key else ""
    return claim, format_ms(entry.since_ms)[:10], entry.text, str(len(entry.evidence))


def _described(entry: Entry) -> dict[str, Any]:
    return {
        "key": entry.key or None,
        "value": entry.value or None,
        "text": entry.text,
        "since": format_ms(entry.since_ms),
        "fact_ids": entry.fact_ids,
        "evidence": entry.evidence,
    }
