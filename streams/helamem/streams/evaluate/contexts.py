"""What is recalled for the questions of a benchmark, as blocks for a prompt that a model answers from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from helamem.processors.embedder.port import Embedder
from helamem.processors.reranker.port import Reranker
from helamem.schemas.errors import BadInput
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.evaluate import locomo, longmemeval
from helamem.streams.evaluate.answering import Item
from helamem.streams.evaluate.homes import evaluation_home
from helamem.streams.ingest.locomo import read_samples
from helamem.streams.ingest.longmemeval import read_histories

Progress = Callable[[int, int], None]


async def contexts_of_locomo(
    path: Path, k: int, embedder: Embedder | None, reranker: Reranker | None, on_progress: Progress
) -> list[Item]:
    """Return the questions of the categories 1 to 4 that have an answer, each as of its conversation's end.

    Raises:
        BadInput: The file is not in LoCoMo's format, or has no such question.
    """
    questions = [
        (s, q) for s in read_samples(path) for q in s.questions if q.category in locomo.CATEGORIES and q.answer
    ]
    if not questions:
        raise BadInput(f"{path} holds no question of the categories 1 to 4 with an answer; nothing can be asked")
    items = []
    with tempfile.TemporaryDirectory(prefix="helamem-eval-") as folder:
        async with await evaluation_home(Path(folder) / "home", embedder=embedder, reranker=reranker) as memory:
            await locomo.ingest(memory, path)
            for sample, question in questions:
                block, tokens = await _recalled(memory, sample.space, question.text, k, sample.end_ms)
                items.append(
                    Item(
                        group=str(question.category),
                        question=question.text,
                        wanted=question.answer,
                        context=block,
                        tokens=tokens,
                        asked_ms=sample.end_ms,
                        category=question.category,
                    )
                )
                on_progress(len(items), len(questions))
    return items


async def contexts_of_longmemeval(path: Path, k: int, embedder: Embedder | None, on_progress: Progress) -> list[Item]:
    """Return all questions of a LongMemEval file, those that nothing answers too.

    Raises:
        BadInput: The file is not in LongMemEval's format, or holds no question.
    """
    histories = read_histories(path)
    if not histories:
        raise BadInput(f"{path} holds no question; nothing can be asked")
    items: list[Item] = []
    async with aclosing(longmemeval.homes_of(histories, embedder)) as homes:
        async for memory, history in ((memory, history) async for memory, part in homes for history in part):
            block, tokens = await _recalled(memory, history.space, history.question, k, history.asked_ms)
            items.append(
                Item(
                    group=history.question_type,
                    question=history.question,
                    wanted=history.answer,
                    context=block,
                    tokens=tokens,
                    asked_ms=history.asked_ms,
                    abstains=history.abstains,
                )
            )
            on_progress(len(items), len(histories))
    return items


async def _recalled(memory: AsyncMemory, space: str, question: str, k: int, as_of_ms: int) -> tuple[str, int]:
    recalled = await memory.recall(space, question, k=k, as_of=as_of_ms, context=True, record=False)
    assert recalled.context is not None
    return recalled.context.text, recalled.context.tokens
