"""A store of edge rows in memory, for tests of what reads them; the real stores have a contract suite of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from helamem.processors.store.port import EdgeRow, Writes

if TYPE_CHECKING:
    from helamem.processors.store.port import MemoryStore


class FakeStore:
    """Edge rows only: written where absent or where the stored position is older."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], EdgeRow] = {}
        self.reads = 0

    async def write(self, writes: Writes) -> None:
        """Take in the edge rows that are newer than what is there."""
        for row in writes.edges:
            stored = self.rows.get((row.space, row.memory_id))
            if stored is None or stored.position < row.position:
                self.rows[row.space, row.memory_id] = row

    async def edge_rows(self, space: str, memory_ids: Sequence[str]) -> dict[str, EdgeRow]:
        """Return the rows of these memories in this space."""
        self.reads += 1
        return {memory: self.rows[space, memory] for memory in memory_ids if (space, memory) in self.rows}

    def as_store(self) -> MemoryStore:
        """Return this object under the port's type, of which it is the part that co-activation reads."""
        return self  # type: ignore[return-value]  # the rest of the port is never called
