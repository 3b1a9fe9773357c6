"""The embedded store with scans that can be taken up anywhere, so that nobody has to keep one open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from qdrant_edge import EdgeShard, ScrollRequest

from helamem.processors.store import edge_queries as queries
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.edge_room import RESERVE_BYTES
from helamem.processors.store.edge_writer import CHUNK
from helamem.processors.store.payload import fact_of, row_of, turn_of
from helamem.processors.store.port import EdgeRow, FactRecord, Turn
from helamem.streams.store_process.protocol import Kind

PAGE = 256
"""Records read at once: some 100 KB as a rule, 30 MB where every text has the greatest length."""

Scanned = Turn | FactRecord | EdgeRow


class PagedStore(EdgeStore):
    """An `EdgeStore` that also reads single pages; the engine scrolls in the order of ids."""

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        dimension: int,
        language: str = "english",
        reserve_bytes: int = RESERVE_BYTES,
        pause_points: int = CHUNK,
    ) -> Self:
        """Open the store, or make it; see `EdgeStore.open`."""
        store = await super().open(
            path, dimension=dimension, language=language, reserve_bytes=reserve_bytes, pause_points=pause_points
        )
        assert isinstance(store, cls)
        return store

    async def page(
        self, kind: Kind, space: str | None, cursor: str | None
    ) -> tuple[list[tuple[str, Scanned]], str | None]:
        """Return the next records with their cursors, and the cursor after them or None at the end.

        Args:
            kind: Of the records.
            space: Only of this one; None for all.
            cursor: Where to begin; None at the beginning.
        """

        def read() -> tuple[list[tuple[str, Scanned]], str | None]:
            shard, record_of = self._kind(kind)
            request = ScrollRequest(
                filter=queries.within(space), limit=PAGE, offset=cursor, with_payload=True, with_vector=False
            )
            records, following = shard.scroll(request)
            page = [(str(record.id), record_of(str(record.id), record.payload or {})) for record in records]
            return page, None if following is None else str(following)

        return await self._engine.read(read)

    def _kind(self, kind: Kind) -> tuple[EdgeShard, Callable[[str, dict[str, Any]], Scanned]]:
        if kind == "turns":
            return self._shards.memories, turn_of
        if kind == "facts":
            return self._shards.facts, fact_of
        return self._shards.edges, lambda _, payload: row_of(payload)
