"""`helamem eval locomo`: how many of the turns that answer a question are among the first k results.

Each conversation of the file is a space of a temporary home. Questions of categories 1 to 4 with usable evidence are
asked as of the conversation's end. `mean@k` is the mean share of a question's evidence that was found, `any@k` the
share of questions with at least one piece. Facts that were distilled on the way are not counted as results.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, structs

from helamem.processors.embedder.port import Embedder
from helamem.processors.recall.hits import Hit
from helamem.processors.recall.ranking import RankingParameters
from helamem.processors.recall.recall import Recall
from helamem.processors.recall.tokens import llama_tokens
from helamem.processors.reranker.port import Reranker
from helamem.schemas.errors import BadInput
from helamem.schemas.events import RecallSettings
from helamem.schemas.ids import memory_id
from helamem.streams.async_memory import AsyncMemory, Recalled
from helamem.streams.evaluate.homes import evaluation_home
from helamem.streams.evaluate.statistics import mean, paired_interval, percentile
from helamem.streams.ingest.formats import read_file
from helamem.streams.ingest.incoming import Incoming
from helamem.streams.ingest.locomo import Question, Sample, read_samples

Learning = Literal["off", "recalled", "reinforced"]

CATEGORIES = (1, 2, 3, 4)
BASE_ALONE = RankingParameters(candidates=200, dense=0.5)
"""The best ranking that was found without association: longer lists, more weight for vectors."""


class Asked(Struct, frozen=True, kw_only=True):
    """One question and what came of it."""

    category: int
    share: float
    """Share of its evidence among the first k results."""
    tokens: int
    milliseconds: float

    @property
    def any(self) -> float:
        """1 where at least one piece of evidence was found."""
        return float(self.share > 0)


async def evaluate_locomo(
    path: Path,
    *,
    k: int = 10,
    learning: Learning = "off",
    embedder: Embedder | None = None,
    reranker: Reranker | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Return the figures of a LoCoMo file; see the module's docstring.

    Args:
        path: The file, in LoCoMo's own format.
        k: Results that count.
        learning: `recalled` folds every recall before the next question; `reinforced` also reinforces the evidence
            that was found, and asks all questions a second time.
        embedder: Another one than the default.
        reranker: What puts recalled memories in order, with association and without, or None.
        on_progress: Told how many questions of how many were asked.

    Raises:
        BadInput: The file is not in LoCoMo's format, or has no usable question.
    """
    questions = answered_by(path)
    with tempfile.TemporaryDirectory(prefix="helamem-eval-") as folder:
        async with await evaluation_home(Path(folder) / "home", embedder=embedder, reranker=reranker) as memory:
            ingested = await ingest(memory, path)
            passes = 2 if learning == "reinforced" else 1
            asked: list[list[Asked]] = []
            alone: list[Asked] = []
            instance = memory.instance
            base = Recall(instance.store, instance.embedder, instance.settings.hebbian, BASE_ALONE, reranker=reranker)
            for number in range(passes):
                answers = []
                for done, (sample, question) in enumerate(questions):
                    answers.append(await _ask(memory, sample, question, k, learning))
                    if number == 0:
                        alone.append(await _ask_base(base, sample, question, k))
                    on_progress(number * len(questions) + done + 1, passes * len(questions))
                asked.append(answers)
            name = instance.embedder.name
    report: dict[str, Any] = {
        "k": k,
        "learning": learning,
        "embedder": name,
        "reranker": None if reranker is None else reranker.name,
        "overall": _figures(asked[0], k),
        "without_spreading": _figures(alone, k),
        "gain_of_spreading": {
            f"mean@{k}": structs.asdict(paired_interval([a.share for a in asked[0]], [a.share for a in alone])),
            f"any@{k}": structs.asdict(paired_interval([a.any for a in asked[0]], [a.any for a in alone])),
        },
        "by_category": {str(c): _figures([a for a in asked[0] if a.category == c], k) for c in CATEGORIES},
        "ingest": ingested,
    }
    if passes > 1:
        report["asked_again"] = _figures(asked[1], k) | {
            "gain_of_learning": {
                f"mean@{k}": structs.asdict(paired_interval([a.share for a in asked[1]], [a.share for a in asked[0]]))
            }
        }
    return report


