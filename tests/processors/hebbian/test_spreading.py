from __future__ import annotations

import time
from fractions import Fraction
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helamem.processors.hebbian.spreading import spread
from references import hebbian as reference

Seeds = list[tuple[str, float]]
Rows = dict[str, list[tuple[str, int, int]]]
HALF_LIFE_MS = 30 * 86_400_000
NOW = 1_700_000_000_000
IDS = [f"{number:02d}" for number in range(12)]
EDGE = st.tuples(st.sampled_from(IDS), st.integers(1, 2**32), st.integers(NOW - 10**10, NOW + 10**8))
ROW = st.lists(EDGE, max_size=6, unique_by=lambda edge: edge[0])


def naive(seeds: Seeds, rows: Rows, beta: float) -> dict[str, list[tuple[float, str]]]:
    """Return per neighbour the list of (gift, seed) by the formula."""
    gifts: dict[str, list[tuple[float, str]]] = {}
    for seed, base in seeds:
        now = {n: reference.decay(w, as_of, NOW, HALF_LIFE_MS) for n, w, as_of in rows.get(seed, ())}
        strength = float(Fraction(sum(now.values()), 2**32))
        for neighbour, weight in now.items():
            if weight:
                gifts.setdefault(neighbour, []).append((beta * base * (weight / 2**32) / sqrt(strength), seed))
    return gifts


@given(
    st.lists(st.tuples(st.sampled_from(IDS), st.floats(0.001, 2.0)), max_size=6, unique_by=lambda seed: seed[0]),
    st.dictionaries(st.sampled_from(IDS), ROW, max_size=8),
    st.floats(0.1, 2.0),
)
def test_spreading_equals_the_formula(seeds: Seeds, rows: Rows, beta: float) -> None:
    """Totals, order and strongest seed are those of a naive sum over all seeds."""
    gifts = naive(seeds, rows, beta)
    result = spread(seeds, rows, NOW, HALF_LIFE_MS, beta)
    assert [one.score for one in result] == sorted((one.score for one in result), reverse=True)
    assert {one.memory_id: one.score for one in result} == pytest.approx(
        {neighbour: sum(gift for gift, _ in given) for neighbour, given in gifts.items()}
    )
    for one in result:
        most = max(gift for gift, _ in gifts[one.memory_id])
        assert {seed: gift for gift, seed in gifts[one.memory_id]}[one.via] == pytest.approx(most)


@given(st.permutations([("a", 0.5), ("b", 0.25), ("c", 0.125)]))
def test_the_order_of_the_seeds_does_not_matter(seeds: Seeds) -> None:
    """Sums are formed in the order of the ids, so the result is the same to the bit."""
    rows = {seed: [("x", 2**30, NOW), (seed, 2**29 + 1, NOW), ("y", 2**28, NOW - 10**9)] for seed in "abc"}
    assert spread(seeds, rows, NOW, HALF_LIFE_MS, 0.7) == spread(sorted(seeds), rows, NOW, HALF_LIFE_MS, 0.7)


def test_ties_go_by_id() -> None:
    """Equal scores are ordered by id, and equal gifts are credited to the lowest seed."""
    rows = {"b": [("y", 2**30, NOW), ("x", 2**30, NOW)], "a": [("y", 2**30, NOW), ("x", 2**30, NOW)]}
    result = spread([("b", 1.0), ("a", 1.0)], rows, NOW, HALF_LIFE_MS, 1.0)
    assert [(one.memory_id, one.via) for one in result] == [("x", "a"), ("y", "a")]


def test_an_edge_of_a_hub_passes_on_less() -> None:
    """The same weight counts for less where the seed has many edges."""
    hub = [(f"h{number}", 2**28, NOW) for number in range(32)]
    result = spread([("hub", 1.0), ("few", 1.0)], {"hub": hub, "few": [("f", 2**28, NOW)]}, NOW, HALF_LIFE_MS, 1.0)
    assert result[0].memory_id == "f"
    assert result[1].score == pytest.approx(result[0].score / sqrt(32))


def test_an_edge_that_has_faded_passes_on_nothing() -> None:
    """What decay has brought to zero does not appear."""
    assert spread([("a", 1.0)], {"a": [("b", 1, NOW - HALF_LIFE_MS)]}, NOW, HALF_LIFE_MS, 1.0) == []


def test_spreading_is_a_small_part_of_a_recall() -> None:
    """Ten seeds with full rows take far less than the budget of a recall: the best of several runs counts."""
    ids = [number.to_bytes(16) for number in range(200)]
    rows = {
        seed: [(ids[(i * 7 + at) % 200], 2**24 + at, NOW - at * 10**6) for at in range(32)]
        for i, seed in enumerate(ids[:10])
    }
    seeds = [(seed, 0.5) for seed in ids[:10]]
    best = min(_seconds(seeds, rows) for _ in range(50))
    assert best < 0.01


def _seconds(seeds: list[tuple[bytes, float]], rows: dict[bytes, list[tuple[bytes, int, int]]]) -> float:
    start = time.perf_counter()
    spread(seeds, rows, NOW, HALF_LIFE_MS, 0.5)
    return time.perf_counter() - start
