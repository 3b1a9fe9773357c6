"""What the use of some questions does to them, and to the others on the same conversations.

In one home every second question is recalled and the evidence found is reinforced, in another home the others are. All
questions are asked before and after, with nothing recorded. So each question is once among the used ones and once among
the others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from helamem.processors.embedder.port import Embedder
from helamem.schemas.events import RecallSettings
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.evaluate.homes import evaluation_home
from helamem.streams.evaluate.locomo import answered_by, ingest, share_of_evidence, use
from helamem.streams.evaluate.statistics import mean, paired_interval
from helamem.streams.ingest.locomo import Question, Sample

Asked = Sequence[tuple[Sample, Question]]


class _Shares(Struct, frozen=True):
    first: list[float]
    """Of each question, the share of its evidence among the first k memories."""
    returned: list[float]
    """Among all k + m."""


async def evaluate_halves(
    path: Path,
    *,
    k: int = 10,
    embedder: Embedder | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Return what use gains for the used questions and for the others; see the module's docstring.

    Args:
        path: A file in LoCoMo's own format.
        k: Results that count; m more are returned, as by default.
        embedder: Another one than the default.
        on_progress: Told how many of the two homes are done.

    Raises:
        BadInput: The file is not in LoCoMo's format, or has no usable question.
    """
    questions = answered_by(path)
    used: list[tuple[float, float]] = []
    others: list[tuple[float, float]] = []
    before = _Shares([], [])
    for half in range(2):
        with tempfile.TemporaryDirectory(prefix="helamem-eval-") as folder:
            async with await evaluation_home(Path(folder) / "home", embedder=embedder) as memory:
                await ingest(memory, path)
                before = await _ask(memory, questions, k)
                for sample, question in questions[half::2]:
                    await use(memory, sample, question, k)
                await memory.process()
                after = await _ask(memory, questions, k)
                name = memory.instance.embedder.name
        pairs = list(zip(after.first, before.first, strict=True))
        used += pairs[half::2]
        others += pairs[1 - half :: 2]
        on_progress(half + 1, 2)
    m = RecallSettings().m
    return {
        "k": k,
        "m": m,
        "embedder": name,
        "questions": len(questions),
        "before": {f"mean@{k}": mean(before.first), f"mean@{k + m}": mean(before.returned)},
        "used": _figures(used, k),
        "others": _figures(others, k),
    }


async def _ask(memory: AsyncMemory, questions: Asked, k: int) -> _Shares:
    first, returned = [], []
    for sample, question in questions:
        recalled = await memory.recall(sample.space, question.text, k=k, as_of=sample.end_ms, record=False)
        ids = [hit.result.id for hit in recalled.hits if hit.turn is not None]
        first.append(share_of_evidence(ids[:k], sample, question))
        returned.append(share_of_evidence(ids, sample, question))
    return _Shares(first, returned)


def _figures(pairs: Sequence[tuple[float, float]], k: int) -> dict[str, Any]:
    after, before = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return {f"mean@{k}": mean(after), "gain": structs.asdict(paired_interval(after, before))}
