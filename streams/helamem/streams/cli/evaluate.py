"""`helamem eval`: how much of what answers a question is recalled."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from helamem.schemas.errors import BadInput
from helamem.streams.cli.answers import AnswersOption, JudgeOption, QaOption, answer, check, kept_beside
from helamem.streams.cli.commands import JsonOption
from helamem.streams.cli.output import show, table
from helamem.streams.cli.progress import bar

_CATEGORIES = {"1": "multi-hop", "2": "temporal", "3": "open-domain", "4": "single-hop"}
_ROWS = "Adds the row to a table beside the default: "

EmbedderOption = Annotated[
    str | None, typer.Option(help="Another embedder, such as onnx:DIR.", show_default="wordllama")
]


class Learning(StrEnum):
    """What the recalls of the evaluation may change."""

    OFF = "off"
    RECALLED = "recalled"
    REINFORCED = "reinforced"


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="Measure recall on a benchmark's file.")
    group.command("locomo", epilog="Example: helamem eval locomo locomo10.json --ablations")(locomo)
    group.command("pairs", epilog="Example: helamem eval pairs tests/knowledge/pairs.jsonl")(pairs)
    group.command("longmemeval", epilog="Example: helamem eval longmemeval longmemeval_s.json")(longmemeval)
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
    halves: Annotated[
        bool,
        typer.Option(
            "--halves", help="Use every second question, then the others instead; ask all of them before and after."
        ),
    ] = False,
    embedder: EmbedderOption = None,
    reranker: Annotated[
        str | None, typer.Option(help="What puts memories in order, such as onnx:DIR.", show_default="none")
    ] = None,
    ablations: Annotated[bool, typer.Option("--ablations", help="All rows of the options that follow.")] = False,
    no_spreading: Annotated[bool, typer.Option("--no-spreading", help=_ROWS + "without association.")] = False,
    no_learning: Annotated[bool, typer.Option("--no-learning", help=_ROWS + "without what was learned.")] = False,
    no_decay: Annotated[bool, typer.Option("--no-decay", help=_ROWS + "nothing ages.")] = False,
    no_distillation: Annotated[bool, typer.Option("--no-distillation", help=_ROWS + "without facts.")] = False,
    dense_only: Annotated[bool, typer.Option("--dense-only", help=_ROWS + "ranked by vector alone.")] = False,
    bm25_only: Annotated[bool, typer.Option("--bm25-only", help=_ROWS + "ranked by words alone.")] = False,
    paper: Annotated[bool, typer.Option("--paper", help=_ROWS + "HeLa-Mem with its paper's settings.")] = False,
    paper_ageless: Annotated[bool, typer.Option("--paper-ageless", help=_ROWS + "the same, and nothing ages.")] = False,
    qa: QaOption = False,
    answers: AnswersOption = None,
    judge: JudgeOption = None,
    json: JsonOption = False,
) -> None:
    """Ask the questions of LoCoMo and count which turns of the evidence are among the first k results.

    mean@k is the mean share of a question's evidence that was found, any@k the share of questions with any of it.
    With rows of ablations all questions are asked once, what was found is reinforced, and the table is what they find
    the second time, each row held against the default. With --qa a model answers instead: F1, BLEU-1.
    """
    from helamem.processors.embedder.choose import choose_embedder  # noqa: PLC0415 - takes long
    from helamem.processors.reranker.choose import choose_reranker  # noqa: PLC0415 - takes long
    from helamem.streams.evaluate.ablations import ABLATIONS, evaluate_ablations  # noqa: PLC0415 - takes long
    from helamem.streams.evaluate.locomo import evaluate_locomo  # noqa: PLC0415 - takes long
    from helamem.streams.ingest.formats import existing  # noqa: PLC0415 - for the same error as ingest

    rows_of = {
        "no-spreading": no_spreading,
        "no-learning": no_learning,
        "no-decay": no_decay,
        "no-distillation": no_distillation,
        "dense-only": dense_only,
        "bm25-only": bm25_only,
        "paper": paper,
        "paper-ageless": paper_ageless,
    }
    names = [name for name in ABLATIONS if ablations or rows_of[name]]
    check(qa=qa, answers=answers, judge=judge)
    if qa and (names or learning is not Learning.OFF):
        raise BadInput("--qa asks a model about what is recalled by default; leave out --learning and the ablations")
    if halves and (qa or names or learning is not Learning.OFF):
        raise BadInput("--halves measures by itself what use does; leave out --learning, --qa and the ablations")
    if names and learning is not Learning.OFF:
        raise BadInput("the rows of ablations have learned from each question once; leave out --learning")
    if reranker is not None and (names or halves):
        raise BadInput("--reranker is measured by itself; leave out --halves and the ablations")
    chosen = None if embedder is None else choose_embedder(embedder)
    ordering = None if reranker is None else choose_reranker(reranker)
    if halves:
        from helamem.streams.evaluate.halves import evaluate_halves  # noqa: PLC0415 - takes long

        with bar("using") as advance:
            of_halves = asyncio.run(evaluate_halves(existing(file), k=k, embedder=chosen, on_progress=advance))
        show(of_halves, lambda console: _print_halves(console, of_halves), as_json=json)
        return
    if qa:
        from helamem.streams.evaluate.contexts import contexts_of_locomo  # noqa: PLC0415 - takes long

        contexts = partial(contexts_of_locomo, existing(file), k, chosen, ordering)
        answer(contexts, answers or kept_beside(file), judge=judge, names=_CATEGORIES, as_json=json)
        return
    with bar("asking") as advance:
        if names:
            rows = asyncio.run(evaluate_ablations(existing(file), names, k=k, embedder=chosen, on_progress=advance))
        else:
            figures = asyncio.run(
                evaluate_locomo(
                    existing(file),
                    k=k,
                    learning=learning.value,
                    embedder=chosen,
                    reranker=ordering,
                    on_progress=advance,
                )
            )
    if names:
        show(rows, lambda console: _print_ablations(console, rows), as_json=json)
    else:
        show(figures, lambda console: _print(console, figures, k), as_json=json)


def longmemeval(
    file: Annotated[Path, typer.Argument(help="A file in LongMemEval's own format.", show_default=False)],
    *,
    embedder: EmbedderOption = None,
    qa: QaOption = False,
    answers: AnswersOption = None,
    judge: JudgeOption = None,
    json: JsonOption = False,
) -> None:
    """Ask the questions of LongMemEval and count which sessions and turns of the evidence are among the first 5 and 10.

    mean@k is the mean share of a question's evidence that was found, any@k and all@k the shares of questions with any
    and with all of it. Each question has a history of its own; those that nothing answers (`_abs`) are left out. With
    --qa a model answers instead, from ten results and five by association, and these are asked too.
    """
    from helamem.processors.embedder.choose import choose_embedder  # noqa: PLC0415 - takes long
    from helamem.streams.evaluate.longmemeval import evaluate_longmemeval  # noqa: PLC0415 - takes long
    from helamem.streams.ingest.formats import existing  # noqa: PLC0415 - for the same error as ingest

    check(qa=qa, answers=answers, judge=judge)
    chosen = None if embedder is None else choose_embedder(embedder)
    if qa:
        from helamem.streams.evaluate.contexts import contexts_of_longmemeval  # noqa: PLC0415 - takes long

        contexts = partial(contexts_of_longmemeval, existing(file), 10, chosen)
        answer(contexts, answers or kept_beside(file), judge=judge, names={}, as_json=json)
        return
    with bar("asking") as advance:
        figures = asyncio.run(evaluate_longmemeval(existing(file), embedder=chosen, on_progress=advance))
    show(figures, lambda console: _print_longmemeval(console, figures), as_json=json)


def _print_longmemeval(console: Console, figures: dict[str, Any]) -> None:
    shares = tuple(f"{name}@{k}" for k in (5, 10) for name in ("mean", "any", "all"))
    heads = ("questions", *shares)
    rows = [("all", figures["overall"]), *figures["by_type"].items()]
    console.print(
        table(
            f"{figures['embedder']}, {figures['left_out']} questions without evidence left out",
            ("", "of", *heads),
            [
                (name, of, row[of]["questions"], *(f"{row[of][share]:.3f}" for share in shares))
                for name, row in rows
                for of in ("session", "turn")
            ],
            right=heads,
        )
    )


def pairs(
    file: Annotated[Path, typer.Argument(help="A file of pairs, a JSON object a line.", show_default=False)],
    *,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Results that count.")] = 10,
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="How often each pair is used.")] = 1,
    embedder: EmbedderOption = None,
    json: JsonOption = False,
) -> None:
    """Measure whether a memory comes along that the question cannot find, once it was used together with another.

    A line is a pair: {"first": {"day", "speaker", "text"}, "second": {…}, "question", "together"}, where the question
    finds the first, and `together` finds both; or a memory that answers by itself: {"only": {…}, "question"}. The
    same use is folded by our rule, by the paper's without its gate, and by all of the paper.
    """
    from helamem.processors.embedder.choose import choose_embedder  # noqa: PLC0415 - takes long
    from helamem.streams.evaluate.pairs import evaluate_pairs  # noqa: PLC0415 - takes long
    from helamem.streams.ingest.formats import existing  # noqa: PLC0415 - for the same error as ingest

    chosen = None if embedder is None else choose_embedder(embedder)
    with bar("using") as advance:
        figures = asyncio.run(evaluate_pairs(existing(file), k=k, rounds=rounds, embedder=chosen, on_progress=advance))
    show(figures, lambda console: _print_pairs(console, figures), as_json=json)


def _print_pairs(console: Console, figures: dict[str, Any]) -> None:
    k = figures["k"]
    heads = ("before", "after", "gain")
    console.print(
        table(
            f"{figures['pairs']} pairs and {figures['others']} others, among the first {k}",
            ("rule", "memory", *heads),
            [
                (rule, which, f"{of[f'before@{k}']:.3f}", f"{of[f'after@{k}']:.3f}", _interval(of["gain"]))
                for rule, memories in figures["rules"].items()
                for which, of in memories.items()
            ],
            right=heads,
        )
    )


def _print_halves(console: Console, figures: dict[str, Any]) -> None:
    k = figures["k"]
    heads = (f"mean@{k}", "against before")
    rows = [("before", f"{figures['before'][f'mean@{k}']:.3f}", "")]
    rows += [
        (name, f"{figures[name][f'mean@{k}']:.3f}", _interval(figures[name]["gain"])) for name in ("used", "others")
    ]
    console.print(table(f"{figures['embedder']}, half of the questions used", ("", *heads), rows, right=heads))


def _print_ablations(console: Console, figures: dict[str, Any]) -> None:
    first, returned = f"mean@{figures['k']}", f"mean@{figures['k'] + figures['m']}"
    heads = (first, "against the default", returned, "in context", "tokens")
    console.print(
        table(
            f"{figures['embedder']}, {figures['questions']} questions, each asked once before",
            ("", *heads),
            [
                (
                    name,
                    f"{row[first]:.3f}",
                    "" if name == "default" else _interval(row["difference"][first]),
                    f"{row[returned]:.3f}",
                    f"{row['in_context']:.3f}",
                    f"{row['context_tokens']:.0f}",
                )
                for name, row in figures["rows"].items()
            ],
            right=heads,
        )
    )


def _interval(gain: dict[str, float]) -> str:
    return f"{gain['difference']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"


def _print(console: Console, figures: dict[str, Any], k: int) -> None:
    rows = [("all", figures["overall"]), *((_CATEGORIES[c], f) for c, f in figures["by_category"].items())]
    rows.append(("all, without spreading", figures["without_spreading"]))
    if "asked_again" in figures:
        rows.append(("all, asked again", figures["asked_again"]))
    heads = ("questions", f"mean@{k}", f"any@{k}", "tokens", "ms p50", "ms p99")
    console.print(
        table(
            f"{figures['embedder']}, learning {figures['learning']}"
            + (f", reranker {figures['reranker']}" if figures["reranker"] else ""),
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
