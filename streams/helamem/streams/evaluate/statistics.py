"""Figures of an evaluation: means, paired intervals, percentiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

_RESAMPLES = 10_000
_SEED = 20_260_416  # a fixed seed: the same answers give the same interval


class Interval(Struct, frozen=True, kw_only=True):
    """A difference of two means over the same questions, with its 95 % interval."""

    difference: float
    low: float
    high: float


def paired_interval(treated: Sequence[float], control: Sequence[float]) -> Interval:
    """Return mean(treated − control) with the percentile bootstrap interval over questions (Efron, 1979).

    Args:
        treated: One figure per question.
        control: The figure of the same question without the treatment, in the same order.
    """
    differences = np.asarray(treated, dtype=np.float64) - np.asarray(control, dtype=np.float64)
    if differences.size == 0:
        return Interval(difference=0.0, low=0.0, high=0.0)
    random = np.random.default_rng(_SEED)
    means = np.array(
        [differences[random.integers(0, differences.size, differences.size)].mean() for _ in range(_RESAMPLES)]
    )
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(
        difference=round(float(differences.mean()), 4), low=round(float(low), 4), high=round(float(high), 4)
    )


def mean(values: Sequence[float]) -> float:
    """Return the mean, 0 for none, to four places."""
    return round(sum(values) / len(values), 4) if values else 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile, 0 for none, to three places."""
    return round(float(np.percentile(values, percent)), 3) if values else 0.0
