"""The `MemoryStore` port: memories, facts and edges, each a projection of the log with one writer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from helamem.processors.consolidation.claims.claim import Claim
from helamem.schemas.records import Position, TopicPartition

Vector = NDArray[np.float32]
"""A dense vector, shape (dimension,)."""

T = TypeVar("T")

CollectionName = Literal["memories", "facts"]

Place = tuple[str, int]
"""A conversation of a known space, and the number of a turn in it."""

Said = tuple[int, str]
"""When a memory was said, in milliseconds since 1970, and its id: what memories are listed by."""


class Turn(Struct, frozen=True, kw_only=True, gc=False):
    """What the store keeps of one message, without vectors."""

    id: str
    space: str
    message_id: str
    conversation: str
    turn: int
    """Place in its conversation, counted from 0."""
    previous: str | None
    """Id of the memory of the turn before: the temporal edge."""
    speaker: str
    role: str
    """`user` or `agent`."""
    text: str
    time_ms: int
    keywords: tuple[str, ...]
    content_hash: str
    """SHA-256 (hex) of the message's canonical content, or the commitment to it where it is sealed."""
    vector_hash: str
    """SHA-256 (hex) of the dense vector as the embedder gave it."""
    position: Position
    hidden: bool = False
    traceparent: str | None = None
    """W3C trace context, from that of its message; no part of what is remembered, so no part of a digest."""
    data_subjects: tuple[str, ...] = ()
    """Whose keys seal its words in the log; empty where they are not sealed."""
    claims: tuple[Claim, ...] = ()
    """What it claims, as it was read when it was encoded; it follows from words and speaker, so it is in no digest."""

    @property
    def erased(self) -> bool:
        """Whether its words are gone: a tombstone, which no search finds."""
        return not self.text

    @property
    def visible(self) -> bool:
        """Whether searches find it."""
        return not (self.hidden or self.erased)


class Memory(Struct, frozen=True, kw_only=True, gc=False):
    """A memory on its way into the store."""

    turn: Turn
    dense: Vector
    lexical: str
    """What the keyword index (BM25) sees."""


class FactRecord(Struct, frozen=True, kw_only=True, gc=False):
    """What the store keeps of one fact, without vectors."""

    id: str
    space: str
    kind: str
    text: str
    subject: str
    valid_from_ms: int
    evidence: tuple[str, ...]
    """Ids of the memories that it rests on."""
    evidence_hashes: tuple[str, ...]
    """Their content hashes, in the same order."""
    hub: str
    distiller: str
    vector_hash: str
    position: Position
    """The last record that is folded into it."""
    hidden: bool = False
    traceparent: str | None = None
    """W3C trace context, from that of its event; no part of what is remembered, so no part of a digest."""
    data_subjects: tuple[str, ...] = ()
    """Whose keys seal its words in the log; empty where they are not sealed."""
    key: str = ""
    """What it says of its subject; empty where nobody knows."""
    value: str = ""
    valid_until_ms: int | None = None
    """When it held no longer, where its own event says so."""
    supersedes: tuple[str, ...] = ()
    """Ids of facts that hold no longer since this one does."""
    sources: int = 0
    """How many of the first pieces of evidence its words are from, where others only confirm it; 0 is all."""

    @property
    def erased(self) -> bool:
        """Whether its words are gone: a tombstone, which no search finds."""
        return not self.text


class Fact(Struct, frozen=True, kw_only=True, gc=False):
    """A fact on its way into the store."""

    record: FactRecord
    dense: Vector
    lexical: str


class Origin(Struct, frozen=True, kw_only=True, gc=False):
    """Which record made a memory, and what it said."""

    content_hash: str
    position: Position


class EdgeRow(Struct, frozen=True, kw_only=True, gc=False):
    """The learned neighbours of one memory, packed by `hebbian.packing`."""

    space: str
    memory_id: str
    position: Position
    """The last record that is folded into this row; a write is conditional on an older one."""
    neighbours: bytes
    hub_formed_ms: int = -1
    """Event time at which this memory last formed a hub, or -1."""


class Mark(Struct, frozen=True, kw_only=True, gc=False):
    """Whether a memory or fact may be recalled; it may arrive before what it marks, and the later position holds."""

    collection: CollectionName
    space: str
    target: str
    hidden: bool
    position: Position


class Writes(Struct, frozen=True, kw_only=True):
    """What a batch changes in the store."""

    memories: tuple[Memory, ...] = ()
    """Inserted where absent: the first message with an id is the one that counts."""
    facts: tuple[Fact, ...] = ()
    """Inserted where absent."""
    amendments: tuple[FactRecord, ...] = ()
    """Facts that are there, with more evidence: written where the stored position is older; words and vectors stay."""
    edges: tuple[EdgeRow, ...] = ()
    """Written where absent or where the stored position is older, by (generation, offset)."""
    marks: tuple[Mark, ...] = ()
    """Written where absent or where the stored position is older, and carried over to the target."""


class Checkpoint(Struct, frozen=True, kw_only=True):
    """How far a processor has come in one partition of this projection, and what its fold carries besides points."""

    group: str
    partition: TopicPartition
    position: Position
    """The next record to process."""
    state: bytes


