"""`Walks`: walks through histories that may go on, so that pages which follow each other fold the log once."""

from __future__ import annotations

from collections import Counter, OrderedDict
from weakref import WeakKeyDictionary

from helamem.schemas.ids import tenant_of
from helamem.streams.async_memory import Memory
from helamem.streams.history import Walk

KEPT = 4
"""Walks that are kept, of all tenants; each holds the links of its space."""

_Place = tuple[str, int, tuple[int, ...]]
"""A space, when something of it was erased last, and positions."""


class Walks:
    """Keeps walks under the place that they came to."""

    def __init__(self) -> None:
        # A walk knows what was erased when it began: one that began before an erasure is never taken again.
        self._kept: WeakKeyDictionary[Memory, OrderedDict[_Place, Walk]] = WeakKeyDictionary()

    def take(self, memory: Memory, space: str, erased_ms: int, positions: list[int]) -> Walk | None:
        """Return the walk that came to a place, which is whoever asks first's; None where there is none."""
        return self._kept.get(memory, OrderedDict()).pop((space, erased_ms, tuple(positions)), None)

    def keep(self, memory: Memory, space: str, walk: Walk) -> None:
        """Keep a walk for whoever asks for what follows.

        Where it is one too many, the tenant with most walks gives up the one that went on least lately: a tenant that
        pages through many spaces displaces its own walks, and not those of others.
        """
        kept = self._kept.setdefault(memory, OrderedDict())
        kept[space, walk.erased_ms, tuple(walk.positions)] = walk
        if len(kept) > KEPT:
            held = Counter(tenant_of(place[0]) for place in kept)
            most = max(held.values())
            del kept[next(place for place in kept if held[tenant_of(place[0])] == most)]
