"""Recall of facts: the best that hold, and those that held before, marked as such."""

from __future__ import annotations

import numpy as np

from helamem.processors.consolidation.standing import ended, related, withdrawn
from helamem.processors.recall.currency import asks_about_the_past, rank_facts
from helamem.processors.recall.hits import Hit, Question
from helamem.processors.recall.ranking import scale_of
from helamem.processors.recall.scores import without_last_ties
from helamem.processors.store.port import MemoryStore
from helamem.schemas.events import RecalledResult


async def matching_facts(store: MemoryStore, question: Question, wanted: int, weight: float) -> list[Hit]:
    """Return the facts that match best by words and vector and hold; there is no association among facts.

    Args:
        store: What is known.
        question: What is asked.
        wanted: How many facts at most.
        weight: Of the vector against the words, `RankingParameters.dense`.
    """
    if wanted == 0:
        return []
    limit = wanted * 4
    found = await store.search_facts(question.space, question.vector, question.query, limit, until_ms=question.until_ms)
    scale = scale_of(list(found.dense.values()), list(found.lexical.values()))
    found = without_last_ties(found, limit)
    ids = sorted(found.dense.keys() | found.lexical.keys())
    if not ids:
        return []
    fused = scale.fuse(
        np.array([found.dense.get(id_, scale.dense_floor) for id_ in ids]),
        np.array([found.lexical.get(id_, 0.0) for id_ in ids]),
        weight,
    )
    scores = {id_: float(score) for id_, score in zip(ids, fused, strict=True) if id_ in found.lexical}
    records = await store.facts(question.space, list(scores))
    known = await related(store, question.space, list(records.values()))
    over = ended(known.values(), question.as_of_ms)
    past = bool(question.periods) or asks_about_the_past(question.query)
    ranked = rank_facts({id_: scores[id_] for id_ in records}, known, {} if past else over)
    chosen: list[tuple[str, float]] = []
    while ranked and (room := wanted - len(chosen)) > 0:
        part, ranked = ranked[:room], ranked[room:]
        gone = await withdrawn(store, question.space, [known[id_] for id_, _ in part])
        chosen += [(id_, score) for id_, score in part if id_ not in gone]
    return [
        Hit(
            result=RecalledResult(id=id_, kind="fact", path="fact", score=round(score, 6), base=round(score, 6)),
            fact=known[id_],
            ended_ms=over[id_].at_ms if id_ in over else None,
        )
        for id_, score in chosen
    ]
