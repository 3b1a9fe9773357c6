"""A memory's learned neighbours: how one event strengthens them, and who gets in when the list is full.

A row holds at most N edges; an edge is the neighbour's id, its weight and the time of its last touch (`as_of`).
One event at time t names the row's memory together with partners. The row then changes in three steps:

1. Every partner that is in the row: `weight ← min(cap, decayed(weight, as_of → t) + η)` and
   `as_of ← max(as_of, t)`, so time never runs backwards on an edge. (HeLa-Mem, arXiv 2604.16839, section 3.2:
   w ← decayed(w) + η with a cap of 1. We differ in that decay follows event time and not the number of recalls,
   and that it is taken when the edge is touched.)
2. The other partners are newcomers; each would start with weight η at t. They take free slots in event order.
3. When the row is full, at most P of the newcomers that are left replace edges that this event did not touch.

- Out go the edges that fade first. All edges decay alike, so the order of two decayed weights is the same at
  every later moment, and it is the order of `fade = tick(as_of) + ⌊1024 · log₂ weight⌋`: the tick on which one
  unit is left of the edge. Ties go by the first two bytes of the id, then by slot; the lowest goes out.
- In come the newcomers with the lowest rank. The rank of the pair (i, j) is `h(i) xor h(j)`, where h mixes the
  event's hash with the id; ties (one in 2⁵³) go by event order. So who gets in is a matter of lot that everybody
  can draw again, the same lot in both rows, and a partner that comes again and again gets its turn.

A newcomer need not be stronger than what it replaces: a full list of strong edges would be closed to every
newcomer, since each begins with η. Instead one event costs a row at most P edges, and the next event finds those P
newcomers to be the first to fade and replaces them. So partners that come once never hold more than P slots against
stronger edges. One that comes back before it is replaced stays ahead of them, and what fades first of all others
makes room: that is how a partner that is recalled again and again displaces stale ones.

A pair's weight is a function of the pair's own events since its admission, and so the same in both rows as long
as neither list has evicted it. A row that is longer than N, because the settings changed, first loses the edges
that fade first. Slots keep their place; their order carries no meaning, but it is the same in every fold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from helamem.processors.hebbian.decay import CAP, Weights, decayed_array, log2_steps_array, ticks

MAX_PARTNERS = 2048
"""Most ids in one event; a rank has 11 bits for the place in the event."""
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]

_LAST = np.iinfo(np.int64).max
_LAST_RANK = np.uint64(np.iinfo(np.uint64).max)
_SLOT_BITS = 8
_PREFIX_BITS = 16


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows side by side, each array of shape (rows, width); a free slot has weight 0 and follows all others."""

    high: Weights
    """First eight bytes of the neighbour's id."""
    low: Weights
    """Last eight bytes of the neighbour's id."""
    weights: Weights
    as_of: Numbers
    """Milliseconds since 1970."""

    def take(self, index: Numbers) -> Rows:
        """Return a copy of the rows at `index`."""
        return Rows(self.high[index], self.low[index], self.weights[index], self.as_of[index])

    def put(self, index: Numbers, rows: Rows) -> None:
        """Write `rows` at `index`."""
        self.high[index], self.low[index] = rows.high, rows.low
        self.weights[index], self.as_of[index] = rows.weights, rows.as_of


@dataclass(frozen=True, slots=True)
class Touches:
    """One event for each of some rows; partners have shape (rows, most partners of a row)."""

    time_ms: Numbers
    """Event time, shape (rows,)."""
    eta: Weights
    """What each pair gains, at least one unit, shape (rows,)."""
    high: Weights
    low: Weights
    rank: Weights
    """Lot of the pair, see `pair_hashes`."""
    present: Flags
    """False where a row has fewer partners than the widest."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The settings of the rule, in whole numbers."""

    half_life_ms: int
    neighbours: int
    newcomers: int


class Strengthened(NamedTuple):
    """What one event did to some rows together."""

    updated: int
    """Edges that were there and gained."""
    created: int
    """Edges that came in."""


def pair_hashes(event_hashes: Weights, low: Weights) -> Weights:
    """Return h of the module's docstring for ids with the last eight bytes `low`; the pair's rank is the xor of two.

    The mixing function is the finaliser of splitmix64.
    """
    mixed = event_hashes ^ low
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def strengthen(rows: Rows, touches: Touches, rule: Rule) -> Strengthened:
    """Fold one event into each of `rows`, in place, and return what that came to."""
    shorten(rows, rule)
    touched = np.zeros(rows.weights.shape, dtype=np.bool_)
    fresh = touches.present.copy()
    _add_to_known(rows, touches, rule, touched, fresh)
    updated = int(np.count_nonzero(touched))
    _fill_free_slots(rows, touches, rule, touched, fresh)
    created = int(np.count_nonzero(touched)) - updated
    if fresh.any():
        created += _replace_fading(rows, touches, rule, touched, fresh)
    return Strengthened(updated, created)


