"""Everything that changes an embedded store; all of it runs on one thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qdrant_edge import EdgeShard, Point, SparseVector, UpdateOperation

from helamem.processors.pauses import Pauses
from helamem.processors.store import edge_queries as queries
from helamem.processors.store.edge_room import Room
from helamem.processors.store.edge_shards import DENSE, LEXICAL, Shards
from helamem.processors.store.lexical import Lexical
from helamem.processors.store.payload import (
    GENERATION,
    OFFSET,
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
from helamem.processors.store.port import CollectionName, EdgeRow, Mark, Vector, Writes
from helamem.processors.store.prepared import PreparedMemory
from helamem.processors.store.vectors import check_all, check_vectors
from helamem.schemas.ids import edge_row_id, mark_id
from helamem.schemas.records import Position

if TYPE_CHECKING:
    from qdrant_edge import NamedVector  # the stub alone has the name

CHUNK = 16
"""Points in one operation: Edge holds the GIL for the whole of it, half a millisecond with vectors."""

_Item = tuple[str, Vector, SparseVector, Payload]
"""Id, dense vector, terms and payload of a memory or a fact."""


class EdgeWriter:
    """Applies writes to the shards and knows which of them are not yet on disk.

    Args:
        shards: What is written to.
        lexical: The keyword index's terms.
        dimension: Of the dense vectors.
        room: On the disk.
        pauses: For those who read meanwhile.
    """

    def __init__(self, shards: Shards, lexical: Lexical, dimension: int, room: Room, pauses: Pauses) -> None:
        self.shards = shards
        self._lexical = lexical
        self._dimension = dimension
        self._room = room
        self._chunks = pauses.chunks
        # What a killed process wrote is back from the write-ahead log, which nobody has synced either.
        self._dirty = set(Shards._fields)
        self._marked = shards.marks.info().points_count > 0

    def write(self, writes: Writes) -> None:
        """Apply a batch.

        Raises:
            ConfigurationError: A vector is not what the store was made for; nothing was written.
            RetryLater: The disk is almost full; some of it may have been written, and may be given again.
        """
        check_vectors(writes, self._dimension)
        terms = self._lexical.document
        for memories in self._chunks(writes.memories, CHUNK):
            self._insert("memories", [(m.turn.id, m.dense, terms(m.lexical), turn_payload(m.turn)) for m in memories])
        for facts in self._chunks(writes.facts, CHUNK):
            self._insert("facts", [(f.record.id, f.dense, terms(f.lexical), fact_payload(f.record)) for f in facts])
        for record in writes.amendments:
            self._update("facts", queries.amendment(record))
        self._replace("edges", [(row.position, edge_row_id(row.space, row.memory_id), row) for row in writes.edges])
        self._replace("marks", [(mark.position, mark_id(mark.space, mark.target), mark) for mark in writes.marks])
        self._carry_over([mark_id(mark.space, mark.target) for mark in writes.marks])

    def insert(self, memories: Sequence[PreparedMemory]) -> None:
        """Apply a batch of memories that are prepared, with the errors of `write`."""
        check_all([one.dense for one in memories], self._dimension)
        for some in self._chunks(memories, CHUNK):
            self._insert("memories", [(m.id, m.dense, SparseVector(m.terms, m.weights), m.payload) for m in some])

    def flush(self) -> None:
        """Sync every shard that was written to."""
        for name in sorted(self._dirty):
            self._shard(name).flush()
            self._dirty.discard(name)

    def optimize(self) -> None:
        """Build the graphs and merge the segments of every shard."""
        self._room.check_for_copy()
        for name in Shards._fields:
            self._dirty.add(name)
            self._shard(name).optimize()

    def _insert(self, name: CollectionName, items: Sequence[_Item]) -> None:
        points = []
        for id_, dense, terms, payload in items:
            vectors: dict[str, NamedVector] = {DENSE: dense.tolist()}
            if terms.indices:
                vectors[LEXICAL] = terms
            points.append(Point(id=id_, vector=vectors, payload=payload))
        self._update(name, queries.insertion(points))
        if self._marked:
            # A mark may have come before what it marks. It is looked up after the insertion, and a new mark looks
            # for its target after it was written itself, so whichever comes second sees the other.
            self._carry_over([mark_id(space_of(payload[SPACE]), id_) for id_, _, _, payload in items])

    def _replace(self, name: str, rows: Sequence[tuple[Position, str, EdgeRow | Mark]]) -> None:
        """Write what is absent or older.

        What is stored is looked up, as nobody else writes meanwhile: a condition in the operation would say the same,
        but for rows of one position only, which takes twice as long.
        """
        newest = {id_: (position, row) for position, id_, row in sorted(rows, key=_position)}
        for chunk in self._chunks(list(newest.items()), CHUNK):
            stored = self._positions(name, [id_ for id_, _ in chunk])
            points = [
                Point(id=id_, vector={}, payload=_payload(row))
                for id_, (position, row) in chunk
                if id_ not in stored or stored[id_] < position
            ]
            if points:
                self._update(name, queries.replacement(points))
                self._marked = self._marked or name == "marks"

    def _positions(self, name: str, ids: Sequence[str]) -> dict[str, Position]:
        """Return at which position the points that exist were written."""
        found = self._shard(name).retrieve([*ids], with_payload=[GENERATION, OFFSET], with_vector=False)
        return {
            str(one.id): Position(payload[GENERATION], payload[OFFSET])
            for one in found
            if (payload := one.payload) is not None
        }

    def _carry_over(self, mark_ids: Sequence[str]) -> None:
        """Make targets look as the stored marks say, which may be newer than the ones just written."""
        for ids in self._chunks(mark_ids, CHUNK):
            records = self.shards.marks.retrieve([*ids], with_payload=True, with_vector=False)
            marks = [mark_of(record.payload or {}) for record in records]
            for (collection, space, hidden), targets in by_shelf(marks).items():
                for operation in queries.move(space, targets, hidden=hidden):
                    self._update(collection, operation)

    def _update(self, name: str, operation: UpdateOperation) -> None:
        self._room.check()
        self._dirty.add(name)
        self._shard(name).update(operation)

    def _shard(self, name: str) -> EdgeShard:
        shard: EdgeShard = getattr(self.shards, name)
        return shard


def _position(row: tuple[Position, str, EdgeRow | Mark]) -> Position:
    return row[0]


def _payload(row: EdgeRow | Mark) -> Payload:
    return row_payload(row) if isinstance(row, EdgeRow) else mark_payload(row)
