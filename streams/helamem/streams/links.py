"""`Link`: what recalls have tied a memory to, read from the memory's row of edges."""

from __future__ import annotations

from msgspec import Struct

from helamem.processors.hebbian.decay import CAP, decayed, tick
from helamem.processors.hebbian.packing import unpack
from helamem.processors.store.port import EdgeRow
from helamem.schemas.ids import id_text


class Link(Struct, frozen=True, kw_only=True):
    """A memory that another one was recalled together with."""

    memory_id: str
    weight: float
    """At most 1."""
    last_strengthened_ms: int


def links_of(row: EdgeRow, as_of_ms: int, half_life_s: int) -> list[Link]:
    """Return the links of a row, the strongest first, ties by id.

    Args:
        row: The memory's.
        as_of_ms: Weights as they have faded by this time, milliseconds since 1970.
        half_life_s: Seconds in which they halve.
    """
    half_life_ms = half_life_s * 1000
    now = tick(as_of_ms, half_life_ms)
    links = [
        Link(
            memory_id=id_text(neighbour),
            weight=decayed(weight, max(0, now - tick(touched_ms, half_life_ms))) / CAP,
            last_strengthened_ms=touched_ms,
        )
        for neighbour, weight, touched_ms in unpack(row.neighbours)
    ]
    return sorted(links, key=lambda link: (-link.weight, link.memory_id))
