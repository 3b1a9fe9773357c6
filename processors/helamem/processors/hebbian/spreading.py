"""Spreading activation, one hop: what the best results of a recall pass on to their learned neighbours.

HeLa-Mem (arXiv 2604.16839, section 3.4) adds β · Σ base_i · w_ij over the seeds i to a memory's base score. A
seed with many edges would then flood every result (hub domination), so what a seed passes on is divided by the
square root of its strength:

    S_j = β · Σ_i base_i · w_ij(t) / √D_i,    D_i = Σ_k w_ik(t),    weights as fractions of the cap

The square root is the seed's half of the symmetric normalisation w_ij / √(D_i · D_j); the other half would need
the rows of the neighbours. Against dividing by D_i it keeps a single faint edge from passing on all that its seed
has; against no division an edge of a focused memory counts for more than the same edge of a hub.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from typing import Generic, NamedTuple, TypeVar

from helamem.processors.hebbian.decay import CAP, decayed, tick

Id = TypeVar("Id", str, bytes)


class Activation(NamedTuple, Generic[Id]):
    """What reached one memory."""

    memory_id: Id
    score: float
    via: Id
    """The seed that gave the most; the lowest id where several did."""


def spread(
    seeds: Sequence[tuple[Id, float]],
    rows: Mapping[Id, Iterable[tuple[Id, int, int]]],
    time_ms: int,
    half_life_ms: int,
    beta: float,
) -> list[Activation[Id]]:
    """Return what the seeds pass on, most first, ties by id; seeds may be among the receivers.

    Args:
        seeds: Ids, text or bytes, with their base scores; none twice.
        rows: Per seed its neighbours, each with weight in units of 2⁻³² and as-of in ms; absent seeds have none.
        time_ms: The recall's "now"; an edge touched later than that does not decay.
        half_life_ms: Half-life of a weight.
        beta: β, what a seed passes on for a weight of 1.
    """
    now = tick(time_ms, half_life_ms)
    totals: dict[Id, float] = {}
    strongest: dict[Id, tuple[float, Id]] = {}
    for seed, base in sorted(seeds):
        edges = [
            (neighbour, weight_now)
            for neighbour, weight, as_of_ms in rows.get(seed, ())
            if (weight_now := decayed(weight, now - tick(as_of_ms, half_life_ms)))
        ]
        if not edges:
            continue
        share = beta * base / sqrt(sum(weight for _, weight in edges) * CAP)
        for neighbour, weight in edges:
            gift = share * weight
            if neighbour in totals:
                totals[neighbour] += gift
                # seeds come in the order of their ids, so the first of equals is the lowest
                if gift > strongest[neighbour][0]:
                    strongest[neighbour] = gift, seed
            else:
                totals[neighbour] = gift
                strongest[neighbour] = gift, seed
    order = sorted(totals, key=lambda memory: (-totals[memory], memory))
    return [Activation(memory, totals[memory], strongest[memory][1]) for memory in order]
