"""`RemoteStore`: the store of a home, asked of the process that owns it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
from msgspec import Raw

from helamem.processors.store.by_time import said
from helamem.processors.store.edge_shards import SCHEMA
from helamem.processors.store.lexical import Lexical
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
from helamem.processors.store.vectors import check_vectors
from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.schemas.records import Position, TopicPartition
from helamem.streams.store_process import protocol as p
from helamem.streams.store_process.link import Link
from helamem.streams.store_process.unflushed import Unflushed
from helamem.streams.store_process.wire import Wire
from helamem.streams.store_process.writes import in_pieces

T = TypeVar("T")

TIMEOUT_S = 120.0
"""How long one answer may take: far longer than the store process ever keeps anybody waiting by optimising."""
MOST_UNFLUSHED_BYTES = 64 * 1024**2
"""A client that writes so much without a flush gets one in between."""

_IDS = 1000
"""Ids in one request."""

_checkpoint = msgspec.msgpack.Decoder(Checkpoint).decode
_counts = msgspec.msgpack.Decoder(dict[str, int]).decode
_edge_row = msgspec.msgpack.Decoder(EdgeRow).decode
_fact = msgspec.msgpack.Decoder(FactRecord).decode
_origin = msgspec.msgpack.Decoder(Origin).decode
_scores = msgspec.msgpack.Decoder(Scores).decode
_turn = msgspec.msgpack.Decoder(Turn).decode
_turns = msgspec.msgpack.Decoder(list[Turn]).decode


class RemoteStore:
    """A `MemoryStore` that a store process serves; made by `RemoteStore.open`.

    Every method raises `RetryLater` while there is no such process, and connects again by itself when it is called
    the next time. What was asked for and not answered may be given again, whatever it was (see `protocol`).

    Writes and reads have a connection each, so that a question does not wait behind a bulk of writes.
    """

    def __init__(self, home: Path, dimension: int, language: str, timeout_s: float) -> None:
        self._home = home
        self._dimension = dimension
        self._language = language
        self._lexical = Lexical(language)
        self._timeout_s = timeout_s
        self._changes = Link(home, timeout_s, self._take_up)
        self._reads = Link(home, timeout_s, self._check)
        self._unflushed = Unflushed()
        self._order = asyncio.Lock()
        self._closed = False

    @classmethod
    async def open(cls, home: Path, *, dimension: int, language: str = "english", timeout_s: float = TIMEOUT_S) -> Self:
        """Connect to the store process of a home.

        Args:
            home: The home's directory.
            dimension: Of the dense vectors.
            language: Of the keyword index.
            timeout_s: How long one answer may take.

        Raises:
            RetryLater: There is no such process, or not yet.
            ConfigurationError: Its store is for another dimension, language or version.
        """
        store = cls(home, dimension, language, timeout_s)
        await store._changes.wire()
        return store

    async def write(self, writes: Writes) -> None:
        """Make the writes visible; see `MemoryStore.write`."""
        # Here and not only there: of a write in pieces the first would be stored before the last is refused.
        check_vectors(writes, self._dimension)
        if self._unflushed.size_bytes > MOST_UNFLUSHED_BYTES:
            await self.flush()
        given = []
        try:
            async with self._order:  # the pieces of one write before those of the next
                wire = await self._changes.wire()
                answers = []
                async with wire.patience(self._timeout_s):
                    for piece in in_pieces(writes, self._lexical):
                        given.append(self._unflushed.add(piece, wire.welcome.process))
                        answers.append(wire.send(piece))
                        await wire.drain()
            async with wire.patience(self._timeout_s):
                await asyncio.gather(*answers)
        except BaseException:
            self._unflushed.remove(given)
            raise
        for sent in given:
            sent.answered = True

    async def flush(self) -> None:
        """Return once all that was written by this client before is on disk."""
        wire = await self._changes.wire()
        covered = self._unflushed.answered()
        async with wire.patience(self._timeout_s):
            await wire.ask(p.Flush())
        self._unflushed.remove(covered)

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint durably, where it is newer."""
        await self._change(p.SaveCheckpoint(checkpoint), self._timeout_s)

    async def load_checkpoints(self, group: str) -> dict[TopicPartition, Checkpoint]:
        """Return the checkpoints of a processor by partition."""
        pages = self._pages(lambda cursor: p.LoadCheckpoints(group, cursor), _checkpoint)
        return {checkpoint.partition: checkpoint async for checkpoint in pages}

    async def origins(self, memory_ids: Sequence[str]) -> dict[str, Origin]:
        """Return where each memory that exists came from."""
        return await self._by_ids(p.Origins, memory_ids, _origin)

    async def turns(self, space: str, memory_ids: Sequence[str]) -> dict[str, Turn]:
        """Return the memories of this space among `memory_ids`."""
        return await self._by_ids(lambda ids: p.Turns(space, ids), memory_ids, _turn)

    async def facts(self, space: str, fact_ids: Sequence[str]) -> dict[str, FactRecord]:
        """Return the facts of this space among `fact_ids`."""
        return await self._by_ids(lambda ids: p.Facts(space, ids), fact_ids, _fact)

    async def facts_about(self, space: str, topics: Sequence[str]) -> dict[str, FactRecord]:
        """Return the visible facts of a space that are about any of these."""
        pages = self._pages(lambda cursor: p.FactsAbout(space, tuple(topics), cursor), _fact)
        return {fact.id: fact async for fact in pages} if topics else {}

    async def edge_rows(self, space: str, memory_ids: Sequence[str]) -> dict[str, EdgeRow]:
        """Return the edge rows of these memories in this space, by memory id."""
        return await self._by_ids(lambda ids: p.EdgeRows(space, ids), memory_ids, _edge_row)

    async def conversation_tail(self, space: str, conversation: str, before: Position, limit: int) -> list[Turn]:
        """Return the last `limit` turns of a conversation with a position before `before`, oldest first."""
        return _turns(await self._read(p.Tail(space, conversation, before, limit)))

    async def turns_by_time(self, space: str, after: Said | None, limit: int) -> list[Turn]:
        """Return the first memories of a space by time and id, of those after one."""
        found: list[Turn] = []
        while True:
            page = p.decode_page(await self._read(p.TurnsByTime(space, after, limit - len(found))))
            found += map(_turn, page.records)
            if page.cursor is None:
                return found
            after = said(found[-1])

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
        return _scores(await self._read(p.SearchMemories(space, dense, lexical, limit, since_ms, until_ms)))

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
        if not (places or memory_ids):
            return Scores(dense={}, lexical={})
        call = p.ScoreMemories(space, dense, lexical, tuple(places), tuple(memory_ids))
        return _scores(await self._read(call))

    async def search_facts(
        self, space: str, dense: Vector, lexical: str, limit: int, *, until_ms: int | None = None
    ) -> Scores:
        """Return the best facts of a space by vector, and the best by words."""
        return _scores(await self._read(p.SearchFacts(space, dense, lexical, limit, until_ms)))

    async def gather(self, *reads: Coroutine[Any, Any, T]) -> list[T]:
        """Return the results of coroutines, side by side; see `MemoryStore.gather`."""
        return await asyncio.gather(*reads)

    def scan_turns(self, space: str | None) -> AsyncIterator[Turn]:
        """Yield every memory of a space, or of all."""
        return self._pages(lambda cursor: p.Scan("turns", space, cursor), _turn)

    def scan_facts(self, space: str | None) -> AsyncIterator[FactRecord]:
        """Yield every fact of a space, or of all."""
        return self._pages(lambda cursor: p.Scan("facts", space, cursor), _fact)

    def scan_edges(self, space: str | None) -> AsyncIterator[EdgeRow]:
        """Yield every edge row of a space, or of all."""
        return self._pages(lambda cursor: p.Scan("edges", space, cursor), _edge_row)

    async def spaces(self) -> dict[str, int]:
        """Return the number of memories of every space."""
        return _counts(await self._read(p.Spaces()))

    async def optimize(self) -> None:
        """Build the graphs and merge the segments; the store process answers nobody meanwhile."""
        await self._change(p.Optimize(), None)

    async def erase(self, space: str, ids: Sequence[str]) -> None:
        """Put tombstones in the place of memories and facts; the store process has others try again meanwhile."""
        await self._change(p.Erase(space, tuple(ids)), None)

    async def close(self) -> None:
        """Flush and release everything; closing twice does no harm, nor does it when the process is gone.

        Raises:
            RetryLater: The process is gone, and what was written last is not known to be durable.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._unflushed.size_bytes:
                await self.flush()
        finally:
            await self._changes.close()
            await self._reads.close()

    async def _check(self, wire: Wire) -> None:
        """Refuse a store that was made for something else; looked at anew with every connection."""
        welcome = wire.welcome
        for what, theirs, ours in (
            ("vectors of", f"{welcome.dimension} numbers", f"{self._dimension} numbers"),
            ("a keyword index for", welcome.language, self._language),
            ("the layout", welcome.schema, SCHEMA),
        ):
            if theirs != ours:
                raise ConfigurationError(
                    f"the store process of {self._home} serves a store with {what} {theirs}, not {ours}; use the "
                    "settings and the version that it was made with, or replay the log into another home"
                )

    async def _take_up(self, wire: Wire) -> None:
        """Give a process that was started meanwhile what its predecessor may not have made durable."""
        await self._check(wire)
        strange = self._unflushed.strange_to(wire.welcome.process)
        async with wire.patience(self._timeout_s):
            for sent in strange:
                await wire.ask(sent.call)
                sent.process = wire.welcome.process

    async def _change(self, call: p.Change, timeout_s: float | None) -> None:
        wire = await self._changes.wire()
        async with wire.patience(timeout_s):
            await wire.ask(call)

    async def _read(self, call: p.Read) -> Raw:
        wire = await self._reads.wire()
        async with wire.patience(self._timeout_s):
            return await wire.ask(call)

    async def _by_ids(
        self,
        call: Callable[[tuple[str, ...]], p.Read],
        ids: Sequence[str],
        decode: Callable[[Raw], T],
    ) -> dict[str, T]:
        found: dict[str, T] = {}
        left = tuple(ids)
        while left:
            part = p.decode_part(await self._read(call(left[:_IDS])))
            found.update((id_, decode(raw)) for id_, raw in part.records.items())
            left = left[part.done :]
        return found

    async def _pages(self, call: Callable[[str | None], p.Read], decode: Callable[[Raw], T]) -> AsyncIterator[T]:
        cursor: str | None = None
        while True:
            try:
                result = await self._read(call(cursor))
            except RetryLater:  # the process may have been started anew, and then goes on from here
                result = await self._read(call(cursor))
            page = p.decode_page(result)
            for raw in page.records:
                yield decode(raw)
            if page.cursor is None:
                return
            cursor = page.cursor
