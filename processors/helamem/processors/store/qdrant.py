"""The store on a Qdrant server or cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from typing import Any, TypeVar

from qdrant_client import AsyncQdrantClient, models

from helamem.processors.store import qdrant_queries as queries
from helamem.processors.store.by_time import BESIDE, settled
from helamem.processors.store.lexical import Lexical
from helamem.processors.store.payload import (
    SPACE,
    TIME,
    TURN,
    TURN_FIELDS,
    fact_of,
    remembered,
    row_of,
    space_of,
    turn_of,
)
from helamem.processors.store.port import (
    Checkpoint,
    EdgeRow,
    FactRecord,
    Origin,
    Place,
    Said,
    Scores,
    Turn,
    Vector,
    Writes,
)
from helamem.processors.store.qdrant_builds import Collections, build_in_use, put_in_use
from helamem.processors.store.qdrant_checkpoints import CheckpointPoints
from helamem.processors.store.qdrant_collections import open_collections, translated
from helamem.processors.store.qdrant_options import search_of
from helamem.processors.store.qdrant_settings import QdrantSettings
from helamem.processors.store.qdrant_writer import QdrantWriter
from helamem.schemas.errors import ConfigurationError
from helamem.schemas.ids import edge_row_id
from helamem.schemas.records import Position, TopicPartition

T = TypeVar("T")

FIRST_BUILD = 1
PAGE = 1000
"""Records read at once by a scan."""
_MOST_SPACES = 1_000_000


class QdrantStore:
    """A `MemoryStore` on a Qdrant server; made by `QdrantStore.open`."""

    def __init__(
        self,
        client: AsyncQdrantClient,
        names: Collections,
        writer: QdrantWriter,
        lexical: Lexical,
        quantized: models.QuantizationSearchParams | None,
        *,
        guard: tuple[str, int] | None,
    ) -> None:
        self._client = client
        self._quantized = quantized
        self._names = names
        self._writer = writer
        self._lexical = lexical
        self._guard = guard
        self._checkpoints = CheckpointPoints(client, names.checkpoints)

    @classmethod
    async def open(
        cls,
        client: AsyncQdrantClient,
        *,
        dimension: int,
        language: str = "english",
        prefix: str = "helamem",
        settings: QdrantSettings | None = None,
        build: int | None = None,
        pinned: bool = False,
    ) -> QdrantStore:
        """Open the store, making the collections that are missing.

        Without more it is addressed by aliases: after a switch it goes on with the other build, which is what one
        wants of whoever only reads.

        Args:
            client: Of the server; closed together with the store.
            dimension: Of the dense vectors.
            language: Of the keyword index.
            prefix: What the collections' names begin with.
            settings: How collections are kept; None is one replica, payloads on disk, no quantisation.
            build: Open this build, whether it is in use or not.
            pinned: For whoever writes. Stay with the build that is in use now, and refuse to save a checkpoint once
                that is another.

        Raises:
            ConfigurationError: The collections were made for something else or are kept otherwise, the server is too
                old, or it refuses.
            RetryLater: The server is away.
        """
        lexical = Lexical(language)
        settings = settings or QdrantSettings()
        with translated():
            found = await build_in_use(client, prefix)
        number = build or found or FIRST_BUILD
        await open_collections(client, Collections(prefix, number), dimension, language, settings)
        if found is None and build is None:
            with translated():
                await put_in_use(client, prefix, number)
        names = Collections(prefix, number if pinned or build else None)
        writer = QdrantWriter(client, names, lexical, dimension)
        return cls(client, names, writer, lexical, search_of(settings), guard=(prefix, number) if pinned else None)

    async def write(self, writes: Writes) -> None:
        """Make the writes visible; see `MemoryStore.write`."""
        with translated():
            await self._writer.write(writes)

    async def flush(self) -> None:
        """Return at once: the server answered each write only when it was in its write-ahead log and applied."""

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint durably, where it is newer.

        Raises:
            ConfigurationError: It is pinned to a build, and another is in use.
        """
        with translated():
            if self._guard is not None and (now := await build_in_use(self._client, self._guard[0])) != self._guard[1]:
                raise ConfigurationError(
                    f"build {now} of the store {self._guard[0]} is in use and no longer build {self._guard[1]}, which "
                    "this worker writes to; start it again, and it goes on where that build stands"
                )
            await self._checkpoints.save(checkpoint)

    async def load_checkpoints(self, group: str) -> dict[TopicPartition, Checkpoint]:
        """Return the checkpoints of a processor by partition."""
        with translated():
            return await self._checkpoints.load(group)

    async def origins(self, memory_ids: Sequence[str]) -> dict[str, Origin]:
        """Return where each memory that exists came from."""
        turns = (turn_of(id_, load) for id_, load in (await self._retrieve(self._names.memories, memory_ids)).items())
        return {turn.id: Origin(content_hash=turn.content_hash, position=turn.position) for turn in turns}

    async def turns(self, space: str, memory_ids: Sequence[str]) -> dict[str, Turn]:
        """Return the memories of this space among `memory_ids`."""
        found = await self._retrieve(self._names.memories, memory_ids)
        return {id_: turn_of(id_, load) for id_, load in found.items() if space_of(load[SPACE]) == space}

    async def facts(self, space: str, fact_ids: Sequence[str]) -> dict[str, FactRecord]:
        """Return the facts of this space among `fact_ids`."""
        found = await self._retrieve(self._names.facts, fact_ids)
        return {id_: fact_of(id_, load) for id_, load in found.items() if space_of(load[SPACE]) == space}

    async def edge_rows(self, space: str, memory_ids: Sequence[str]) -> dict[str, EdgeRow]:
        """Return the edge rows of these memories in this space, by memory id."""
        ids: list[models.ExtendedPointId] = [edge_row_id(space, memory) for memory in memory_ids]
        with translated():
            records = await self._client.retrieve(self._names.edges, ids)
        rows = (row_of(record.payload or {}) for record in records)
        return {row.memory_id: row for row in rows if row.space == space}

    async def conversation_tail(self, space: str, conversation: str, before: Position, limit: int) -> list[Turn]:
        """Return the last `limit` turns of a conversation with a position before `before`, oldest first."""
        where = queries.in_conversation(space, conversation)
        last_first = models.OrderBy(key=TURN, direction=models.Direction.DESC)
        # Turns are numbered in the order of their positions, so these are the last ones unless a crash left later
        # ones in the store; then look further back.
        asked = limit + 1
        while True:
            with translated():
                records, _ = await self._client.scroll(
                    self._names.memories, where, limit=asked, order_by=last_first, with_payload=TURN_FIELDS
                )
            turns = [turn_of(str(record.id), record.payload or {}) for record in records]
            earlier = sorted((turn for turn in turns if turn.position < before), key=lambda turn: turn.position)
            if len(earlier) >= limit or len(turns) < asked:
                return earlier[-limit:] if limit else []
            asked *= 8

    async def turns_by_time(self, space: str, after: Said | None, limit: int) -> list[Turn]:
        """Return the first memories of a space by time and id, of those after one."""
        where = queries.visible(space, since_ms=None if after is None else after[0])
        first = models.OrderBy(key=TIME, direction=models.Direction.ASC)
        asked = limit + BESIDE
        while True:
            with translated():
                records, _ = await self._client.scroll(
                    self._names.memories, where, limit=asked, order_by=first, with_payload=TURN_FIELDS
                )
            turns = (turn_of(str(record.id), record.payload or {}) for record in records)
            found = settled(turns, after, cut=len(records) == asked)
            if len(found) >= limit or len(records) < asked:
                return found[:limit]
            asked *= 8  # many of one time

    async def search_memories(
        self,
        space: str,
        dense: Vector,
        lexical: str,
        limit: int,
        *,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> Scores:
        """Return the best memories of a space by vector, and the best by words."""
        where = queries.visible(space, until_ms, since_ms)
        requests = queries.nearest(space, dense, self._lexical.query(lexical), limit, where, quantized=self._quantized)
        return await self._search(self._names.memories, requests)

    async def score_memories(
        self,
        space: str,
        dense: Vector,
        lexical: str,
        *,
        places: Collection[Place] = (),
        memory_ids: Collection[str] = (),
    ) -> Scores:
        """Score the memories at these places or with these ids against a query."""
        limit = len(places) + len(memory_ids)
        if not limit:
            return Scores(dense={}, lexical={})
        where = queries.at(space, places, memory_ids)
        requests = queries.nearest(space, dense, self._lexical.query(lexical), limit, where, quantized=self._quantized)
        return await self._search(self._names.memories, requests)

    async def search_facts(
        self, space: str, dense: Vector, lexical: str, limit: int, *, until_ms: int | None = None
    ) -> Scores:
        """Return the best facts of a space by vector, and the best by words."""
        where = queries.visible(space, until_ms)
        requests = queries.nearest(space, dense, self._lexical.query(lexical), limit, where, quantized=self._quantized)
        return await self._search(self._names.facts, requests)

    async def gather(self, *reads: Coroutine[Any, Any, T]) -> list[T]:
        """Return the results of coroutines, side by side; see `MemoryStore.gather`."""
        return await asyncio.gather(*reads)

    async def facts_about(self, space: str, topics: Sequence[str]) -> dict[str, FactRecord]:
        """Return the visible facts of a space that are about any of these."""
        found: dict[str, FactRecord] = {}
        offset = None
        while topics:
            with translated():
                records, offset = await self._client.scroll(
                    self._names.facts, queries.about(space, topics), limit=PAGE, offset=offset, with_payload=TURN_FIELDS
                )
            found |= {str(record.id): fact_of(str(record.id), record.payload or {}) for record in records}
            if offset is None:
                break
        return found

    def scan_turns(self, space: str | None) -> AsyncIterator[Turn]:
        """Yield every memory of a space, or of all."""
        return self._scan(self._names.memories, space, turn_of)

    def scan_facts(self, space: str | None) -> AsyncIterator[FactRecord]:
        """Yield every fact of a space, or of all."""
        return self._scan(self._names.facts, space, fact_of)

    def scan_edges(self, space: str | None) -> AsyncIterator[EdgeRow]:
        """Yield every edge row of a space, or of all."""
        return self._scan(self._names.edges, space, lambda _, payload: row_of(payload))

    async def spaces(self) -> dict[str, int]:
        """Return the number of memories of every space; see `MemoryStore.spaces`."""
        with translated():
            facet = await self._client.facet(self._names.memories, SPACE, limit=_MOST_SPACES, exact=True)
        return remembered((str(hit.value), hit.count) for hit in facet.hits)

    async def erase(self, space: str, ids: Sequence[str]) -> None:
        """Write tombstones over memories and facts; see `MemoryStore.erase`.

        When the server gives up the pages that held what was written over is its own affair.
        """
        turns, facts = await self.turns(space, ids), await self.facts(space, ids)
        with translated():
            await self._writer.erase_memories([*turns.values()])
        while facts:  # until none was told once more in between, which its tombstone would have undone
            with translated():
                await self._writer.erase_facts([*facts.values()])
            now = await self.facts(space, [*facts])
            facts = {id_: fact for id_, fact in now.items() if fact.position != facts[id_].position}

    async def optimize(self) -> None:
        """Do nothing: a server optimises by itself."""

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()

    async def _retrieve(self, collection: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        with translated():
            records = await self._client.retrieve(collection, [*ids], with_payload=TURN_FIELDS)
        return {str(record.id): record.payload or {} for record in records}

    async def _search(self, collection: str, requests: list[models.QueryRequest]) -> Scores:
        with translated():
            answers = await self._client.query_batch_points(collection, requests)
        lists = [{str(point.id): point.score for point in answer.points} for answer in answers]
        return Scores(dense=lists[0], lexical=lists[1] if len(lists) > 1 else {})

    async def _scan(
        self, collection: str, space: str | None, record_of: Callable[[str, dict[str, Any]], T]
    ) -> AsyncIterator[T]:
        offset = None
        where = queries.within(space)
        while True:
            with translated():
                records, offset = await self._client.scroll(collection, where, limit=PAGE, offset=offset)
            for record in records:
                yield record_of(str(record.id), record.payload or {})
            if offset is None:
                return
