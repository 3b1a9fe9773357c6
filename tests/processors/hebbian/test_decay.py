from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helamem.processors.hebbian.decay import (
    CAP,
    FACTORS,
    THRESHOLDS,
    decayed,
    decayed_array,
    log2_steps,
    log2_steps_array,
    tick,
    ticks,
    units,
)
from references import hebbian as reference

WEIGHTS = st.integers(0, CAP)
ELAPSED = st.integers(-5_000, 80_000)
TIMES = st.integers(0, 253_402_300_799_999)
HALF_LIVES = st.integers(1_024_000, 10**13)


def test_the_factors_are_exact() -> None:
    """Every factor is the largest integer not above 2^(47 − f/1024)."""
    assert len(FACTORS) == 1024
    for steps in range(0, 1024, 11):
        assert FACTORS[steps] ** 1024 <= 2 ** (47 * 1024 - steps) < (FACTORS[steps] + 1) ** 1024


def test_the_thresholds_of_the_logarithm_are_exact() -> None:
    """Every threshold is the smallest integer not below 2^(k/1024)."""
    assert len(THRESHOLDS) == 32 * 1024 + 1
    for steps in range(0, 32 * 1024 + 1, 97):
        assert (THRESHOLDS[steps] - 1) ** 1024 < 2**steps <= THRESHOLDS[steps] ** 1024


@given(WEIGHTS, st.lists(st.integers(0, 4_000), min_size=1, max_size=30))
def test_decay_in_many_steps_is_decay_in_one_but_for_rounding(weight: int, steps: list[int]) -> None:
    """Many steps (n) end at most n units below one step, and at most one unit above it."""
    one = decayed(weight, sum(steps))
    many = weight
    for step in steps:
        many = decayed(many, step)
    assert one - len(steps) <= many <= one + 1


@given(st.lists(TIMES, min_size=2, max_size=8).map(sorted), HALF_LIVES)
def test_ticks_between_times_add_up_exactly(times: list[int], half_life_ms: int) -> None:
    """The ticks of consecutive spans sum to the ticks of the whole span, wherever it is cut."""
    on = [tick(time, half_life_ms) for time in times]
    assert sum(b - a for a, b in pairwise(on)) == on[-1] - on[0]


@given(WEIGHTS, WEIGHTS, ELAPSED, ELAPSED)
def test_decay_is_monotone(first: int, second: int, earlier: int, later: int) -> None:
    """A larger weight stays at least as large, and more time leaves no more weight."""
    light, heavy = sorted((first, second))
    early, late = sorted((earlier, later))
    assert decayed(light, early) <= decayed(heavy, early)
    assert 0 <= decayed(heavy, late) <= decayed(heavy, early) <= CAP


@given(WEIGHTS, st.integers(-(10**12), 0))
def test_time_that_runs_backwards_decays_nothing(weight: int, elapsed: int) -> None:
    """A negative difference counts as none."""
    assert decayed(weight, elapsed) == weight


@pytest.mark.parametrize("halvings", [0, 1, 5, 32, 33, 40, 10**6])
def test_whole_half_lives_are_exact_halvings(halvings: int) -> None:
    """After n half-lives the weight is shifted by n bits, and nothing is left of the cap after 33."""
    assert decayed(CAP, halvings * 1024) == CAP >> halvings
    assert decayed_array(np.array([CAP], dtype=np.uint64), np.array([halvings * 1024]))[0] == CAP >> halvings


@given(st.lists(st.tuples(WEIGHTS, ELAPSED), min_size=1, max_size=50))
def test_arrays_decay_like_numbers(pairs: list[tuple[int, int]]) -> None:
    """The array form, the plain form and the slow reference agree to the bit."""
    array = decayed_array(
        np.array([weight for weight, _ in pairs], dtype=np.uint64), np.array([elapsed for _, elapsed in pairs])
    )
    assert array.tolist() == [decayed(weight, elapsed) for weight, elapsed in pairs]
    assert array.tolist() == [reference.decay(weight, 0, max(0, elapsed), 1024) for weight, elapsed in pairs]


@given(st.lists(st.integers(1, CAP), min_size=1, max_size=20))
def test_the_logarithm_is_exact(weights: list[int]) -> None:
    """The logarithm is the exact one, rounded down to 1/1024, for numbers and for arrays."""
    exact = [reference.log2_steps(weight) for weight in weights]
    assert [log2_steps(weight) for weight in weights] == exact
    assert log2_steps_array(np.array(weights, dtype=np.uint64)).tolist() == exact


@given(TIMES, st.one_of(HALF_LIVES, st.integers(10**18, 10**30)))
def test_times_fall_on_the_same_ticks_in_arrays(time: int, half_life_ms: int) -> None:
    """The array form gives the tick of the plain form, for half-lives of any length."""
    assert ticks(np.array([time]), half_life_ms).tolist() == [tick(time, half_life_ms)]


def test_units_of_a_fraction() -> None:
    """A weight of 1 is the cap."""
    assert [units(0.0), units(0.5), units(1.0), units(0.002)] == [0, CAP // 2, CAP, 8_589_935]
