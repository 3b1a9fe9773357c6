"""Recall: what a space knows about a question, and why each result is there.

Two searches give candidates; the best of them are seeds. Seeds lend activation to the turns around them (temporal
edges) and to what they were recalled with before (learned edges); those are scored too. A result's activation is its
base score plus what was lent to it. A reranker, where there is one, puts the best in order. Nothing is written here:
the caller records the `memory.recalled` event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from helamem.processors.embedder.port import Embedder
from helamem.processors.hebbian.spreading import Activation
from helamem.processors.recall.currency import (
    Asked,
    concerning,
    preferring,
    words_anew,
)
from helamem.processors.recall.facts import matching_facts
from helamem.processors.recall.hits import Hit, Question
from helamem.processors.recall.learned import spread_packed
from helamem.processors.recall.outlines import OutlineCache, Outlines
from helamem.processors.recall.periods import Period, periods, within
from helamem.processors.recall.ranking import (
    Floats,
    Ints,
    RankingParameters,
    Scale,
    aged,
    best,
    prior,
    scale_of,
    spread_temporal,
)
from helamem.processors.recall.scores import joined, without_last_ties
from helamem.processors.recall.tokens import TokenCounter, llama_tokens
from helamem.processors.reranker.port import RERANKED, Reranker
from helamem.processors.store.port import MemoryStore, Scores
from helamem.schemas.errors import BadInput, Poison
from helamem.schemas.events import RecalledResult, RecallSettings
from helamem.schemas.settings import HebbianSettings

_SHORT = 1000
"""Characters up to which a query is embedded where it is asked, by a quick embedder."""
_MOST_PERIODS = 3
"""Times named by a query that are searched apart."""
_LOOKED_AT = 3
"""Of the best memories, for what they claim."""
_LOOKED_UP = 20
"""Memories that may say something newer of it."""


class _Members(Struct, frozen=True, kw_only=True):
    """The scored candidates of one recall, in the order of their ids; arrays have shape (n,)."""

    outlines: Outlines
    similarity: Floats
    unseen: AbstractSet[str]
    """Ids of those that were not asked of the store by this recall: they may have been hidden since they were."""

    @property
    def ids(self) -> list[str]:
        """Their ids."""
        return self.outlines.ids


class _Lent(NamedTuple):
    """What association lends to each member."""

    by_time: Floats
    lenders: Ints
    """Who lent most by time, or -1."""
    learned: dict[str, Activation[str]]


class Recall:
    """Answers questions from a store.

    Args:
        store: What is known.
        embedder: The one that embedded it.
        hebbian: The settings of the learned edges: their half-life.
        parameters: Of the ranking.
        count_tokens: For the token budget.
        reranker: Puts the best `RERANKED` memories in its order, or None. Their scores stay what they are.
    """

    def __init__(
        self,
        store: MemoryStore,
        embedder: Embedder,
        hebbian: HebbianSettings,
        parameters: RankingParameters | None = None,
        count_tokens: TokenCounter = llama_tokens,
        *,
        reranker: Reranker | None = None,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._half_life_ms = hebbian.half_life_s * 1000
        self._parameters = parameters or RankingParameters()
        self._count_tokens = count_tokens
        self._reranker = reranker
        self._outlines = OutlineCache(store)

    async def recall(
        self, space: str, query: str, settings: RecallSettings, as_of_ms: int, *, until_ms: int | None = None
    ) -> list[Hit]:
        """Return up to `k + m` memories by activation or the reranker, then up to `settings.facts` facts.

        Args:
            space: What may be recalled.
            query: The question.
            settings: How many results, whether association takes part, and the token budget.
            as_of_ms: "Now": ages and decay count up to here.
            until_ms: Leave out what was said later; None leaves out nothing.

        Raises:
            BadInput: The embedding model refuses the query.
            RetryLater: The store or a remote embedding model is away.
        """
        try:
            if self._embedder.quick and len(query) <= _SHORT:
                # Over a store of this process nothing else is awaited, and recalls in a row would let nobody else run.
                await asyncio.sleep(0)
                vector = self._embedder.embed([query])[0]
            else:
                vector = (await asyncio.to_thread(self._embedder.embed, [query]))[0]
        except Poison as refusal:
            raise BadInput(
                f"the embedding model refuses a query of {len(query):,} characters; ask with fewer words"
            ) from refusal
        question = Question(
            space=space,
            query=query,
            vector=vector,
            as_of_ms=as_of_ms,
            until_ms=until_ms,
            periods=periods(query, as_of_ms),
        )
        hits, facts = await self._store.gather(
            self._memories(question, settings),
            matching_facts(self._store, question, settings.facts, self._parameters.dense),
        )
        if self._reranker is not None:  # not in what is gathered, which waits for nothing but its store
            hits = (await self._reranked(self._reranker, question, hits))[: settings.k + settings.m]
        return self._within_budget([*hits, *facts], settings.token_budget)

    async def _memories(self, question: Question, settings: RecallSettings) -> list[Hit]:
        hits, gone = await self._found(question, settings, looking=False)
        if gone:  # it was kept since before it was hidden or erased, and others stand in its stead
            self._outlines.forget(question.space)
            hits, _ = await self._found(question, settings, looking=True)
        return hits

    async def _found(self, question: Question, settings: RecallSettings, *, looking: bool) -> tuple[list[Hit], bool]:
        """Return the memories that answer, and whether some that would have are no longer visible.

        Args:
            question: What is asked.
            settings: How much of it.
            looking: Whether the store is asked who is visible, also of those that are kept.
        """
        parameters, wanted = self._parameters, settings.k + settings.m
        limit = max(parameters.candidates, wanted)
        found = await self._store.search_memories(
            question.space, question.vector, question.query, limit, until_ms=question.until_ms
        )
        complete = len(found.lexical) < limit
        scale = scale_of(list(found.dense.values()), list(found.lexical.values()))
        found = without_last_ties(found, limit)
        for period in question.periods[:_MOST_PERIODS]:
            found = joined(found, await self._said_in(period, question, limit))
        members = await self._members(question, found, scale)
        if not members.ids:
            return [], False
        holding = await self._holding(question, members)
        learned: dict[str, Activation[str]] = {}
        lent, lenders = np.zeros(len(members.ids)), np.full(len(members.ids), -1, dtype=np.int64)
        if settings.spreading:
            seeds = best(members.similarity, parameters.seeds)
            learned = await self._learned(question, members, seeds[: parameters.learned_seeds])
            seed_ids = [members.ids[i] for i in seeds]
            reached = {*learned, *(holding or ())}
            around, unseen = await self._around(
                question, members, found, seeds, reached, scale=scale, complete=complete, looking=looking
            )
            members = await self._members(question, around, scale, unseen)
            if len(members.ids) < self._ordered(wanted):
                # Few turns stand around the seeds of short conversations; then the other candidates fill the answer.
                members = await self._members(question, joined(around, found), scale, unseen)
            place_of = {id_: i for i, id_ in enumerate(members.ids)}
            seeds = np.array([place_of[id_] for id_ in seed_ids if id_ in place_of], dtype=np.int64)
            lent, lenders = _lent_by_time(members, seeds, parameters)
        elif holding:
            others = await self._store.score_memories(
                question.space, question.vector, question.query, memory_ids=holding
            )
            members = await self._members(question, joined(found, others), scale)
            lent, lenders = np.zeros(len(members.ids)), np.full(len(members.ids), -1, dtype=np.int64)
        return await self._hits(question, members, _Lent(lent, lenders, learned), settings, holding)

    async def _holding(self, question: Question, members: _Members) -> list[str] | None:
        """Return memories that say something newer, or older, of what the best ones and the question are about.

        None where neither is about anything that changes.
        """
        if question.periods:
            return None
        best_ids = [members.ids[i] for i in best(members.similarity, _LOOKED_AT)]
        claimed = members.outlines.claimed(best_ids)
        claims = [claim for found in claimed.values() for claim in found]
        words = words_anew(question.query, claims)
        if not words:
            return None
        found = await self._store.search_memories(
            question.space, question.vector, words, _LOOKED_UP, until_ms=question.until_ms
        )
        others = await self._outlines.of(question.space, sorted(found.lexical.keys() - {*best_ids}))
        return concerning(question.query, claims, claimed | others.claimed(others.ids))

    async def _around(
        self,
        question: Question,
        members: _Members,
        found: Scores,
        seeds: Ints,
        others: set[str],
        *,
        scale: Scale,
        complete: bool,
        looking: bool,
    ) -> tuple[Scores, AbstractSet[str]]:
        """Return the scores of the turns around the seeds and of some others, and which of them were not looked at.

        What has its scores is not scored again. Where the list by words holds everything that shares a word, who is in
        neither list counts nothing: the list by vector leaves out what is not above its floor, or what the engine
        missed since it searched a graph or compared small vectors. Then only turns whose id is not kept are asked for,
        unless everybody is to be looked at.

        Places take a tenth of the time that ids take, so whatever is known by its place is asked for by that.

        Args:
            question: What is asked.
            members: What was found, with the seeds.
            found: Its scores.
            seeds: Indices of the seeds among the members.
            others: Ids.
            scale: Of the lists.
            complete: Whether the list by words is not full, so that it holds everything that shares a word.
            looking: Whether the store is asked for all.
        """
        known = members.outlines
        scored = found.dense.keys() if complete else found.dense.keys() & found.lexical.keys()
        places = known.around(seeds, self._parameters.reach)
        here = zip(known.ids, known.places.tolist(), strict=True)
        near = {id_: place for id_, place in here if place in places and id_ in scored}
        places.difference_update(near.values())
        ids = others - scored
        unseen: set[str] = set()
        if complete and not looking:
            kept = {place: id_ for place in places if (id_ := known.id_at(place)) is not None}
            places.difference_update(kept)
            unseen, ids = ids.union(kept.values()), set()
        else:
            elsewhere = {id_: place for id_ in ids if (place := known.place_of(id_)) is not None}
            places.update(elsewhere.values())
            ids.difference_update(elsewhere)
        around = await self._store.score_memories(
            question.space,
            question.vector,
            "" if complete else question.query,
            places=[*map(known.at, places)],
            memory_ids=ids,
        )
        scores = dict.fromkeys(unseen.union(around.dense), scale.dense_floor) if complete else around.dense
        dense = scores | {id_: found.dense[id_] for id_ in near.keys() | (others & scored)}
        lexical = around.lexical | {id_: found.lexical[id_] for id_ in dense.keys() & found.lexical.keys()}
        return Scores(dense=dense, lexical=lexical), unseen

    async def _said_in(self, period: Period, question: Question, limit: int) -> Scores:
        """Return the best of a period: in a large space other times may fill the lists."""
        last_ms = period.end_ms - 1
        found = await self._store.search_memories(
            question.space,
            question.vector,
            question.query,
            limit,
            since_ms=period.begin_ms,
            until_ms=last_ms if question.until_ms is None else min(last_ms, question.until_ms),
        )
        return without_last_ties(found, limit)

    async def _hits(
        self,
        question: Question,
        members: _Members,
        lent_by: _Lent,
        settings: RecallSettings,
        holding: Sequence[str] | None,
    ) -> tuple[list[Hit], bool]:
        """Return the memories of highest activation, what holds before what held, and say which association brought.

        Also whether some that would be among them are no longer visible.
        """
        base = self._base(question, members)
        lent, lenders, learned = lent_by
        gifts = np.array([learned[id_].score if id_ in learned else 0.0 for id_ in members.ids])
        activation = base + lent + gifts
        wanted = settings.k + settings.m
        ordered = self._ordered(wanted)
        by_base = set(best(base, ordered).tolist())
        considered = best(activation, ordered if holding is None else 2 * ordered).tolist()
        if holding:
            apart = set(holding).difference(members.ids[i] for i in considered)
            considered += [i for i, id_ in enumerate(members.ids) if id_ in apart]
        looked_at = [members.ids[i] for i in considered]
        looked_at += [members.ids[i] for i in by_base.difference(considered) if members.ids[i] in members.unseen]
        turns = await self._store.turns(question.space, looked_at)
        turns = {id_: turn for id_, turn in turns.items() if turn.visible}
        gone = len(turns) < len(looked_at)
        considered = [i for i in considered if members.ids[i] in turns]
        scores = {members.ids[i]: float(activation[i]) for i in considered}
        if holding is not None:
            asked = Asked(question.query, question.as_of_ms)
            said = [turns[id_] for id_ in scores]
            scores = preferring(scores, said, asked, self._parameters.holds)
        place_of = {members.ids[i]: i for i in considered}
        order = sorted(place_of, key=lambda id_: -scores[id_])
        hits = []
        for id_ in order[:ordered]:
            i = place_of[id_]
            # What nobody lent anything is here for what it says, however low its base score is.
            associated = i not in by_base and (gifts[i] > 0 or lent[i] > 0)
            via = None
            if associated:
                via = learned[id_].via if gifts[i] > lent[i] else members.ids[lenders[i]]
            result = RecalledResult(
                id=id_,
                kind="memory",
                path="association" if associated else "base",
                score=round(scores[id_], 6),
                base=round(float(base[i]), 6),
                via=via,
            )
            hits.append(Hit(result=result, turn=turns[id_]))
        return hits, gone

    def _ordered(self, wanted: int) -> int:
        """Return how many memories are put in order to return `wanted` of them."""
        return wanted if self._reranker is None else max(wanted, RERANKED)

    async def _reranked(self, reranker: Reranker, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        """Return the memories with the first ones in the reranker's order, but what holds before what held."""
        first, rest = hits[:RERANKED], hits[RERANKED:]
        given = await asyncio.to_thread(reranker.score, question.query, [hit.text for hit in first])
        reranked = [first[i] for i in np.argsort(-given, kind="stable")]
        if not question.periods:
            places = {hit.result.id: -float(place) for place, hit in enumerate(reranked)}
            turns = [hit.turn for hit in reranked if hit.turn is not None]
            places = preferring(places, turns, Asked(question.query, question.as_of_ms), 0.0)
            reranked.sort(key=lambda hit: -places[hit.result.id])
        return [*reranked, *rest]

    async def _members(
        self, question: Question, found: Scores, scale: Scale, unseen: AbstractSet[str] = frozenset()
    ) -> _Members:
        """Return what was found with its similarity."""
        known = await self._outlines.of(question.space, sorted(found.dense.keys() | found.lexical.keys()))
        if question.until_ms is not None:
            known = known.said_until(question.until_ms)
        dense = np.array([found.dense.get(id_, scale.dense_floor) for id_ in known.ids], dtype=np.float64)
        lexical = np.array([found.lexical.get(id_, 0.0) for id_ in known.ids], dtype=np.float64)
        ages = question.as_of_ms - known.time_ms
        similarity = aged(scale.fuse(dense, lexical, self._parameters.dense), ages, self._parameters)
        return _Members(outlines=known, similarity=similarity, unseen=unseen)

    def _base(self, question: Question, members: _Members) -> Floats:
        """Return the score without association, shape (n,)."""
        known = members.outlines
        then = within(known.time_ms, question.periods)
        named = known.named(question.query)
        return members.similarity + prior(named, known.asks, known.words, then, self._parameters)

    async def _learned(self, question: Question, members: _Members, seeds: Ints) -> dict[str, Activation[str]]:
        """Return what the seeds lend along learned edges, by receiver; only the strongest are kept."""
        rows = await self._store.edge_rows(question.space, [members.ids[i] for i in seeds])
        lent = spread_packed(
            [(members.ids[i], float(members.similarity[i])) for i in seeds],
            {id_: row.neighbours for id_, row in rows.items()},
            time_ms=question.as_of_ms,
            half_life_ms=self._half_life_ms,
            beta=self._parameters.learned,
            limit=self._parameters.learned_reach,
        )
        return {activation.memory_id: activation for activation in lent}

    def _within_budget(self, hits: Sequence[Hit], budget: int | None) -> list[Hit]:
        """Return the hits, best first, as long as their texts fit; one that does not fit is passed over."""
        if budget is None:
            return list(hits)
        kept = []
        for hit in hits:
            cost = self._count_tokens(hit.text)
            if cost <= budget:
                budget -= cost
                kept.append(hit)
        return kept


def _lent_by_time(members: _Members, seeds: Ints, parameters: RankingParameters) -> tuple[Floats, Ints]:
    known = members.outlines
    return spread_temporal(members.similarity, seeds, parameters, asking=known.asks, places=known.places)
