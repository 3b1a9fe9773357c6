"""The mathematics of ranking against references that say the same in loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helamem.processors.recall.ranking import (
    RankingParameters,
    Scale,
    aged,
    asks,
    best,
    names,
    prior,
    scale_of,
    spread_temporal,
    word_count,
)

PARAMETERS = RankingParameters()
scores = st.integers(0, 10_000_000).map(lambda n: n / 1_000_000)
signed = st.integers(-1_000_000, 1_000_000).map(lambda n: n / 1_000_000)
DAY_MS = 86_400_000


@given(
    dense=st.lists(signed, max_size=8),
    lexical=st.lists(scores, max_size=8),
    members=st.lists(st.tuples(signed, scores), max_size=10),
    weight=st.floats(0, 2),
)
def test_fused_scores(
    dense: list[float], lexical: list[float], members: list[tuple[float, float]], weight: float
) -> None:
    """`lexical/max + weight · clip((dense − floor)/(max − floor))`, and nothing is divided by nothing."""
    scale = scale_of(dense, lexical)
    fused = scale.fuse(np.array([d for d, _ in members]), np.array([w for _, w in members]), weight)
    for (d, w), found in zip(members, fused, strict=True):
        expected = w / max(lexical) if lexical and max(lexical) > 0 else 0.0
        if dense and max(dense) > min(dense):
            expected += weight * max(0.0, (d - min(dense)) / (max(dense) - min(dense)))
        assert found == pytest.approx(expected)


def test_the_best_of_both_lists_scores_one_each() -> None:
    """Units: the best lexical match is 1, the best dense match is its weight, the worst dense match is 0."""
    scale = scale_of([0.2, 0.5, 0.8], [1.0, 4.0])
    assert scale == Scale(lexical_max=4.0, dense_floor=0.2, dense_max=0.8)
    assert scale.fuse(np.array([0.8, 0.2]), np.array([4.0, 0.0]), 0.4).tolist() == pytest.approx([1.4, 0.0])


@given(members=st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 500), st.booleans()), max_size=10))
def test_what_a_memory_deserves_before_it_is_read(members: list[tuple[bool, bool, int, bool]]) -> None:
    """A named speaker and a named time gain, a question loses, and a longer turn gains up to a bound."""
    found = prior(
        np.array([m[0] for m in members], dtype=bool),
        np.array([m[1] for m in members], dtype=bool),
        np.array([m[2] for m in members], dtype=np.int64),
        np.array([m[3] for m in members], dtype=bool),
        PARAMETERS,
    )
    for (named, asking, words, then), score in zip(members, found, strict=True):
        expected = 0.15 * math.log(1 + min(words, 50)) + (0.4 if named else 0) - (0.2 if asking else 0)
        expected += 0.5 if then else 0
        assert score == pytest.approx(expected)


@given(
    members=st.lists(st.tuples(scores, st.integers(-(10**12), 10**14)), max_size=10),
    recency=st.floats(0, 1),
    half_life=st.floats(0.1, 5000),
)
def test_age(members: list[tuple[float, int]], recency: float, half_life: float) -> None:
    """A share ages away with its half-life; what lies in the future is not younger than now."""
    parameters = RankingParameters(recency=recency, half_life_days=half_life)
    found = aged(np.array([m[0] for m in members]), np.array([m[1] for m in members], dtype=np.int64), parameters)
    for (similarity, age_ms), score in zip(members, found, strict=True):
        faded = 0.5 ** (max(0, age_ms) / DAY_MS / half_life)
        assert score == pytest.approx(similarity * (1 - recency + recency * faded), abs=1e-12)
        assert similarity * (1 - recency) - 1e-9 <= score <= similarity + 1e-9


def test_the_papers_decay_is_one_of_the_settings() -> None:
    """With everything ageing and a half-life of 60 · ln 2 days, it is exp(−Δt/60 d) (HeLa-Mem, section 3.3)."""
    parameters = RankingParameters(recency=1.0, half_life_days=60 * math.log(2))
    days = np.array([0, 1, 60, 365], dtype=np.int64)
    np.testing.assert_allclose(aged(np.ones(4), days * DAY_MS, parameters), np.exp(-days / 60))


members_of_conversations = st.lists(
    st.tuples(scores, st.integers(0, 2), st.integers(0, 12), st.booleans()), min_size=0, max_size=14
)


@given(members=members_of_conversations, data=st.data())
def test_temporal_spreading(members: list[tuple[float, int, int, bool]], data: st.DataObject) -> None:
    """A seed lends along temporal edges of its conversation, less for each further turn; an answer gains more."""
    seeds = data.draw(st.lists(st.sampled_from(range(len(members))), unique=True, max_size=6)) if members else []
    p = RankingParameters(reach=data.draw(st.integers(1, 5)))
    total, lenders = spread_temporal(
        np.array([m[0] for m in members], dtype=np.float64),
        np.array(seeds, dtype=np.int64),
        p,
        asking=np.array([m[3] for m in members], dtype=bool),
        places=np.array([1000 * m[1] + m[2] for m in members], dtype=np.int64),
    )
    for j, (_, conversation, turn, _) in enumerate(members):
        gifts = {}
        for i in seeds:
            similarity, theirs, at, asking = members[i]
            step = turn - at
            if theirs == conversation and 1 <= abs(step) <= p.reach:
                weight = p.temporal * p.falloff ** (abs(step) - 1) + (p.answer if step == 1 and asking else 0)
                gifts[i] = similarity * weight
        assert total[j] == pytest.approx(sum(gifts.values()))
        if total[j] > 0:
            assert gifts[int(lenders[j])] == pytest.approx(max(gifts.values()))
        else:
            assert lenders[j] == -1


@given(values=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), max_size=12), count=st.integers(0, 15))
def test_the_best(values: list[float], count: int) -> None:
    """Best first, ties by index, at most so many."""
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))[:count]
    assert best(np.array(values, dtype=np.float64), count).tolist() == expected


@pytest.mark.parametrize(
    ("query", "speaker", "expected"),
    [
        ("Where does Anna live?", "Anna", True),
        ("where does ANNA live?", "anna", True),
        ("Where does Anna live?", "Anna Berg", True),
        ("What of Annabel?", "Anna", False),
        ("Is that so?", "S", False),
        ("a b c", "a", False),
        ("Où est José ?", "JOSÉ", True),
        ("", "Anna", False),
        ("Anna", "", False),
        ("Straße", "STRASSE", True),
    ],
)
def test_a_query_names_a_speaker(query: str, speaker: str, expected: bool) -> None:  # noqa: FBT001 - a table's column
    """By whole words of two letters or more, in any case."""
    assert names(query, speaker) is expected


@pytest.mark.parametrize(
    ("text", "asking", "words"),
    [
        ("Is it far?", True, 3),
        ("It is far.", False, 3),
        ("本当ですか？", True, 1),
        ("هل هذا بعيد؟", True, 3),
        ("", False, 0),
    ],
)
def test_what_is_known_of_a_text(text: str, asking: bool, words: int) -> None:  # noqa: FBT001 - a table's column
    """Question marks of several scripts, and a count of words."""
    assert asks(text) is asking
    assert word_count(text) == words
