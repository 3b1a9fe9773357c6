"""`helamem eval`: how much of what answers a question is recalled."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from helamem.streams.cli.commands import JsonOption
from helamem.streams.cli.output import show, table
from helamem.streams.cli.progress import bar

_CATEGORIES = {"1": "multi-hop", "2": "temporal", "3": "open-domain", "4": "single-hop"}


class Learning(StrEnum):
    """What the recalls of the evaluation may change."""

    OFF = "off"
    RECALLED = "recalled"
    REINFORCED = "reinforced"


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="Measure recall on a benchmark's file.")
    group.command("locomo", epilog="Example: helamem eval locomo locomo10.json -k 10")(locomo)
    app.add_typer(group, name="eval", epilog="Example: helamem eval locomo locomo10.json")


def locomo(
    file: Annotated[Path, typer.Argument(help="A file in LoCoMo's own format.", show_default=False)],
    *,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Results that count.")] = 10,
    learning: Annotated[
        Learning,
        typer.Option(
            help="recalled: every recall is folded before the next question. reinforced: the evidence that was found "
            "is reinforced too, and all questions are asked a second time."
        ),
    ] = Learning.OFF,
    embedder: Annotated[
        str | None, typer.Option(help="Another embedder, such as sentence-transformers:DIR.", show_default="wordllama")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Ask the questions of LoCoMo and count which turns of the evidence are among the first k results.

    mean@k is the mean share of a question's evidence that was found, any@k the share of questions with any of it.
    """
    from helamem.processors.embedder.choose import choose_embedder  # noqa: PLC0415 - takes long
    from helamem.streams.evaluate.locomo import evaluate_locomo  # noqa: PLC0415 - takes long
    from helamem.streams.ingest.formats import existing  # noqa: PLC0415 - for the same error as ingest

    chosen = None if embedder is None else choose_embedder(embedder)
    with bar("asking") as advance:
        figures = asyncio.run(
            evaluate_locomo(existing(file), k=k, learning=learning.value, embedder=chosen, on_progress=advance)
        )
    show(figures, lambda console: _print(console, figures, k), as_json=json)


def _print(console: Console, figures: dict[str, Any], k: int) -> None:
    rows = [("all", figures["overall"]), *((_CATEGORIES[c], f) for c, f in figures["by_category"].items())]
    rows.append(("all, without spreading", figures["without_spreading"]))
    if "asked_again" in figures:
        rows.append(("all, asked again", figures["asked_again"]))
    heads = ("questions", f"mean@{k}", f"any@{k}", "tokens", "ms p50", "ms p99")
    console.print(
        table(
            f"{figures['embedder']}, learning {figures['learning']}",
            ("", *heads),
            [
                (
                    name,
                    figure["questions"],
                    f"{figure[f'mean@{k}']:.3f}",
                    f"{figure[f'any@{k}']:.3f}",
                    f"{figure['context_tokens']:.0f}",
                    f"{figure['recall_ms']['p50']:.1f}",
                    f"{figure['recall_ms']['p99']:.1f}",
                )
                for name, figure in rows
            ],
            right=heads,
        )
    )
    gain = figures["gain_of_spreading"][f"mean@{k}"]
    console.print(
        f"Spreading gains {gain['difference']:+.3f} mean@{k} (95 % interval {gain['low']:+.3f} to {gain['high']:+.3f}) "
        f"over the best ranking without it. Ingest: {figures['ingest']['turns_per_s']:.0f} turns/s."
    )
