"""Memories that need no more work before an embedded store takes them.

To weigh words and to pack a payload takes as long as a sixth of the rest. Where the store is written by another process
than the one that has the memories, it is the busier of the two, so the other one does this for it.
"""

from __future__ import annotations

from msgspec import Struct

from helamem.processors.store.lexical import Lexical
from helamem.processors.store.payload import PACKED, PLACE, SPACE, TIME, TURN, Payload, turn_payload
from helamem.processors.store.port import Memory, Vector


class PreparedMemory(Struct, frozen=True, array_like=True, gc=False):
    """A memory as the engine has it."""

    id: str
    dense: Vector
    terms: list[int]
    """Of the keyword index; empty where there is no word."""
    weights: list[float]
    space: str
    place: str
    turn: int
    time_ms: int
    packed: str

    @property
    def payload(self) -> Payload:
        """What `turn_payload` gave."""
        return {SPACE: self.space, PLACE: self.place, TURN: self.turn, TIME: self.time_ms, PACKED: self.packed}


def prepared(memory: Memory, lexical: Lexical) -> PreparedMemory:
    """Return a memory on its way into a store whose keyword index is that of `lexical`."""
    terms, payload = lexical.document(memory.lexical), turn_payload(memory.turn)
    return PreparedMemory(
        id=memory.turn.id,
        dense=memory.dense,
        terms=list(terms.indices),
        weights=list(terms.values),
        space=payload[SPACE],
        place=payload[PLACE],
        turn=payload[TURN],
        time_ms=payload[TIME],
        packed=payload[PACKED],
    )
