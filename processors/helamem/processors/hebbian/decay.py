"""Decay in whole numbers: the same on every machine, whatever the number of steps.

A weight is an integer in units of 2⁻³², so the cap of 1 is 2³². Event time falls on a grid of ticks, 1024 of
them in a half-life: `tick(t) = ⌊t · 1024 / half-life⌋`. From tick a to tick b a weight is multiplied by
2^(−(b−a)/1024) and rounded down; where b is not after a, nothing decays, since time never runs backwards.

Differences of ticks add up exactly, so decay in n steps differs from decay in one by the rounding alone: each
step loses less than one unit, and at most a further 2⁻¹⁵ of a unit by the table. So n steps (n < 32,768) never
give more than one step plus one unit, and never less than one step minus n units.

The factor is ⌊2^(47 − f/1024)⌋ for the part f of a half-life, and a shift for the whole ones. Both tables come
from integer square roots. 47 bits are as many as let 64-bit arithmetic form the product in two halves; the
functions for numbers and for arrays give the same results.
"""

from __future__ import annotations

from bisect import bisect_right
from math import isqrt

import numpy as np
from numpy.typing import NDArray

UNIT_BITS = 32
CAP = 1 << UNIT_BITS
"""The largest weight, 1."""
STEPS = 1024
"""Ticks in a half-life."""

Weights = NDArray[np.uint64]
Ticks = NDArray[np.int64]

_FACTOR_BITS = 47
_GUARD = 256
_LARGEST_HALF_LIFE_MS = 1 << 62
"""At and above this every time is on tick 0; the bound keeps the divisor within 64 bits."""


def _powers() -> list[int]:
    """Return 2^(−f/1024) for f = 0…1024 with 256 bits after the point, less than 2⁻²⁴⁰ too small."""
    root = 1 << (_GUARD - 1)
    for _ in range(STEPS.bit_length() - 1):
        root = isqrt(root << _GUARD)
    powers = [1 << _GUARD]
    for _ in range(STEPS):
        powers.append(powers[-1] * root >> _GUARD)
    powers[STEPS] = 1 << (_GUARD - 1)
    return powers


def _thresholds(powers: list[int]) -> list[int]:
    """Return ⌈2^(k/1024)⌉ for k = 0…32·1024: the least weight whose logarithm is k steps."""
    thresholds = []
    for k in range(UNIT_BITS * STEPS + 1):
        whole, part = divmod(k, STEPS)
        # 2^(whole + part/1024) = 2^(whole + 1) · 2^(−(1024 − part)/1024), which is whole only for part = 0
        thresholds.append((powers[STEPS - part] >> (_GUARD - whole - 1)) + 1 if part else 1 << whole)
    return thresholds


_POWERS = _powers()
FACTORS = tuple(power >> (_GUARD - _FACTOR_BITS) for power in _POWERS[:STEPS])
"""⌊2^(47 − f/1024)⌋ for f = 0…1023."""
THRESHOLDS = tuple(_thresholds(_POWERS))
"""⌈2^(k/1024)⌉ for k = 0…32,768."""
_FACTOR_ARRAY = np.array(FACTORS, dtype=np.uint64)
_THRESHOLD_ARRAY = np.array(THRESHOLDS, dtype=np.uint64)


def units(fraction: float) -> int:
    """Return a weight between 0 and 1 in units of 2⁻³²."""
    return round(fraction * CAP)


def tick(time_ms: int, half_life_ms: int) -> int:
    """Return the tick on which a time falls."""
    return time_ms * STEPS // half_life_ms


def ticks(times_ms: NDArray[np.int64], half_life_ms: int) -> Ticks:
    """Return the tick on which each time falls."""
    return times_ms * STEPS // min(half_life_ms, _LARGEST_HALF_LIFE_MS)


def decayed(weight: int, elapsed: int) -> int:
    """Return a weight after `elapsed` ticks; a negative difference counts as none."""
    if elapsed <= 0:
        return weight
    return weight * FACTORS[elapsed % STEPS] >> (_FACTOR_BITS + elapsed // STEPS)


def decayed_array(weights: Weights, elapsed: Ticks) -> Weights:
    """Return each weight after its `elapsed` ticks, equal to `decayed` element by element."""
    elapsed = np.maximum(elapsed, 0)
    factors = _FACTOR_ARRAY[elapsed & (STEPS - 1)]
    halvings = elapsed >> (STEPS.bit_length() - 1)
    # weight · factor needs 80 bits: the upper half plus what the lower half carries over is exact when floored
    half = np.uint64(16)
    product = (weights >> half) * factors + ((weights & np.uint64(0xFFFF)) * factors >> half)
    shift = np.minimum(halvings, UNIT_BITS).astype(np.uint64) + np.uint64(_FACTOR_BITS - 16)
    result: Weights = np.where(halvings > UNIT_BITS, np.uint64(0), product >> shift)
    return result


def log2_steps(weight: int) -> int:
    """Return ⌊1024 · log₂ weight⌋ exactly, for a weight of 1 unit to the cap."""
    return bisect_right(THRESHOLDS, weight) - 1


def log2_steps_array(weights: Weights) -> Ticks:
    """Return `log2_steps` of each weight; −1 for a weight of 0."""
    return np.searchsorted(_THRESHOLD_ARRAY, weights, side="right") - 1
