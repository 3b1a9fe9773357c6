"""`helamem demo`: the whole loop on a bundled conversation, and a picture of what happened."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text
from rich.tree import Tree

from helamem.schemas.errors import BadInput
from helamem.streams.cli.commands import EXIT_PROBLEM, JsonOption, add
from helamem.streams.cli.gateway import missing, serve_here
from helamem.streams.cli.output import printable, say, show, table
from helamem.streams.cli.progress import steps
from helamem.streams.cli.tracing import tracing

if TYPE_CHECKING:  # it imports the engine
    from helamem.streams.demo.play import Step

_SHOWN_RESULTS = 6
_SHOWN_FACTS = 2


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(
        app,
        "demo",
        demo,
        "helamem demo --keep my-home && helamem recall 'opening hours' --space demo/otto --home my-home",
    )


def demo(
    *,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Keep the home in this new directory.", show_default="thrown away")
    ] = None,
    serve: Annotated[
        bool | None,
        typer.Option(
            "--serve/--no-serve",
            help="Serve the home afterwards until Ctrl-C, with the console.",
            show_default="on a terminal, without --json",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Play ten months of two agents' conversations, show what is remembered, learned and rebuilt, and serve it.

    Messages go into a log, become memories, recalls strengthen links between them, hubs become facts, and a rebuild
    from the log gives the same digest. Nothing is fetched and no model is asked. Then the home is served over HTTP,
    with the console, until Ctrl-C: where a person is there, or --serve says so. The exit code is 1 where the rebuild
    differs.
    """
    from helamem.streams.demo.play import play  # noqa: PLC0415 - it imports the engine

    if serve and json:
        raise BadInput("--json prints what happened and ends; leave out --serve, or --json")
    if serve and (lacking := missing()):
        raise BadInput(lacking)
    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise BadInput(f"{keep} is not empty; name a new directory to keep the demo in")
    with tempfile.TemporaryDirectory(prefix="helamem-demo-") as folder:
        home = keep or Path(folder) / "home"
        with steps() as on_step, tracing("sqlite") as traced:

            def note(step: Step) -> None:
                on_step(step.name, step.done, step.total)

            report = asyncio.run(play(home, Path(folder) / "rebuilt", note, traced))
        show(report, lambda console: draw(console, report, keep), as_json=json)
        if not report["digest"]["equal"]:
            raise typer.Exit(EXIT_PROBLEM)
        if wants_serving(serve=serve, terminal=sys.stdout.isatty(), as_json=json):
            serve_demo(home)


def wants_serving(*, serve: bool | None, terminal: bool, as_json: bool) -> bool:
    """Return whether the home is served: as it was said, or else where a person is there who can end it."""
    return terminal and not as_json if serve is None else serve


def serve_demo(home: Path) -> None:
    """Serve the home and say where, or say what that lacks."""
    if lacking := missing():
        say(f"the console is not served: {lacking}")
        return

    from helamem.streams.gateway.pages import pages  # noqa: PLC0415 - only what serves needs it

    served = "Console" if pages() else "Served, by a helamem that was installed without its console"

    def on_ready(address: str, _: str) -> None:
        # where a program reads, it has read what was printed before
        typer.echo(f"\n{served}: {address}/ (Ctrl-C ends it)", err=not sys.stdout.isatty())

    serve_here(home, on_ready)


def draw(console: Console, report: dict[str, Any], keep: Path | None) -> None:
    """Print what happened, for a person."""
    spaces = ", ".join(f"{name} ({count})" for name, count in report["spaces"].items())
    console.print(f"\n{report['messages']} messages remembered in {spaces}; {report['recalls']} recalls.\n")
    console.print(_recall_picture(report["recall"][0]))
    console.print(
        table(
            "Strongest links that the recalls made",
            ("weight", "between", "and"),
            [(f"{edge['weight']:.3f}", *edge["between"]) for edge in report["edges"]],
            right=("weight",),
            lines=True,
        )
    )
    console.print(_facts_picture(report["facts"]))
    if (recalled := report["fact_recalled"]) is not None:
        console.print(
            Panel(
                Text(printable(recalled["text"])),
                title=Text(f"Now recalled beside the memories for “{recalled['query']}”"),
            )
        )
    digest = report["digest"]
    verdict = Text("equal", "bold green") if digest["equal"] else Text("different", "bold red")
    console.print(Text.assemble("digest, live     ", digest["live"]))
    console.print(Text.assemble("digest, rebuilt  ", digest["rebuilt"], "  ", verdict))
    if keep is not None:
        console.print(f"\nThe home is kept: helamem recall 'opening hours' --space demo/otto --home {keep}")


def _recall_picture(case: dict[str, Any]) -> Any:
    """Return the results of one question before and after, with the associated memory marked."""
    rows = []
    for before, after in zip(case["before"][:_SHOWN_RESULTS], case["after"][:_SHOWN_RESULTS], strict=False):
        rows.append(tuple(f"{'→ ' if hit['id'] == case['associated'] else ''}{hit['text']}" for hit in (before, after)))
    return table(
        f"“{case['query']}” (→ came by association: it shares no word with the question)",
        ("before", "after a month of recalls"),
        rows,
        lines=True,
    )


def _facts_picture(facts: list[dict[str, Any]]) -> Tree:
    """Return the facts with most evidence, and where each comes from."""
    tree = Tree(Text(f"{len(facts)} facts distilled from hubs, such as", "bold"))
    for fact in sorted(facts, key=lambda one: (-len(one["evidence"]), one["id"]))[:_SHOWN_FACTS]:
        branch = tree.add(Text(f"{fact['space']}: {fact['kind']} about {fact['subject']}"))
        for line in fact["text"].splitlines():
            branch.add(Text(printable(line)))
        branch.add(Text(f"evidence: {', '.join(fact['evidence'])}", "dim"))
    return tree
