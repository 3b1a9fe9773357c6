"""`helamem spaces`: what there is to recall from."""

from __future__ import annotations

import typer

from helamem.streams.cli.commands import DEFAULT_HOME, HomeOption, JsonOption, NoProcessOption, add
from helamem.streams.cli.output import show, table
from helamem.streams.cli.session import Session, in_home


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "spaces", spaces, "helamem spaces")


def spaces(*, no_process: NoProcessOption = False, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """List the spaces of a home, with their number of memories."""

    async def look(session: Session) -> dict[str, int]:
        return await session.memory.spaces()

    found = sorted(in_home(home, look, process=not no_process).items())
    drawn = table(str(home), ("space", "memories"), found, right=("memories",))
    show({"spaces": dict(found)}, lambda console: console.print(drawn), as_json=json)
