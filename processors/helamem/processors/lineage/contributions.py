"""Contributions: which event gave how much of an edge's weight.

The rows are folded again, one event at a time, by the fold itself (`coactivation.fold`); nothing of the law is
repeated here. What is kept beside each edge is, for k = 1…n events since its admission, the **remainder** R_k: the
weight that the edge had right after the k-th event, decayed at every later touch and at last to the moment asked for,
each time by the function and in the step in which the fold decayed the weight itself, and without what later events
gave. Then

    contribution of event k = R_k − R_(k−1),    R_0 = 0.

At the event itself this is the increment after the cap, w_k − decayed(w_(k−1)); later it is that increment, decayed.
R_n is the weight, so the contributions sum to it exactly, to the unit of 2⁻³². Decay never lets a larger weight become
the smaller one, so none is negative. Rounding falls to the event where the rounded remainders differ.

What happened before an edge was evicted is gone with it: contributions count from its last admission.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from helamem.processors.coactivation.fold import CoActivated, FormedHub, fold, rule_of
from helamem.processors.hebbian.decay import Weights, decayed_array, tick
from helamem.processors.hebbian.packing import Edge, pack_rows, unpack, unpack_rows
from helamem.processors.hebbian.row import shorten
from helamem.processors.store.port import EdgeRow
from helamem.schemas.ids import id_text
from helamem.schemas.settings import HebbianSettings


class Contribution(NamedTuple):
    """What one event gave to one edge; both in units of 2⁻³²."""

    event_id: str
    gain: int
    """The increment after the cap, when the event was folded."""
    left: int
    """What is left of it at the moment asked for."""


class EdgeHistory(NamedTuple):
    """One edge in one row since it was last admitted."""

    as_of_ms: int
    """Event time of its last touch."""
    events: tuple[str, ...]
    gains: tuple[int, ...]
    remainders: Weights
    """R_1…R_n at `as_of_ms`, shape (n,)."""

    @property
    def weight(self) -> int:
        """The weight as it was last touched, which is the stored one."""
        return int(self.remainders[-1])

    def at(self, time_ms: int, settings: HebbianSettings) -> tuple[Contribution, ...]:
        """Return the contributions as they have faded by a time, in the order of the log.

        Args:
            time_ms: Event time; before the last touch nothing fades.
            settings: In force then.
        """
        remainders = self._carried(time_ms, settings).tolist()
        left = [after - before for before, after in zip([0, *remainders], remainders, strict=False)]
        return tuple(map(Contribution, self.events, self.gains, left))

    def touched(self, event: CoActivated, weight: int, settings: HebbianSettings) -> EdgeHistory:
        """Return the history after an event that left the edge with `weight`."""
        carried = self._carried(event.time_ms, settings)
        return EdgeHistory(
            as_of_ms=max(self.as_of_ms, event.time_ms),
            events=(*self.events, event.event_id),
            gains=(*self.gains, weight - int(carried[-1])),
            remainders=np.append(carried, np.uint64(weight)),
        )

    def _carried(self, time_ms: int, settings: HebbianSettings) -> Weights:
        half_life_ms = rule_of(settings).half_life_ms
        elapsed = tick(time_ms, half_life_ms) - tick(self.as_of_ms, half_life_ms)
        return decayed_array(self.remainders, np.full(self.remainders.shape, elapsed, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class RowHistory:
    """One memory's row: its edges with their histories, and who was evicted by which event."""

    stored: EdgeRow | None = None
    """The row as the fold left it."""
    edges: dict[str, EdgeHistory] = field(default_factory=dict)
    """By the neighbour's memory id."""
    evicted: dict[str, str] = field(default_factory=dict)
    """By the neighbour's memory id, the event that last pushed it out; nobody who has come back."""


class HubMoment(NamedTuple):
    """A hub as it formed, with what each event had given to its edges."""

    formed: FormedHub
    contributions: dict[str, tuple[Contribution, ...]]
    """By the id of the neighbour, for each edge whose weight has not faded to nothing."""


class Histories:
    """The rows of some memories of one space, folded again.

    Args:
        space: The space.
        memory_ids: Whose rows.
    """

    def __init__(self, space: str, memory_ids: Collection[str]) -> None:
        self.rows = {memory_id: RowHistory() for memory_id in memory_ids}
        self._space = space

    def fold(self, event: CoActivated, settings: HebbianSettings) -> list[HubMoment]:
        """Take the next event of the log, and return the hubs that these memories form by it."""
        wanted = [memory_id for memory_id in event.memory_ids if memory_id in self.rows]
        if event.space != self._space or not wanted:
            return []
        before = {memory_id: _shortened(self.rows[memory_id], event, settings) for memory_id in wanted}
        known = {(self._space, id_): row.stored for id_, row in before.items() if row.stored is not None}
        folded = fold([event], known, settings)
        for memory_id, row in before.items():
            self.rows[memory_id] = _taken(row, folded.rows[self._space, memory_id], event, settings)
        return [self._moment(hub, settings) for hub in folded.hubs if hub.memory_id in self.rows]

    def _moment(self, hub: FormedHub, settings: HebbianSettings) -> HubMoment:
        edges = self.rows[hub.memory_id].edges
        at = {neighbour: edge.at(hub.cause.time_ms, settings) for neighbour, edge in edges.items()}
        return HubMoment(hub, {neighbour: found for neighbour, found in at.items() if any(one.left for one in found)})


def _edges(row: EdgeRow | None) -> dict[str, Edge]:
    return {} if row is None else {id_text(edge.neighbour): edge for edge in unpack(row.neighbours)}


def _shortened(history: RowHistory, event: CoActivated, settings: HebbianSettings) -> RowHistory:
    """Return a row without what changed settings leave no room for, so that who comes back at once is a newcomer."""
    row = history.stored
    if row is None or len(history.edges) <= settings.neighbours:
        return history
    rows = unpack_rows([row.neighbours], settings.neighbours)
    shorten(rows, rule_of(settings))
    (neighbours,) = pack_rows(rows)
    kept = {id_text(edge.neighbour) for edge in unpack(neighbours)}
    return RowHistory(
        stored=replace(row, neighbours=neighbours),
        edges={id_: edge for id_, edge in history.edges.items() if id_ in kept},
        evicted=history.evicted | dict.fromkeys(history.edges.keys() - kept, event.event_id),
    )


def _taken(history: RowHistory, row: EdgeRow, event: CoActivated, settings: HebbianSettings) -> RowHistory:
    """Return a row's history after an event, of which the fold made `row`."""
    after = _edges(row)
    edges = {}
    for id_, edge in after.items():
        known = history.edges.get(id_)
        if known is None:
            edges[id_] = EdgeHistory(
                as_of_ms=edge.as_of_ms,
                events=(event.event_id,),
                gains=(edge.weight,),
                remainders=np.array([edge.weight], dtype=np.uint64),
            )
        elif id_ in event.memory_ids:
            edges[id_] = known.touched(event, edge.weight, settings)
        else:
            edges[id_] = known
    evicted = history.evicted | dict.fromkeys(history.edges.keys() - after.keys(), event.event_id)
    return RowHistory(row, edges, {id_: by for id_, by in evicted.items() if id_ not in after})