def shorten(rows: Rows, rule: Rule) -> None:
    """Take out of rows that are longer than N, in place, the edges that fade first."""
    excess = np.count_nonzero(rows.weights, axis=1) - rule.neighbours
    for row in np.flatnonzero(excess > 0):
        one = rows.take(np.array([row]))
        gone = np.sort(_fade_keys(one, rule)[0])[: excess[row]] & ((1 << _SLOT_BITS) - 1)
        kept = np.setdiff1d(np.arange(one.weights.shape[1]), gone)
        for array in (rows.high, rows.low, rows.weights, rows.as_of):
            array[row, : len(kept)] = array[row, kept]
            array[row, len(kept) :] = 0


def _fade_keys(rows: Rows, rule: Rule) -> Numbers:
    """Return what orders edges by who fades first, the slot in the lowest bits; free slots come last."""
    # 38 bits of fade, 16 of the id and 8 of the slot leave the sign bit alone up to the year 9999
    fade = ticks(rows.as_of, rule.half_life_ms) + log2_steps_array(rows.weights)
    keys = (fade << (_PREFIX_BITS + _SLOT_BITS)) | ((rows.high >> np.uint64(48 - _SLOT_BITS)).astype(np.int64) & ~0xFF)
    keys |= np.arange(rows.weights.shape[1])
    result: Numbers = np.where(rows.weights > 0, keys, _LAST)
    return result


def _add_to_known(rows: Rows, touches: Touches, rule: Rule, touched: Flags, fresh: Flags) -> None:
    same = np.flatnonzero(touches.high[:, :, None] == rows.high[:, None, :])
    pair, slot = np.divmod(same, rows.high.shape[1])
    row, partner = np.divmod(pair, touches.high.shape[1])
    # half an id may agree by chance, and a free slot or an absent partner is all zeros
    sure = (touches.low[row, partner] == rows.low[row, slot]) & (rows.weights[row, slot] > 0) & fresh[row, partner]
    row, partner, slot = row[sure], partner[sure], slot[sure]
    time_ms, as_of = touches.time_ms[row], rows.as_of[row, slot]
    elapsed = ticks(time_ms, rule.half_life_ms) - ticks(as_of, rule.half_life_ms)
    gained = decayed_array(rows.weights[row, slot], elapsed) + touches.eta[row]
    rows.weights[row, slot] = np.minimum(gained, np.uint64(CAP))
    rows.as_of[row, slot] = np.maximum(as_of, time_ms)
    touched[row, slot] = True
    fresh[row, partner] = False


def _fill_free_slots(rows: Rows, touches: Touches, rule: Rule, touched: Flags, fresh: Flags) -> None:
    taken = np.count_nonzero(rows.weights, axis=1)
    if taken.min(initial=rule.neighbours) == rule.neighbours:
        return
    slots = taken[:, None] + np.cumsum(fresh, axis=1) - 1
    row, partner = np.nonzero(fresh & (slots < rule.neighbours))
    _admit(rows, touches, row, partner, slots[row, partner])
    touched[row, slots[row, partner]] = True
    fresh[row, partner] = False


def _replace_fading(rows: Rows, touches: Touches, rule: Rule, touched: Flags, fresh: Flags) -> int:
    places = np.uint64(MAX_PARTNERS - 1)
    ranks = (touches.rank & ~places) | np.arange(fresh.shape[1], dtype=np.uint64)
    ranks = np.sort(np.where(fresh, ranks, _LAST_RANK), axis=1)[:, : rule.newcomers]
    keys = np.sort(np.where(touched, _LAST, _fade_keys(rows, rule)), axis=1)[:, : rule.newcomers]
    both = min(ranks.shape[1], keys.shape[1])
    row, place = np.nonzero((ranks[:, :both] != _LAST_RANK) & (keys[:, :both] != _LAST))
    partner = (ranks[row, place] & places).astype(np.int64)
    _admit(rows, touches, row, partner, keys[row, place] & ((1 << _SLOT_BITS) - 1))
    return len(row)


def _admit(rows: Rows, touches: Touches, row: Numbers, partner: Numbers, slot: Numbers) -> None:
    rows.high[row, slot] = touches.high[row, partner]
    rows.low[row, slot] = touches.low[row, partner]
    rows.weights[row, slot] = np.minimum(touches.eta[row], np.uint64(CAP))
    rows.as_of[row, slot] = touches.time_ms[row]
