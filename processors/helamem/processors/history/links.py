"""The learned links of one space, folded again, and what each event changed of them.

The rows are folded by the fold itself (`coactivation.fold`), one event at a time where somebody wants to know what it
changed, and many at a time where nobody does; nothing of the law is repeated here.
"""

from __future__ import annotations

from typing import NamedTuple

from helamem.processors.coactivation.fold import CoActivated, fold
from helamem.processors.coactivation.rowcache import RowKey
from helamem.processors.hebbian.decay import CAP
from helamem.processors.hebbian.packing import unpack
from helamem.processors.history.changes import Edge, Pair
from helamem.processors.store.port import EdgeRow
from helamem.schemas.ids import id_text
from helamem.schemas.settings import HebbianSettings
from helamem.schemas.times import format_ms

_Held = tuple[int, int]
"""An edge in the list of one memory: its weight in units of 2⁻³², and event time of its last touch, milliseconds."""
_AT_ONCE = 256
"""Events that are folded together where nobody is told: some 10 ms."""


class Changed(NamedTuple):
    """What one event changed."""

    edges: tuple[Edge, ...]
    pruned: tuple[Pair, ...]


class Links:
    """The rows of a space: in memory at most some 1 kB for each memory that was ever recalled with another one.

    Args:
        space: The space.
    """

    def __init__(self, space: str) -> None:
        self._space = space
        self._rows: dict[RowKey, EdgeRow] = {}
        self._waiting: list[CoActivated] = []
        self._settings: HebbianSettings | None = None

    def skip(self, event: CoActivated, settings: HebbianSettings) -> None:
        """Take the next event of the log, without telling what it changes."""
        if settings != self._settings or len(self._waiting) == _AT_ONCE:
            self._catch_up()
        self._waiting.append(event)
        self._settings = settings

    def tell(self, event: CoActivated, settings: HebbianSettings) -> Changed:
        """Take the next event of the log, and return what it changes."""
        self._catch_up()
        before = {id_: self._neighbours(id_) for id_ in event.memory_ids}
        self._rows.update(fold([event], self._rows, settings).rows)
        after = {id_: self._neighbours(id_) for id_ in event.memory_ids}
        pairs = {
            _pair(id_, id_text(other))
            for id_ in event.memory_ids
            for other in before[id_].keys() | after[id_].keys()
            if before[id_].get(other) != after[id_].get(other)
        }
        edges: list[Edge] = []
        pruned: list[Pair] = []
        for pair in sorted(pairs):
            for id_ in pair:  # what the event did not name is as it was
                if id_ not in after:
                    before[id_] = after[id_] = self._neighbours(id_)
            was, now = _stronger(pair, before), _stronger(pair, after)
            if now is None:
                pruned.append(pair)
            elif now != was:
                weight, as_of_ms = now
                edges.append(Edge(memory_ids=pair, weight=weight / CAP, last_strengthened=format_ms(as_of_ms)))
        return Changed(tuple(edges), tuple(pruned))

    def _catch_up(self) -> None:
        if self._waiting:
            assert self._settings is not None  # it came with the first
            self._rows.update(fold(self._waiting, self._rows, self._settings).rows)
            self._waiting = []

    def _neighbours(self, memory_id: str) -> dict[bytes, _Held]:
        row = self._rows.get((self._space, memory_id))
        return {} if row is None else {edge.neighbour: edge[1:] for edge in unpack(row.neighbours)}


def _stronger(pair: Pair, rows: dict[str, dict[bytes, _Held]]) -> _Held | None:
    """Return the edge of a pair as it stands in the list in which it is the stronger one; None where it is in none."""
    one, other = pair
    found = (rows[one].get(_bytes(other)), rows[other].get(_bytes(one)))
    return max((edge for edge in found if edge is not None), default=None)


def _pair(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)


def _bytes(memory_id: str) -> bytes:
    return bytes.fromhex(memory_id.replace("-", ""))