def answered_by(path: Path) -> list[tuple[Sample, Question]]:
    """Return the questions of a file that can be measured: of the categories 1 to 4, with evidence.

    Raises:
        BadInput: The file is not in LoCoMo's format, or has no such question.
    """
    questions = [(s, q) for s in read_samples(path) for q in s.questions if q.category in CATEGORIES and q.evidence]
    if not questions:
        raise BadInput(f"{path} holds no question of the categories 1 to 4 with evidence; nothing can be measured")
    return questions


def share_of_evidence(ids: Iterable[str], sample: Sample, question: Question) -> float:
    """Return how much of a question's evidence is among some ids of memories, from 0 to 1."""
    wanted = _evidence(sample, question)
    return len(wanted.intersection(ids)) / len(wanted)


async def use(memory: AsyncMemory, sample: Sample, question: Question, k: int) -> None:
    """Recall as an agent does, and reinforce the evidence that was found."""
    recalled = await memory.recall(sample.space, question.text, k=k, as_of=sample.end_ms)
    await _reinforce(memory, recalled, sample, question)


async def ingest(memory: AsyncMemory, path: Path) -> dict[str, float]:
    """Put the conversations of a file into a home, and return how many turns that were and how fast it was."""
    records = [one.record for one in read_file(path, "locomo", None) if isinstance(one, Incoming)]
    started = time.perf_counter()
    for start in range(0, len(records), 1000):
        await memory.instance.log.append(records[start : start + 1000])
    await memory.process()
    return {"turns": len(records), "turns_per_s": round(len(records) / (time.perf_counter() - started), 1)}


async def _ask(memory: AsyncMemory, sample: Sample, question: Question, k: int, learning: Learning) -> Asked:
    started = time.perf_counter()
    recalled = await memory.recall(sample.space, question.text, k=k, as_of=sample.end_ms, record=learning != "off")
    milliseconds = (time.perf_counter() - started) * 1000
    if learning == "reinforced":
        await _reinforce(memory, recalled, sample, question)
    if learning != "off":
        await memory.process()
    return _asked(recalled.hits, sample, question, k, milliseconds)


async def _reinforce(memory: AsyncMemory, recalled: Recalled, sample: Sample, question: Question) -> None:
    wanted = _evidence(sample, question)
    if found := [hit.result.id for hit in recalled.hits if hit.result.id in wanted]:
        await memory.reinforce(recalled.recall_id, found, space=sample.space)


def _evidence(sample: Sample, question: Question) -> set[str]:
    return {memory_id(sample.space, message_id) for message_id in question.evidence}


async def _ask_base(base: Recall, sample: Sample, question: Question, k: int) -> Asked:
    started = time.perf_counter()
    hits = await base.recall(
        sample.space, question.text, RecallSettings(k=k, spreading=False), sample.end_ms, until_ms=sample.end_ms
    )
    return _asked(hits, sample, question, k, (time.perf_counter() - started) * 1000)


def _asked(hits: Sequence[Hit], sample: Sample, question: Question, k: int, milliseconds: float) -> Asked:
    results = [hit for hit in hits if hit.turn is not None][:k]
    return Asked(
        category=question.category,
        share=share_of_evidence((hit.result.id for hit in results), sample, question),
        tokens=sum(llama_tokens(hit.text) for hit in results),
        milliseconds=milliseconds,
    )


def _figures(asked: Sequence[Asked], k: int) -> dict[str, Any]:
    return {
        f"mean@{k}": mean([a.share for a in asked]),
        f"any@{k}": mean([a.any for a in asked]),
        "questions": len(asked),
        "context_tokens": mean([a.tokens for a in asked]),
        "recall_ms": {
            "p50": percentile([a.milliseconds for a in asked], 50),
            "p99": percentile([a.milliseconds for a in asked], 99),
        },
    }
