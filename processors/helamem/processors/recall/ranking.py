"""The mathematics of ranking: pure functions over arrays, no clock, no I/O, no randomness.

A recall sees of each candidate a dense score (cosine), a lexical score (BM25 with the document frequencies of its
space), its place in its conversation, and what was known when it was written: who spoke, whether it asks, how long it
is. All scores are in units of "the best lexical match of this recall is 1".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_WORD = re.compile(r"\w+")
_QUESTION_MARKS = ("?", "？", "؟", "՞")  # Latin, full-width, Arabic, Armenian


class RankingParameters(Struct, frozen=True, kw_only=True):
    """The few numbers of the ranking; docs/model.md says where each comes from and how flat its optimum is."""

    candidates: int = 100
    """Results asked of the dense and of the lexical search."""
    seeds: int = 20
    """Best candidates, which lend activation to the turns around them."""
    learned_seeds: int = 10
    """Best candidates, which lend activation along learned edges."""
    learned_reach: int = 32
    """Most memories that learned edges may add to the candidates."""
    dense: float = 0.4
    """The best dense match against the best lexical match."""
    speaker: float = 0.4
    """Added where the query names the speaker."""
    question: float = 0.2
    """Taken from turns that ask."""
    length: float = 0.15
    """Times ln(1 + words)."""
    length_cap: int = 50
    """Words beyond this count no more."""
    period: float = 0.5
    """Added where a turn was said in a time that the query names."""
    holds: float = 1.0
    """Added where a turn says what holds of that which is asked about, such as where somebody lives."""
    reach: int = 4
    """Turns before and after that a seed lends to."""
    temporal: float = 0.5
    """Weight of the temporal edge between neighbouring turns (HeLa-Mem, section 3.1)."""
    falloff: float = 0.7
    """Factor for each further turn."""
    answer: float = 0.3
    """Added weight of the edge from a question to the turn after it."""
    learned: float = 2.0
    """β: what a seed lends along a learned edge of weight 1."""
    recency: float = 0.2
    """Share of the similarity that ages away, in [0, 1]; 1 with a half-life of 42 days is the paper's τ of 60 days."""
    half_life_days: float = 250.0
    """Half-life of that share."""


class Scale(Struct, frozen=True, kw_only=True):
    """How the raw scores of one recall become comparable; taken from its first two lists only."""

    lexical_max: float
    dense_floor: float
    dense_max: float

    def fuse(self, dense: Floats, lexical: Floats, weight: float) -> Floats:
        """Return `lexical/max + weight · clip((dense − floor) / (max − floor), 0)`, shapes (n,), (n,) → (n,)."""
        span = self.dense_max - self.dense_floor
        near = np.maximum(dense - self.dense_floor, 0.0) / span if span > 0 else np.zeros_like(dense)
        words = lexical / self.lexical_max if self.lexical_max > 0 else np.zeros_like(lexical)
        return np.asarray(words + weight * near, dtype=np.float64)


def scale_of(dense: Sequence[float], lexical: Sequence[float]) -> Scale:
    """Return the scale that the scores of a recall's first two lists set."""
    return Scale(
        lexical_max=max(lexical, default=0.0), dense_floor=min(dense, default=0.0), dense_max=max(dense, default=0.0)
    )


def word_count(text: str) -> int:
    """Return the number of words of a text."""
    return len(_WORD.findall(text))


def asks(text: str) -> bool:
    """Return whether a turn asks something, by its question marks."""
    return any(mark in text for mark in _QUESTION_MARKS)


def names(query: str, speaker: str) -> bool:
    """Return whether a query shares a word of two letters or more with a speaker's name."""
    wanted = set(_WORD.findall(query.casefold()))
    return any(len(word) > 1 and word in wanted for word in _WORD.findall(speaker.casefold()))


def prior(named: Bools, asking: Bools, words: Ints, then: Bools, parameters: RankingParameters) -> Floats:
    """Return what memories deserve before their content is looked at; shapes (n,) → (n,)."""
    size = np.log1p(np.minimum(words, parameters.length_cap))
    about = parameters.speaker * named + parameters.period * then
    return np.asarray(about - parameters.question * asking + parameters.length * size)


def aged(similarity: Floats, age_ms: Ints, parameters: RankingParameters) -> Floats:
    """Return `similarity · (1 − γ + γ · 2^(−age/half-life))`; a negative age counts as 0; shapes (n,) → (n,)."""
    days = np.maximum(age_ms, 0) / 86_400_000.0
    kept = 1.0 - parameters.recency + parameters.recency * np.exp2(-days / parameters.half_life_days)
    return np.asarray(similarity * kept)


def spread_temporal(
    similarity: Floats, seeds: Ints, parameters: RankingParameters, *, asking: Bools, places: Ints
) -> tuple[Floats, Ints]:
    """Return the activation that seeds lend to the turns around them, and who lent most; shapes (n,) → (n,), (n,).

    `out[j] = Σ_i similarity[i] · (w · λ^(|d|−1) + answer · [d = 1 and i asks])` over the seeds i of the same
    conversation with `d = turn[j] − turn[i]` and `1 ≤ |d| ≤ reach`. Every turn inside a conversation has the same
    number of such edges, so nothing has to be divided by the degree.

    Args:
        similarity: Of all members, shape (n,).
        seeds: Indices of the m seeds.
        parameters: Weights and reach.
        asking: Whether a member asks.
        places: As far apart as the turns are within a conversation, and farther than `reach` between two.
    """
    if not len(seeds) or not len(similarity):
        return np.zeros_like(similarity), np.full(len(similarity), -1, dtype=np.int64)
    beyond = parameters.reach + 1
    by_step = np.zeros((2, 2 * beyond + 1))  # for who tells and for who asks
    for step in range(1, beyond):
        by_step[:, beyond + step] = by_step[:, beyond - step] = parameters.temporal * parameters.falloff ** (step - 1)
    by_step[1, beyond + 1] += parameters.answer
    steps = np.clip(places[None, :] - places[seeds, None], -beyond, beyond) + beyond
    lent = similarity[seeds, None] * by_step[asking[seeds, None].astype(np.int64), steps]
    total = lent.sum(axis=0)
    return total, np.where(total > 0, seeds[lent.argmax(axis=0)], -1)


def best(scores: Floats, count: int) -> Ints:
    """Return the indices of the highest scores, best first, ties by index; shape (n,) → (min(count, n),)."""
    return np.argsort(-scores, kind="stable")[:count]
