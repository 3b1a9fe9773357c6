"""The same store, measured: every call of the port, asked for here or answered for others."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Collection, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from helamem.processors.store.port import (
    Checkpoint,
    EdgeRow,
    FactRecord,
    MemoryStore,
    Origin,
    Place,
    Said,
    Scores,
    Turn,
    Vector,
    Writes,
)
from helamem.schemas.records import Position, TopicPartition
from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.calls import OnTook, no_errors_yet, reason_of, timed, told_nobody
from helamem.streams.metrics.registry import Metrics
from helamem.streams.metrics.unmeasured import Uncounted

T = TypeVar("T")
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")
STORE_CALLS = (
    "write",
    "flush",
    "save-checkpoint",
    "load-checkpoints",
    "origins",
    "turns",
    "facts",
    "edge-rows",
    "conversation-tail",
    "turns-by-time",
    "search-memories",
    "score-memories",
    "search-facts",
    "facts-about",
    "spaces",
    "optimize",
    "erase",
)
"""Of the port; the store process has `scan` besides."""


class CallMeter:
    """Times the calls that the store process answers, by the names of their types in its protocol.

    Args:
        metrics: Where it is counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        no_errors_yet(metrics, c.STORE_ERRORS, (*STORE_CALLS, "scan"))

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Time one call: `SearchMemories` counts as `search-memories`."""
        call = _CAPITAL.sub("-", name).lower()
        with timed(
            lambda call, seconds: self._metrics.observe(c.STORE_SECONDS, seconds, call=call),
            lambda call, error: self._metrics.add(c.STORE_ERRORS, call=call, reason=reason_of(error)),
            call,
        ):
            yield


class MeasuredStore:
    """A `MemoryStore` that times every call of another one.

    Args:
        store: What is asked.
        metrics: Where it is counted.
        on_took: Told as well.
    """

    def __init__(self, store: MemoryStore, metrics: Metrics | Uncounted, on_took: OnTook = told_nobody) -> None:
        self._store = store
        self._metrics = metrics
        self._on_took = on_took
        no_errors_yet(metrics, c.STORE_ERRORS, STORE_CALLS)

    async def write(self, writes: Writes) -> None:
        """See `MemoryStore.write`."""
        await self._call("write", self._store.write(writes))

    async def flush(self) -> None:
        """See `MemoryStore.flush`."""
        await self._call("flush", self._store.flush())

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """See `MemoryStore.save_checkpoint`."""
        await self._call("save-checkpoint", self._store.save_checkpoint(checkpoint))

    async def load_checkpoints(self, group: str) -> dict[TopicPartition, Checkpoint]:
        """See `MemoryStore.load_checkpoints`."""
        return await self._call("load-checkpoints", self._store.load_checkpoints(group))

    async def origins(self, memory_ids: Sequence[str]) -> dict[str, Origin]:
        """See `MemoryStore.origins`."""
        return await self._call("origins", self._store.origins(memory_ids))

    async def turns(self, space: str, memory_ids: Sequence[str]) -> dict[str, Turn]:
        """See `MemoryStore.turns`."""
        return await self._call("turns", self._store.turns(space, memory_ids))

    async def facts(self, space: str, fact_ids: Sequence[str]) -> dict[str, FactRecord]:
        """See `MemoryStore.facts`."""
        return await self._call("facts", self._store.facts(space, fact_ids))

    async def edge_rows(self, space: str, memory_ids: Sequence[str]) -> dict[str, EdgeRow]:
        """See `MemoryStore.edge_rows`."""
        return await self._call("edge-rows", self._store.edge_rows(space, memory_ids))

    async def conversation_tail(self, space: str, conversation: str, before: Position, limit: int) -> list[Turn]:
        """See `MemoryStore.conversation_tail`."""
        return await self._call("conversation-tail", self._store.conversation_tail(space, conversation, before, limit))

    async def turns_by_time(self, space: str, after: Said | None, limit: int) -> list[Turn]:
        """See `MemoryStore.turns_by_time`."""
        return await self._call("turns-by-time", self._store.turns_by_time(space, after, limit))

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
        """See `MemoryStore.search_memories`."""
        return await self._call(
            "search-memories",
            self._store.search_memories(space, dense, lexical, limit, since_ms=since_ms, until_ms=until_ms),
        )

    async def score_memories(
        self,
        space: str,
        dense: Vector,
        lexical: str,
        *,
        places: Collection[Place] = (),
        memory_ids: Collection[str] = (),
    ) -> Scores:
        """See `MemoryStore.score_memories`."""
        return await self._call(
            "score-memories",
            self._store.score_memories(space, dense, lexical, places=places, memory_ids=memory_ids),
        )

    async def search_facts(
        self, space: str, dense: Vector, lexical: str, limit: int, *, until_ms: int | None = None
    ) -> Scores:
        """See `MemoryStore.search_facts`."""
        return await self._call(
            "search-facts", self._store.search_facts(space, dense, lexical, limit, until_ms=until_ms)
        )

    async def facts_about(self, space: str, topics: Sequence[str]) -> dict[str, FactRecord]:
        """See `MemoryStore.facts_about`."""
        return await self._call("facts-about", self._store.facts_about(space, topics))

    async def gather(self, *reads: Coroutine[Any, Any, T]) -> list[T]:
        """See `MemoryStore.gather`; each read is measured by itself."""
        return await self._store.gather(*reads)

    def scan_turns(self, space: str | None) -> AsyncIterator[Turn]:
        """See `MemoryStore.scan_turns`; a scan's time is its reader's."""
        return self._store.scan_turns(space)

    def scan_facts(self, space: str | None) -> AsyncIterator[FactRecord]:
        """See `MemoryStore.scan_facts`."""
        return self._store.scan_facts(space)

    def scan_edges(self, space: str | None) -> AsyncIterator[EdgeRow]:
        """See `MemoryStore.scan_edges`."""
        return self._store.scan_edges(space)

    async def spaces(self) -> dict[str, int]:
        """See `MemoryStore.spaces`."""
        return await self._call("spaces", self._store.spaces())

    async def optimize(self) -> None:
        """See `MemoryStore.optimize`."""
        await self._call("optimize", self._store.optimize())

    async def erase(self, space: str, ids: Sequence[str]) -> None:
        """See `MemoryStore.erase`."""
        await self._call("erase", self._store.erase(space, ids))

    async def close(self) -> None:
        """See `MemoryStore.close`."""
        await self._store.close()

    async def _call(self, call: str, work: Awaitable[T]) -> T:
        with timed(self._took, self._failed, call):
            return await work

    def _took(self, call: str, seconds: float) -> None:
        self._metrics.observe(c.STORE_SECONDS, seconds, call=call)
        self._on_took(call, seconds)

    def _failed(self, call: str, error: Exception) -> None:
        self._metrics.add(c.STORE_ERRORS, call=call, reason=reason_of(error))
