"""The ablations of `helamem eval locomo`: what each part of a recall is worth, on one home, question by question.

Every conversation is ingested once. Then each question is recalled and the evidence found is reinforced, so that there
is something learned, and the hubs that this forms are distilled. The table is what the same questions find after that,
with nothing recorded any more: as a recall is by default, with one part left out at a time, with plain rankings by
vector or by words alone, and with HeLa-Mem as its paper states it (`evaluate.paper`), which learned from the same
questions by its own rule. Each row is held against the default, paired by question.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct, structs

from helamem.processors.embedder.port import Embedder
from helamem.processors.encoding.content import spoken
from helamem.processors.recall.context import BUDGET, context_of
from helamem.processors.recall.hits import Hit
from helamem.processors.recall.ranking import RankingParameters
from helamem.processors.recall.recall import Recall
from helamem.processors.store.port import MemoryStore, Vector
from helamem.schemas.events import RecalledResult, RecallSettings
from helamem.schemas.settings import HebbianSettings
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.evaluate.homes import evaluation_home
from helamem.streams.evaluate.locomo import answered_by, ingest, share_of_evidence, use
from helamem.streams.evaluate.paper import PaperMemory, PaperSettings
from helamem.streams.evaluate.statistics import mean, paired_interval
from helamem.streams.ingest.locomo import Question, Sample

DEFAULT = "default"
ABLATIONS = (
    "no-spreading",
    "no-learning",
    "no-decay",
    "no-distillation",
    "dense-only",
    "bm25-only",
    "paper",
    "paper-ageless",
)
"""Names of the rows beside the default, each also a flag of the command.

The released code of the paper cannot read the benchmark's dates, so that every turn is of one age there: that is
`paper-ageless`.
"""

_PAPERS = {"paper": PaperSettings(), "paper-ageless": PaperSettings(tau_days=inf)}
_FOREVER = HebbianSettings(half_life_s=10**12)

Ask = Callable[[Sample, Question], Awaitable[Sequence[Hit]]]


class Found(Struct, frozen=True, kw_only=True):
    """What one question found."""

    first: float
    """Share of its evidence among the first k memories."""
    returned: float
    """Share of its evidence among all k + m."""
    shown: float
    """Share of its evidence in the context of 1,000 tokens, as a turn or in a fact that rests on it."""
    tokens: int
    """Of that context."""


async def evaluate_ablations(
    path: Path,
    names: Sequence[str] = ABLATIONS,
    *,
    k: int = 10,
    embedder: Embedder | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Return the rows of the table; see the module's docstring.

    Args:
        path: A file in LoCoMo's own format.
        names: Which of `ABLATIONS`, in the order of the rows.
        k: Results that count first; m more are returned, as by default.
        embedder: Another one than the default.
        on_progress: Told how many questions of how many were asked, over all rows.

    Raises:
        BadInput: The file is not in LoCoMo's format, or has no usable question.
    """
    questions = answered_by(path)
    wanted = RecallSettings(k=k)
    total = len(questions) * (len(names) + 2)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        on_progress(done, total)

    with tempfile.TemporaryDirectory(prefix="helamem-eval-") as folder:
        async with await evaluation_home(Path(folder) / "home", embedder=embedder) as memory:
            await ingest(memory, path)
            for sample, question in questions:
                await use(memory, sample, question, k)
                advance()
            await memory.process()
            facts = len(await memory.facts())
            rows: dict[str, list[Found]] = {}
            for name in (DEFAULT, *names):
                ask = await _asking(name, memory, questions, wanted)
                rows[name] = []
                for sample, question in questions:
                    rows[name].append(_found(await ask(sample, question), sample, question, k))
                    advance()
            embedded_by = memory.instance.embedder.name
    return {
        "k": k,
        "m": wanted.m,
        "embedder": embedded_by,
        "questions": len(questions),
        "facts": facts,
        "rows": {name: _figures(found, rows[DEFAULT], k, k + wanted.m) for name, found in rows.items()},
    }


