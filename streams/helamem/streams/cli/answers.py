"""`--qa` of `helamem eval`: a model answers the questions of a benchmark from what was recalled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from helamem.schemas.errors import BadInput
from helamem.streams.cli.output import show, table
from helamem.streams.cli.progress import bar

if TYPE_CHECKING:  # it takes long
    from helamem.streams.evaluate.answering import Item

QaOption = Annotated[
    bool,
    typer.Option("--qa", help="A model answers from what was recalled: the one that HELAMEM_DISTILLER… names."),
]
AnswersOption = Annotated[
    Path | None,
    typer.Option(
        help="File that keeps its answers, so that a broken run goes on.", show_default="FILE.answers.jsonl, here"
    ),
]
JudgeOption = Annotated[
    str | None,
    typer.Option(help="Another model of the same service, which judges the answers.", show_default="nobody judges"),
]


def check(*, qa: bool, answers: Path | None, judge: str | None) -> None:
    """Refuse options that mean nothing without --qa.

    Raises:
        BadInput: One of them was given.
    """
    if not qa and (answers is not None or judge is not None):
        raise BadInput("--answers and --judge belong to --qa; add it, or leave them out")


def kept_beside(file: Path) -> Path:
    """Return where the answers about a file are kept unless something else is said: here, by its name."""
    return Path(f"{file.stem}.answers.jsonl")


def answer(
    contexts: Callable[[Callable[[int, int], None]], Coroutine[Any, Any, list[Item]]],
    keep_in: Path,
    *,
    judge: str | None,
    names: Mapping[str, str],
    as_json: bool,
) -> None:
    """Have a model answer the questions of a benchmark and print what its answers are worth.

    Args:
        contexts: Recalls for each question; told where to report how far it is.
        keep_in: File that keeps the answers.
        judge: The model that judges them, or None.
        names: What a group is called in a table, where that is another name.
        as_json: Whether JSON was asked for.

    Raises:
        BadInput: No model is configured, or the file of answers holds something else.
        RetryLater: The service stays away.
    """
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka
    from helamem.streams.evaluate.answering import answer_all  # noqa: PLC0415 - takes long
    from helamem.streams.evaluate.kept_answers import KeptAnswers  # noqa: PLC0415 - takes long

    model = load_config().asked_distiller()
    if model is None:
        raise BadInput(
            "no model is configured that could answer; set HELAMEM_DISTILLER=openai:MODEL and "
            "HELAMEM_DISTILLER_BASE_URL, the address of a service up to /v1"
        )
    with KeptAnswers(keep_in) as kept:
        with bar("recalling") as advance:
            items = asyncio.run(contexts(advance))
        with bar("answering") as advance:
            figures = asyncio.run(answer_all(items, model, kept, judge=judge, on_progress=advance))
    show(figures, lambda console: _print_answers(console, figures, names), as_json=as_json)


def _print_answers(console: Console, figures: dict[str, Any], names: Mapping[str, str]) -> None:
    columns = {
        "questions": "questions",
        "f1": "F1",
        "bleu_1": "BLEU-1",
        "context_tokens": "tokens",
        "refused": "refused",
    }
    if figures["judge"] is not None:
        columns |= {"judged_right": "judged right", "without_verdict": "without verdict"}
    rows = [("all", figures["overall"]), *((names.get(g, g), f) for g, f in figures["by_group"].items())]
    console.print(
        table(
            f"answers of {figures['model']}" + (f", judged by {figures['judge']}" if figures["judge"] else ""),
            ("", *columns.values()),
            [
                (name, *(f"{row[c]:.3f}" if isinstance(row[c], float) else row[c] for c in columns))
                for name, row in rows
            ],
            right=tuple(columns.values()),
        )
    )
