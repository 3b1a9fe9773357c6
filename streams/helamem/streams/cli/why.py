"""`helamem why` and `helamem trace`: where something came from, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from helamem.schemas.errors import BadInput
from helamem.schemas.times import parse_time
from helamem.streams.cli.commands import (
    DEFAULT_HOME,
    EXIT_PROBLEM,
    AnySpaceOption,
    HomeOption,
    JsonOption,
    add,
    check_space,
)
from helamem.streams.cli.kafka import KafkaOption, keys_of, log_to_read, only_one
from helamem.streams.cli.lineage_tree import tree
from helamem.streams.cli.output import say, show

if TYPE_CHECKING:  # they import arrays
    from helamem.streams.lineage.node import Lineage
    from helamem.streams.lineage.reader import LogReader

T = TypeVar("T")


class Form(StrEnum):
    """How a lineage is written."""

    TREE = "tree"
    PROV = "prov"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add(app, "why", why, "helamem why FACT_ID")
    add(app, "trace", trace, "helamem trace EVENT_ID")


def why(
    context: typer.Context,
    *,
    ids: Annotated[
        list[str],
        typer.Argument(
            metavar="ID...", help="A fact or a memory, or two memories for the edge between them.", show_default=False
        ),
    ],
    space: AnySpaceOption = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="TIME",
            help="Weights of edges as they have faded by this time, like 2025-03-01T09:00:00Z.",
            show_default="each when it was last strengthened",
        ),
    ] = None,
    form: Annotated[
        Form, typer.Option("--format", help="A tree, which is JSON where it is piped, or W3C PROV-JSON.")
    ] = Form.TREE,
    kafka: KafkaOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Show where a fact, a memory or an edge came from, down to the messages and the recalls.

    Each message is named by its place in the log and the SHA-256 of its record; each recall by what it gave to an
    edge and what is left of it: these sum exactly to the edge's weight. All of it is read and folded again from the
    log. The exit code is 1 where the log contradicts itself, or lacks what it names.
    """
    only_one(context, kafka=kafka)
    if len(ids) > 2:
        raise BadInput(f"{len(ids)} ids are too many; name a fact, a memory, or the two memories of an edge")
    as_of_ms = None if as_of is None else parse_time(as_of)

    async def look(reader: LogReader) -> Lineage:
        from helamem.streams.lineage.why import why as of_one  # noqa: PLC0415 - it imports arrays
        from helamem.streams.lineage.why import why_edge  # noqa: PLC0415 - likewise

        if len(ids) == 2:
            return await why_edge(reader, ids[0], ids[1], space=space, as_of_ms=as_of_ms)
        return await of_one(reader, ids[0], space=space, as_of_ms=as_of_ms)

    found = _reading(home, look, space=space, kafka=kafka)
    from helamem.streams.lineage.node import as_json  # noqa: PLC0415 - with what imports arrays
    from helamem.streams.lineage.prov import prov  # noqa: PLC0415 - likewise

    if form is Form.PROV:
        show(prov(found), lambda console: None, as_json=True)
    else:
        answer = {"space": found.space, "problems": found.problems, "why": as_json(found.node)}
        show(answer, lambda console: console.print(tree(found.node)), as_json=json)
    for problem in found.problems:
        say(problem)
    if found.problems:
        raise typer.Exit(EXIT_PROBLEM)


def trace(
    context: typer.Context,
    *,
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="The event's id.", show_default=False)],
    space: AnySpaceOption = None,
    kafka: KafkaOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Show all that an event caused: memory, recalls that returned it, edges, hubs, facts, dead letters, retractions.

    It is read and folded again from the log. An event that somebody appended twice is found at each of its places;
    the first counts.
    """
    only_one(context, kafka=kafka)

    async def look(reader: LogReader) -> Lineage:
        from helamem.streams.lineage.trace import trace as of_event  # noqa: PLC0415 - it imports arrays

        return await of_event(reader, event_id, space=space)

    found = _reading(home, look, space=space, kafka=kafka)
    from helamem.streams.lineage.node import as_json  # noqa: PLC0415 - with what imports arrays

    answer = {"space": found.space, "trace": as_json(found.node)}
    show(answer, lambda console: console.print(tree(found.node)), as_json=json)


def _reading(home: Path, look: Callable[[LogReader], Awaitable[T]], *, space: str | None, kafka: bool) -> T:
    if space is not None:
        check_space(space)

    async def run() -> T:
        from helamem.streams.lineage.reader import LogReader  # noqa: PLC0415 - it imports arrays

        async with log_to_read(home, kafka=kafka) as log:
            return await look(await LogReader.open(log, keys_of(home, kafka=kafka)))

    return asyncio.run(run())