async def _asking(
    name: str, memory: AsyncMemory, questions: Sequence[tuple[Sample, Question]], wanted: RecallSettings
) -> Ask:
    """Return what answers the questions of a row."""
    store, embedder, hebbian = memory.instance.store, memory.instance.embedder, memory.instance.settings.hebbian
    if name in _PAPERS:
        return await _paper(store, embedder, questions, wanted, _PAPERS[name])
    if name in ("dense-only", "bm25-only"):
        return _plain(store, embedder, wanted, dense=name == "dense-only")
    parameters = RankingParameters()
    if name == "no-learning":
        parameters = structs.replace(parameters, learned=0.0, learned_reach=0)
    if name == "no-decay":
        parameters, hebbian = structs.replace(parameters, recency=0.0), _FOREVER
    if name == "no-distillation":
        wanted = structs.replace(wanted, facts=0)
    if name == "no-spreading":
        wanted = structs.replace(wanted, spreading=False)
    recall = Recall(store, embedder, hebbian, parameters)

    async def ask(sample: Sample, question: Question) -> Sequence[Hit]:
        return await recall.recall(sample.space, question.text, wanted, sample.end_ms, until_ms=sample.end_ms)

    return ask


def _plain(store: MemoryStore, embedder: Embedder, wanted: RecallSettings, *, dense: bool) -> Ask:
    """Return a ranking by cosine alone, or by BM25 alone."""

    async def ask(sample: Sample, question: Question) -> Sequence[Hit]:
        vector = await _embed(embedder, question.text)
        scores = await store.search_memories(
            sample.space, vector, question.text, wanted.k + wanted.m, until_ms=sample.end_ms
        )
        found = scores.dense if dense else scores.lexical
        ranked = sorted(found, key=lambda id_: (-found[id_], id_))
        return await _hits(store, sample.space, ranked)

    return ask


async def _paper(
    store: MemoryStore,
    embedder: Embedder,
    questions: Sequence[tuple[Sample, Question]],
    wanted: RecallSettings,
    settings: PaperSettings,
) -> Ask:
    """Return HeLa-Mem by its paper after it was asked every question once, learning from each as it is asked."""
    memories: dict[str, PaperMemory] = {}
    for space in dict.fromkeys(sample.space for sample, _ in questions):
        turns = sorted(
            [turn async for turn in store.scan_turns(space)], key=lambda turn: (turn.time_ms, turn.turn, turn.id)
        )
        texts = [spoken(turn.speaker, turn.text) for turn in turns]
        memories[space] = PaperMemory(turns, await asyncio.to_thread(embedder.embed, texts), settings)

    async def ids_of(sample: Sample, question: Question) -> list[str]:
        vector = await _embed(embedder, question.text)
        return memories[sample.space].recall(question.text, vector, sample.end_ms, wanted.k, wanted.m)

    for sample, question in questions:
        memories[sample.space].learn(await ids_of(sample, question))

    async def ask(sample: Sample, question: Question) -> Sequence[Hit]:
        return await _hits(store, sample.space, await ids_of(sample, question))

    return ask


async def _embed(embedder: Embedder, text: str) -> Vector:
    return np.asarray((await asyncio.to_thread(embedder.embed, [text]))[0], dtype=np.float32)


async def _hits(store: MemoryStore, space: str, ids: Sequence[str]) -> list[Hit]:
    turns = await store.turns(space, ids)
    return [
        Hit(result=RecalledResult(id=id_, kind="memory", path="base", score=0.0, base=0.0), turn=turns[id_])
        for id_ in ids
    ]


def _found(hits: Sequence[Hit], sample: Sample, question: Question, k: int) -> Found:
    ids = [hit.result.id for hit in hits if hit.turn is not None]
    context = context_of(hits, BUDGET)
    shown = {id_ for hit in context.hits for id_ in ((hit.result.id,) if hit.fact is None else hit.fact.evidence)}
    return Found(
        first=share_of_evidence(ids[:k], sample, question),
        returned=share_of_evidence(ids, sample, question),
        shown=share_of_evidence(shown, sample, question),
        tokens=context.tokens,
    )


def _figures(found: Sequence[Found], control: Sequence[Found], k: int, all_: int) -> dict[str, Any]:
    def against(figure: Callable[[Found], float]) -> dict[str, float]:
        return structs.asdict(paired_interval([figure(one) for one in found], [figure(one) for one in control]))

    return {
        f"mean@{k}": mean([one.first for one in found]),
        f"any@{k}": mean([float(one.first > 0) for one in found]),
        f"mean@{all_}": mean([one.returned for one in found]),
        "in_context": mean([one.shown for one in found]),
        "context_tokens": mean([one.tokens for one in found]),
        "difference": {
            f"mean@{k}": against(lambda one: one.first),
            f"mean@{all_}": against(lambda one: one.returned),
            "in_context": against(lambda one: one.shown),
        },
    }
