"""The embedded store: Qdrant's own engine in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from qdrant_edge import (
    EdgeShard,
    FacetRequest,
    QueryBatchRequest,
    QueryRequest,
    ScrollRequest,
)

from helamem.processors.pauses import Pauses
from helamem.processors.store import edge_queries as queries
from helamem.processors.store.by_time import BESIDE, settled
from helamem.processors.store.checkpoints import CheckpointFiles
from helamem.processors.store.edge_engine import EdgeEngine
from helamem.processors.store.edge_ids import IdTexts
from helamem.processors.store.edge_rewrite import IsErased, rewrite_shards
from helamem.processors.store.edge_room import RESERVE_BYTES, Room
from helamem.processors.store.edge_shards import Shards, open_shards
from helamem.processors.store.edge_writer import CHUNK, EdgeWriter
from helamem.processors.store.group_commit import GroupCommit
from helamem.processors.store.lexical import Lexical
from helamem.processors.store.payload import (
    SPACE,
    TURN_FIELDS,
    fact_of,
    is_tombstone,
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
from helamem.processors.store.prepared import PreparedMemory
from helamem.schemas.errors import RetryLater
from helamem.schemas.ids import edge_row_id
from helamem.schemas.records import Position, TopicPartition

if TYPE_CHECKING:
    from qdrant_edge import PointId  # the stub alone has the name

T = TypeVar("T")
_Found = dict[str, dict[str, Any]]

PAGE = 1000
"""Records read at once by a scan."""
_MOST_SPACES = 10_000_000


class EdgeStore:
    """A `MemoryStore` in a directory of this machine; made by `EdgeStore.open`."""

    def __init__(
        self,
        engine: EdgeEngine,
        writer: EdgeWriter,
        checkpoints: CheckpointFiles,
        lexical: Lexical,
        reopened: Callable[[IsErased], Shards],
    ) -> None:
        self._engine = engine
        self._reopened = reopened
        self._writer = writer
        self._commits = GroupCommit(partial(engine.write, writer.flush))
        self._checkpoints = checkpoints
        self._lexical = lexical
        self._id_texts = IdTexts()
        self._open = True

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
        """Open the store in a directory, or make it there.

        Args:
            path: The directory; only one process at a time can have it open.
            dimension: Of the dense vectors.
            language: Of the keyword index.
            reserve_bytes: Free space on the disk below which writes are refused with `RetryLater`.
            pause_points: Points that are written from one pause for readers to the next; more where nobody reads.

        Raises:
            ConfigurationError: The store was made for another dimension, language or version, is damaged, or another
                process has it open.
            RetryLater: The disk has too little room, or fails.
        """
        lexical = Lexical(language)
        engine = EdgeEngine(path.name)
        try:
            shards, checkpoints = await engine.write(partial(_open_files, path, dimension, language))
        except BaseException:
            await engine.shut()
            raise
        writer = EdgeWriter(shards, lexical, dimension, Room(path, reserve_bytes), Pauses(pause_points))

        def reopened(is_erased: IsErased) -> Shards:
            try:
                rewrite_shards(path, dimension, language, is_erased, reserve_bytes=reserve_bytes)
            finally:
                writer.shards = open_shards(path, dimension, language)
            return writer.shards

        return cls(engine, writer, checkpoints, lexical, reopened)

    async def write(self, writes: Writes) -> None:
        """Make the writes visible; see `MemoryStore.write`."""
        with self._commits.writing():
            await self._engine.write(partial(self._writer.write, writes))

    async def insert(self, memories: Sequence[PreparedMemory]) -> None:
        """Make memories visible that were prepared for this store's language, as `write` does."""
        with self._commits.writing():
            await self._engine.write(partial(self._writer.insert, memories))

    async def flush(self) -> None:
        """Return once every write so far is on disk; who asks at the same time shares one flush."""
        await self._commits.flush()

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint durably, where it is newer."""
        await self._engine.write(partial(self._checkpoints.save, checkpoint))

    async def load_checkpoints(self, group: str) -> dict[TopicPartition, Checkpoint]:
        """Return the checkpoints of a processor by partition."""
        return self._checkpoints.load(group)

    async def gather(self, *reads: Coroutine[Any, Any, T]) -> list[T]:
        """Return the results of coroutines, without a change of thread; see `MemoryStore.gather`."""
        return self._engine.gather(reads)

    async def origins(self, memory_ids: Sequence[str]) -> dict[str, Origin]:
        """Return where each memory that exists came from."""

        def read() -> dict[str, Origin]:
            found = _retrieve(self._shards.memories, memory_ids)
            turns = (turn_of(id_, payload) for id_, payload in found.items())
            return {turn.id: Origin(content_hash=turn.content_hash, position=turn.position) for turn in turns}

        return await self._engine.read(read)

    async def turns(self, space: str, memory_ids: Sequence[str]) -> dict[str, Turn]:
        """Return the memories of this space among `memory_ids`."""

        def read() -> dict[str, Turn]:
            found = _retrieve(self._shards.memories, memory_ids)
            return {id_: turn_of(id_, load) for id_, load in found.items() if space_of(load[SPACE]) == space}

        return await self._engine.read(read)

    async def facts(self, space: str, fact_ids: Sequence[str]) -> dict[str, FactRecord]:
        """Return the facts of this space among `fact_ids`."""

        def read() -> dict[str, FactRecord]:
            found = _retrieve(self._shards.facts, fact_ids)
            return {id_: fact_of(id_, load) for id_, load in found.items() if space_of(load[SPACE]) == space}

        return await self._engine.read(read)

    async def edge_rows(self, space: str, memory_ids: Sequence[str]) -> dict[str, EdgeRow]:
        """Return the edge rows of these memories in this space, by memory id."""

        def read() -> dict[str, EdgeRow]:
            ids: list[PointId] = [edge_row_id(space, memory) for memory in memory_ids]
            records = self._shards.edges.retrieve(ids, with_payload=True, with_vector=False)
            rows = (row_of(record.payload or {}) for record in records)
            return {row.memory_id: row for row in rows if row.space == space}

        return await self._engine.read(read)

    async def conversation_tail(self, space: str, conversation: str, before: Position, limit: int) -> list[Turn]:
        """Return the last `limit` turns of a conversation with a position before `before`, oldest first."""

        def read() -> list[Turn]:
            # Turns are numbered in the order of their positions, so these are the last ones unless a crash left
            # later ones in the store; then look further back.
            asked = limit + 1
            while True:
                records, _ = self._shards.memories.scroll(queries.last_turns(space, conversation, asked))
                turns = [turn_of(str(record.id), record.payload or {}) for record in records]
                earlier = sorted((t for t in turns if t.position < before), key=lambda t: t.position)
                if len(earlier) >= limit or len(turns) < asked:
                    return earlier[-limit:] if limit else []
                asked *= 8

        return await self._engine.read(read)

    async def turns_by_time(self, space: str, after: Said | None, limit: int) -> list[Turn]:
        """Return the first memories of a space by time and id, of those after one."""

        def read() -> list[Turn]:
            asked = limit + BESIDE
            while True:
                records, _ = self._shards.memories.scroll(queries.first_turns(space, after, asked))
                turns = (turn_of(str(record.id), record.payload or {}) for record in records)
                found = settled(turns, after, cut=len(records) == asked)
                if len(found) >= limit or len(records) < asked:
                    return found[:limit]
                asked *= 8  # many of one time

        return await self._engine.read(read)

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
        requests = queries.nearest(space, dense, self._lexical.query(lexical), limit, where)
        return await self._search(self._shards.memories, requests)

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
        requests = queries.nearest(space, dense, self._lexical.query(lexical), limit, where)
        return await self._search(self._shards.memories, requests)

    async def search_facts(
        self, space: str, dense: Vector, lexical: str, limit: int, *, until_ms: int | None = None
    ) -> Scores:
        """Return the best facts of a space by vector, and the best by words."""
        where = queries.visible(space, until_ms)
        requests = queries.nearest(space, dense, self._lexical.query(lexical), limit, where)
        return await self._search(self._shards.facts, requests)

    async def facts_about(self, space: str, topics: Sequence[str]) -> dict[str, FactRecord]:
        """Return the visible facts of a space that are about any of these."""
        if not topics:
            return {}

        def read() -> dict[str, FactRecord]:
            found: dict[str, FactRecord] = {}
            offset: PointId | None = None
            while True:
                request = ScrollRequest(
                    filter=queries.about(space, topics),
                    limit=PAGE,
                    offset=offset,
                    with_payload=TURN_FIELDS,
                    with_vector=False,
                )
                records, offset = self._shards.facts.scroll(request)
                found |= {str(record.id): fact_of(str(record.id), record.payload or {}) for record in records}
                if offset is None:
                    return found

        return await self._engine.read(read)

    def scan_turns(self, space: str | None) -> AsyncIterator[Turn]:
        """Yield every memory of a space, or of all."""
        return self._scan("memories", space, turn_of)

    def scan_facts(self, space: str | None) -> AsyncIterator[FactRecord]:
        """Yield every fact of a space, or of all."""
        return self._scan("facts", space, fact_of)

    def scan_edges(self, space: str | None) -> AsyncIterator[EdgeRow]:
        """Yield every edge row of a space, or of all."""
        return self._scan("edges", space, lambda _, payload: row_of(payload))

    async def spaces(self) -> dict[str, int]:
        """Return the number of memories of every space; see `MemoryStore.spaces`."""

        def read() -> dict[str, int]:
            hits = self._shards.memories.facet(FacetRequest(key=SPACE, limit=_MOST_SPACES, exact=True))
            return remembered((str(hit.value), hit.count) for hit in hits)

        return await self._engine.read(read)

    async def erase(self, space: str, ids: Sequence[str]) -> None:
        """Write the shards anew with tombstones, and remove the old ones; see `MemoryStore.erase`."""
        erased = frozenset(ids)

        def look() -> bool:
            found = [*_retrieve(self._shards.memories, ids).values(), *_retrieve(self._shards.facts, ids).values()]
            return any(space_of(load[SPACE]) == space and not is_tombstone(load) for load in found)

        if not await self._engine.read(look):
            return

        def rewrite() -> None:
            self._writer.flush()
            self._shards.close()
            self._reopened(lambda owner, id_: owner == space and id_ in erased)

        await self._engine.alone(rewrite)

    async def optimize(self) -> None:
        """Build the graphs and merge the segments; stops every thread of this process for seconds."""
        await self._engine.write(self._writer.optimize)

    @property
    def _shards(self) -> Shards:
        """What is open now: an erasure puts others in their place."""
        return self._writer.shards

    async def close(self) -> None:
        """Flush and release everything; closing twice does no harm."""
        if not self._open:
            return
        self._open = False
        await self._commits.rest()
        try:
            await self._engine.write(self._writer.flush)
        finally:
            await self._engine.shut(self._release)

    def _release(self) -> None:
        self._shards.close()

    async def _search(self, shard: EdgeShard, requests: list[QueryRequest]) -> Scores:
        def read() -> Scores:
            texts = self._id_texts
            found = [
                {texts[point.id.int]: point.score for point in points}  # type: ignore[union-attr]  # all are UUIDs
                for points in shard.query_batch(QueryBatchRequest(requests))
            ]
            return Scores(dense=found[0], lexical=found[1] if len(found) > 1 else {})

        return await self._engine.read(read)

    async def _scan(
        self, name: str, space: str | None, record_of: Callable[[str, dict[str, Any]], T]
    ) -> AsyncIterator[T]:
        offset: PointId | None = None

        def read() -> tuple[list[T], PointId | None]:
            shard: EdgeShard = getattr(self._shards, name)
            request = ScrollRequest(
                filter=queries.within(space), limit=PAGE, offset=offset, with_payload=True, with_vector=False
            )
            records, following = shard.scroll(request)
            return [record_of(str(record.id), record.payload or {}) for record in records], following

        while True:
            page, offset = await self._engine.read(read)
            for record in page:
                yield record
            if offset is None:
                return


def _open_files(path: Path, dimension: int, language: str) -> tuple[Shards, CheckpointFiles]:
    try:
        path.mkdir(parents=True, exist_ok=True)
        Room(path).check_to_open(sum(not (path / name).exists() for name in Shards._fields))
    except OSError as error:
        raise RetryLater(f"the store at {path} cannot be opened: {error}") from error
    shards = open_shards(path, dimension, language)
    try:
        return shards, CheckpointFiles(path / "checkpoints")
    except BaseException:
        shards.close()
        raise


def _retrieve(shard: EdgeShard, ids: Sequence[str]) -> _Found:
    records = shard.retrieve([*ids], with_payload=TURN_FIELDS, with_vector=False)
    return {str(record.id): record.payload or {} for record in records}