class Scores(Struct, frozen=True, kw_only=True):
    """How well memories or facts match a query, by id, best first; the two are never mixed here."""

    dense: dict[str, float]
    """Cosine of the dense vectors, in [−1, 1]."""
    lexical: dict[str, float]
    """BM25 with the inverse document frequencies of the space; only what shares a word with the query."""


class MemoryStore(Protocol):
    """What a store does; every adapter runs the contract suite `tests/contracts/store_contract.py`.

    Every method may raise `RetryLater` when the store is away.
    """

    async def write(self, writes: Writes) -> None:
        """Make the writes visible. They are durable once `flush` has returned."""
        ...

    async def flush(self) -> None:
        """Return once every write so far survives a power cut."""
        ...

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint durably, all or nothing, where there is none yet or one of an older position.

        A worker that was replaced and does not know it yet changes nothing: its late checkpoint is ignored.
        """
        ...

    async def load_checkpoints(self, group: str) -> dict[TopicPartition, Checkpoint]:
        """Return the checkpoints of a processor by partition."""
        ...

    async def origins(self, memory_ids: Sequence[str]) -> dict[str, Origin]:
        """Return where each memory that exists came from, hidden ones included."""
        ...

    async def turns(self, space: str, memory_ids: Sequence[str]) -> dict[str, Turn]:
        """Return the memories of this space among `memory_ids`, hidden ones included."""
        ...

    async def facts(self, space: str, fact_ids: Sequence[str]) -> dict[str, FactRecord]:
        """Return the facts of this space among `fact_ids`, hidden ones included."""
        ...

    async def edge_rows(self, space: str, memory_ids: Sequence[str]) -> dict[str, EdgeRow]:
        """Return the edge rows of these memories in this space, by memory id."""
        ...

    async def conversation_tail(self, space: str, conversation: str, before: Position, limit: int) -> list[Turn]:
        """Return the last `limit` turns of a conversation with a position before `before`, oldest first.

        Hidden ones are among them. It takes time in proportion to the conversation: 0.3 ms at 250 turns.
        """
        ...

    async def turns_by_time(self, space: str, after: Said | None, limit: int) -> list[Turn]:
        """Return the first `limit` visible memories of a space by time and id.

        Args:
            space: What may be read.
            after: The one before; None begins with the first.
            limit: How many.
        """
        ...

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
        """Return the `limit` best memories of a space by vector, and the `limit` best by words; hidden ones never.

        Args:
            space: What may be searched.
            dense: Vector of the query, shape (dimension,).
            lexical: Text of the query; it may hold no word at all.
            limit: Length of either list.
            since_ms: Memories of an earlier event time are left out; None leaves out nothing.
            until_ms: Memories of a later event time are left out; None leaves out nothing.
        """
        ...

    async def score_memories(
        self,
        space: str,
        dense: Vector,
        lexical: str,
        *,
        places: Collection[Place] = (),
        memory_ids: Collection[str] = (),
    ) -> Scores:
        """Score the memories at these places or with these ids against a query, like `search_memories`.

        Places where nothing is, hidden memories and those of another space are left out.
        """
        ...

    async def search_facts(
        self, space: str, dense: Vector, lexical: str, limit: int, *, until_ms: int | None = None
    ) -> Scores:
        """Return the best facts of a space, like `search_memories`; `until_ms` bounds `valid_from_ms`."""
        ...

    async def facts_about(self, space: str, topics: Sequence[str]) -> dict[str, FactRecord]:
        """Return the visible facts of a space that are about any of these, by id.

        Args:
            space: What may be read.
            topics: Ids as `payload.topics` gives them: of slots, and of facts that another one may supersede.
        """
        ...

    async def gather(self, *reads: Coroutine[Any, Any, T]) -> list[T]:
        """Return the results of coroutines that await nothing but reads of this store, in order.

        It is `asyncio.gather`, but for an engine in this process, which runs them at once, one after the other. The
        first error is raised.
        """
        ...

    def scan_turns(self, space: str | None) -> AsyncIterator[Turn]:
        """Yield every memory (of a space, or all), in no particular order."""
        ...

    def scan_facts(self, space: str | None) -> AsyncIterator[FactRecord]:
        """Yield every fact, in no particular order."""
        ...

    def scan_edges(self, space: str | None) -> AsyncIterator[EdgeRow]:
        """Yield every edge row, in no particular order."""
        ...

    async def erase(self, space: str, ids: Sequence[str]) -> None:
        """Put tombstones in the place of those memories and facts of a space that are there, durably.

        Who reads meanwhile may be told to try again. What an engine of our own keeps of the words on its disk is
        gone when this returns.
        """
        ...

    async def spaces(self) -> dict[str, int]:
        """Return the number of memories of every space, hidden ones included and tombstones not."""
        ...

    async def optimize(self) -> None:
        """Do now what makes reads fast and would otherwise wait; readers may be slow meanwhile."""
        ...

    async def close(self) -> None:
        """Flush and release everything."""
        ...
