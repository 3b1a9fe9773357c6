"""Spreading along learned edges as `hebbian.spreading` has it, over packed rows and all edges at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from helamem.processors.hebbian.decay import CAP, decayed_array, tick, ticks
from helamem.processors.hebbian.packing import unpack_edges
from helamem.processors.hebbian.spreading import Activation
from helamem.schemas.ids import id_bytes, id_text


def spread_packed(
    seeds: Sequence[tuple[str, float]],
    packed: Mapping[str, bytes],
    *,
    time_ms: int,
    half_life_ms: int,
    beta: float,
    limit: int,
) -> list[Activation[str]]:
    """Return the first `limit` of what `hebbian.spreading.spread` returns for the same rows, to the bit.

    Args:
        seeds: Ids with their base scores; none twice.
        packed: Per seed its neighbours, packed by `hebbian.packing`; absent seeds have none.
        time_ms: The recall's "now".
        half_life_ms: Half-life of a weight.
        beta: β of the formula.
        limit: Most receivers.
    """
    lending = sorted((id_bytes(id_), id_, base) for id_, base in seeds if packed.get(id_))
    if not lending:
        return []
    edges = unpack_edges([packed[id_] for _, id_, _ in lending])
    weights = decayed_array(edges.weights, tick(time_ms, half_life_ms) - ticks(edges.as_of, half_life_ms))
    left = np.flatnonzero(weights)  # seed by seed, so sums are taken in the order of the seeds' ids
    if not len(left):
        return []
    seed, high, low, weights = edges.row[left], edges.high[left], edges.low[left], weights[left]
    strengths = np.bincount(seed, weights=weights, minlength=len(lending))  # whole numbers below 2⁵³, so exact
    bases = np.array([base for _, _, base in lending])
    gifts = (beta * bases / np.sqrt(np.maximum(strengths, 1.0) * CAP))[seed] * weights
    # Of one receiver's gifts the largest first, and of equal ones that of the lowest seed.
    order = np.lexsort((-gifts, low, high))  # stable, and the seeds stand in order
    high, low = high[order], low[order]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    receivers = np.empty(len(order), dtype=np.int64)
    receivers[order] = np.cumsum(first) - 1
    totals = np.bincount(receivers, weights=gifts)
    high, low, lenders = high[first], low[first], seed[order][first]
    best = np.argsort(-totals, kind="stable")[:limit]  # the receivers stand in the order of their ids
    ids = np.stack((high[best], low[best]), axis=1).astype(">u8").tobytes()
    return [
        Activation(id_text(ids[16 * n : 16 * n + 16]), score, lending[lender][1])
        for n, (score, lender) in enumerate(zip(totals[best].tolist(), lenders[best].tolist(), strict=True))
    ]
