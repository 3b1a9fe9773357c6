"""Hubs: memories with so much learned weight that what surrounds them is worth distilling.

HeLa-Mem (arXiv 2604.16839, section 3.3): a node is a hub when its strength D = Σ w exceeds δ and it has three
neighbours or more. Here D is the sum of the weights decayed to the time of the event that touched the memory,
δ is reached when D ≥ δ, the degree counts the neighbours whose weight has not decayed to nothing, and a memory
that has formed a hub rests before it may form one again. The sum of the weights as they were last touched is an
upper bound of D, so most rows need no decay at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from helamem.processors.hebbian.decay import decayed_array, ticks
from helamem.processors.hebbian.row import Numbers, Rows
from helamem.schemas.ids import id_text

NEVER = -1
"""The time at which a memory formed a hub when it has not."""


@dataclass(frozen=True, slots=True)
class HubRule:
    """The settings of hubs, in whole numbers."""

    half_life_ms: int
    strength: int
    """δ in units of 2⁻³²."""
    degree: int
    cluster: int
    """Most memories of a cluster, the hub included."""
    rest_ms: int


@dataclass(frozen=True, slots=True)
class Hub:
    """One memory that forms a hub now."""

    row: int
    """Its place among the rows that were looked at."""
    strength: int
    degree: int
    cluster: tuple[tuple[str, int], ...]
    """Its strongest neighbours and their decayed weights: by weight, then by id."""


def find_hubs(rows: Rows, time_ms: Numbers, formed_ms: Numbers, rule: HubRule) -> list[Hub]:
    """Return the rows that form a hub, in order.

    Args:
        rows: Rows that were just touched.
        time_ms: Time of the event that touched each, shape (rows,).
        formed_ms: Time at which each last formed a hub, or `NEVER`, shape (rows,).
        rule: The settings.
    """
    rested = (formed_ms == NEVER) | (time_ms - formed_ms >= rule.rest_ms)
    possible = np.flatnonzero(rested & (rows.weights.sum(axis=1) >= rule.strength))
    if not possible.size:
        return []
    near = rows.take(possible)
    elapsed = ticks(time_ms[possible], rule.half_life_ms)[:, None] - ticks(near.as_of, rule.half_life_ms)
    weights = decayed_array(near.weights, elapsed)
    strength, degree = weights.sum(axis=1), np.count_nonzero(weights, axis=1)
    hubs = []
    for at in np.flatnonzero((strength >= rule.strength) & (degree >= rule.degree)).tolist():
        # lexsort's last key counts first; the complement turns the largest weight into the smallest
        order = np.lexsort((near.low[at], near.high[at], ~weights[at]))[: min(rule.cluster - 1, int(degree[at]))]
        hubs.append(
            Hub(
                row=int(possible[at]),
                strength=int(strength[at]),
                degree=int(degree[at]),
                cluster=tuple((_text(near, at, slot), int(weights[at, slot])) for slot in order.tolist()),
            )
        )
    return hubs


def _text(rows: Rows, row: int, slot: int) -> str:
    return id_text(int(rows.high[row, slot]).to_bytes(8) + int(rows.low[row, slot]).to_bytes(8))
