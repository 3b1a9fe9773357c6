"""Everything that changes a store on a server; every call waits until the server has applied it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from qdrant_client import AsyncQdrantClient, models

from helamem.processors.store import qdrant_queries as queries
from helamem.processors.store.lexical import Lexical
from helamem.processors.store.payload import (
    SPACE,
    Payload,
    by_shelf,
    fact_payload,
    mark_of,
    mark_payload,
    row_payload,
    space_of,
    turn_payload,
)
from helamem.processors.store.port import EdgeRow, FactRecord, Mark, Turn, Vector, Writes
from helamem.processors.store.qdrant_builds import Collections
from helamem.processors.store.qdrant_collections import DENSE, LEXICAL, applied
from helamem.processors.store.tombstones import erased_fact, erased_turn, no_direction
from helamem.processors.store.vectors import check_vectors
from helamem.schemas.ids import edge_row_id, mark_id
from helamem.schemas.records import Position

BATCH = 256
"""Points in one request."""

_Item = tuple[str, Vector, str, Payload]
"""Id, dense vector, text and payload of a memory or a fact."""
_Row = tuple[Position, models.PointStruct]


class QdrantWriter:
    """Applies writes to the collections.

    Args:
        client: Of the server.
        names: The collections.
        lexical: The keyword index's terms.
        dimension: Of the dense vectors.
    """

    def __init__(self, client: AsyncQdrantClient, names: Collections, lexical: Lexical, dimension: int) -> None:
        self._client = client
        self._names = names
        self._lexical = lexical
        self._dimension = dimension

    async def write(self, writes: Writes) -> None:
        """Apply a batch.

        Raises:
            ConfigurationError: A vector is not what the store was made for; nothing was written.
        """
        check_vectors(writes, self._dimension)
        memories = [(m.turn.id, m.dense, m.lexical, turn_payload(m.turn)) for m in writes.memories]
        await self._insert(self._names.memories, memories)
        facts = [(f.record.id, f.dense, f.lexical, fact_payload(f.record)) for f in writes.facts]
        await self._insert(self._names.facts, facts)
        for start in range(0, len(writes.amendments), BATCH):
            amended: list[models.UpdateOperation] = [
                queries.amendment(record) for record in writes.amendments[start : start + BATCH]
            ]
            applied(*await self._client.batch_update_points(self._names.facts, amended, wait=True))
        await self._replace(self._names.edges, [_edge_point(row) for row in writes.edges])
        await self._replace(self._names.marks, [_mark_point(mark) for mark in writes.marks])
        await self._carry_over([mark_id(mark.space, mark.target) for mark in writes.marks])

    async def erase_memories(self, turns: Sequence[Turn]) -> None:
        """Write a tombstone over each of these memories, then make it look as the marks say."""
        for start in range(0, len(turns), BATCH):
            batch = turns[start : start + BATCH]
            stones = [self._stone(turn.id, turn_payload(erased_turn(turn))) for turn in batch]
            applied(await self._client.upsert(self._names.memories, stones, wait=True))
            await self._carry_over([mark_id(turn.space, turn.id) for turn in batch])

    async def erase_facts(self, facts: Sequence[FactRecord]) -> None:
        """Write a tombstone over each of these facts that nothing has amended since, and make it look as marks say."""
        stones = [
            # What is older than the next position: what was read, and nothing that came later.
            (
                fact.position._replace(offset=fact.position.offset + 1),
                self._stone(fact.id, fact_payload(erased_fact(fact))),
            )
            for fact in facts
        ]
        await self._replace(self._names.facts, stones)
        await self._carry_over([mark_id(fact.space, fact.id) for fact in facts])

    async def _insert(self, collection: str, items: Sequence[_Item]) -> None:
        for start in range(0, len(items), BATCH):
            batch = items[start : start + BATCH]
            points = [
                models.PointStruct(id=i, vector=self._vectors(v, text), payload=load) for i, v, text, load in batch
            ]
            mode = models.UpdateMode.INSERT_ONLY
            applied(await self._client.upsert(collection, points, wait=True, update_mode=mode))
            # A mark may have come before what it marks. It is looked up after the insertion, and a new mark looks
            # for its target after it was written itself, so whichever comes second sees the other.
            await self._carry_over([mark_id(space_of(load[SPACE]), id_) for id_, _, _, load in batch])

    async def _replace(self, collection: str, rows: Sequence[_Row]) -> None:
        """Write what is absent or older; rows of one position go in one operation, in the order of positions."""
        ordered = sorted(rows, key=_position)
        for start in range(0, len(ordered), BATCH):
            operations: list[models.UpdateOperation] = [
                queries.replacement([point for _, point in group], position)
                for position, group in groupby(ordered[start : start + BATCH], key=_position)
            ]
            applied(*await self._client.batch_update_points(collection, operations, wait=True))

    async def _carry_over(self, mark_ids: Sequence[str]) -> None:
        """Make targets look as the stored marks say, which may be newer than the ones just written.

        A worker that was replaced may still be at it with what it read earlier, so the marks are read once more
        after they were carried over, until what was read last is what was carried over.
        """
        carried: dict[str, Mark] = {}
        while True:
            stored: dict[str, Mark] = {}
            for start in range(0, len(mark_ids), BATCH):
                records = await self._client.retrieve(self._names.marks, [*mark_ids[start : start + BATCH]])
                stored |= {str(record.id): mark_of(record.payload or {}) for record in records}
            news = [mark for id_, mark in stored.items() if carried.get(id_) != mark]
            if not news:
                return
            for (collection, space, hidden), targets in by_shelf(news).items():
                name: str = getattr(self._names, collection)
                moves = queries.move(space, targets, hidden=hidden)
                applied(*await self._client.batch_update_points(name, moves, wait=True))
            carried = stored

    def _stone(self, id_: str, payload: Payload) -> models.PointStruct:
        return models.PointStruct(id=id_, vector={DENSE: no_direction(self._dimension).tolist()}, payload=payload)

    def _vectors(self, dense: Vector, text: str) -> models.VectorStruct:
        terms = self._lexical.document(text)
        if not terms.indices:
            return {DENSE: dense.tolist()}
        return {DENSE: dense.tolist(), LEXICAL: models.SparseVector(indices=terms.indices, values=terms.values)}


def _position(row: _Row) -> Position:
    return row[0]


def _edge_point(row: EdgeRow) -> _Row:
    id_ = edge_row_id(row.space, row.memory_id)
    return row.position, models.PointStruct(id=id_, vector={}, payload=row_payload(row))


def _mark_point(mark: Mark) -> _Row:
    id_ = mark_id(mark.space, mark.target)
    return mark.position, models.PointStruct(id=id_, vector={}, payload=mark_payload(mark))
