"""What the store process does for its clients, whoever they are: each call, and optimising when idle."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Raw

from helamem.schemas.errors import RetryLater
from helamem.streams.store_process import protocol as p
from helamem.streams.store_process.pages import PagedStore

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from helamem.streams.metrics.registry import Metrics

OPTIMIZE_AFTER = 20_000
"""New memories after which the indexes are rebuilt; the same as of an embedded instance that comes to rest."""
QUIET_S = 2.0
"""How long nobody must have asked for anything: optimising keeps everybody waiting, for seconds."""
PART_BYTES = 1024**2
"""An answer that could grow without end is closed when it has so many bytes, and the rest is asked for again."""

_PIECE = 64
"""Ids that are looked up at once, so that no answer grows much beyond `PART_BYTES`."""
_AGAIN_AFTER_S = 60.0


class Service:
    """Calls on one store.

    Args:
        store: What is served.
        complain: Told of what an operator should know.
        optimize_after: New memories after which the store is optimised when idle.
        quiet_s: How long it must have been idle.
        metrics: Where calls are counted, or None.
    """

    def __init__(
        self,
        store: PagedStore,
        complain: Callable[[str], None],
        *,
        optimize_after: int = OPTIMIZE_AFTER,
        quiet_s: float = QUIET_S,
        metrics: Metrics | None = None,
    ) -> None:
        self._clock = nullcontext if metrics is None else _clock(metrics)
        self.counts: Counter[str] = Counter()
        self._store = store
        self._complain = complain
        self._optimize_after = optimize_after
        self._quiet_s = quiet_s
        self._unoptimized = 0
        self._under_way = 0
        self._last_s = time.monotonic()

    async def perform(self, call: p.Change | p.Read) -> bytes:
        """Return the encoded result of a call."""
        self.counts["requests"] += 1
        self._under_way += 1
        try:
            with self._clock(_counted_as(call)):
                if isinstance(call, p.Change):
                    await self._change(call)
                    return bytes(p.NOTHING)
                return await self._read(call)
        finally:
            self._under_way -= 1
            self._last_s = time.monotonic()

    async def optimize_when_idle(self) -> None:
        """Optimise whenever there is enough new and nobody asks for anything, until cancelled."""
        while True:
            await asyncio.sleep(self._quiet_s / 2)
            quiet_s = time.monotonic() - self._last_s
            if self._unoptimized < self._optimize_after or self._under_way or quiet_s < self._quiet_s:
                continue
            try:
                await self._optimize()
                await self._flush()  # now, and not when somebody waits for his own
            except RetryLater as error:
                self._complain(f"the store is not optimised for now: {error}")
                await asyncio.sleep(_AGAIN_AFTER_S)

    async def _change(self, call: p.Change) -> None:
        match call:
            case p.Write():
                await self._store.write(call.writes)
                self._unoptimized += len(call.writes.memories)
                self.counts["memories"] += len(call.writes.memories)
            case p.Insert():
                await self._store.insert(call.memories)
                self._unoptimized += len(call.memories)
                self.counts["memories"] += len(call.memories)
            case p.Flush():
                await self._flush()
            case p.SaveCheckpoint():
                await self._store.save_checkpoint(call.checkpoint)
                self.counts["checkpoints"] += 1
            case p.Optimize():
                await self._optimize()
            case p.Erase(space, ids):
                await self._store.erase(space, ids)
                self.counts["erasures"] += 1

    async def _read(self, call: p.Read) -> bytes:
        store = self._store
        result: object
        match call:
            case p.Origins() | p.Turns() | p.Facts() | p.EdgeRows():
                result = await _part(self._by_ids(call), call.ids)
            case p.Scan() | p.FactsAbout() | p.LoadCheckpoints() | p.TurnsByTime():
                result = await self._paged(call)
            case p.SearchMemories(space, dense, lexical, limit, since_ms, until_ms):
                result = await store.search_memories(space, dense, lexical, limit, since_ms=since_ms, until_ms=until_ms)
            case p.SearchFacts(space, dense, lexical, limit, until_ms):
                result = await store.search_facts(space, dense, lexical, limit, until_ms=until_ms)
            case p.ScoreMemories(space, dense, lexical, places, ids):
                result = await store.score_memories(space, dense, lexical, places=places, memory_ids=ids)
            case p.Tail():
                result = await store.conversation_tail(call.space, call.conversation, call.before, call.limit)
            case p.Spaces():
                result = await store.spaces()
        return p.encode(result)

    async def _paged(self, call: p.Scan | p.FactsAbout | p.LoadCheckpoints | p.TurnsByTime) -> p.Page:
        match call:
            case p.Scan():
                return _page(*await self._store.page(call.kind, call.space, call.cursor))
            case p.FactsAbout():
                facts = sorted((await self._store.facts_about(call.space, call.topics)).items())
                return _page([(id_, fact) for id_, fact in facts if call.cursor is None or id_ >= call.cursor], None)
            case p.LoadCheckpoints():
                found = await self._store.load_checkpoints(call.group)
                named = sorted((str(partition), checkpoint) for partition, checkpoint in found.items())
                return _page([(name, c) for name, c in named if call.cursor is None or name >= call.cursor], None)
            case p.TurnsByTime():
                turns = await self._store.turns_by_time(call.space, call.after, call.limit)
                return _page([(turn.id, turn) for turn in turns], None)

    def _by_ids(
        self, call: p.Origins | p.Turns | p.Facts | p.EdgeRows
    ) -> Callable[[Sequence[str]], Awaitable[Mapping[str, object]]]:
        match call:
            case p.Origins():
                return self._store.origins
            case p.Turns():
                return partial(self._store.turns, call.space)
            case p.Facts():
                return partial(self._store.facts, call.space)
            case p.EdgeRows():
                return partial(self._store.edge_rows, call.space)

    async def _flush(self) -> None:
        await self._store.flush()
        self.counts["flushes"] += 1

    async def _optimize(self) -> None:
        fresh = self._unoptimized
        await self._store.optimize()
        self._unoptimized -= fresh
        self.counts["optimizations"] += 1


def _counted_as(call: p.Change | p.Read) -> str:
    """Return the name under which a call is timed: to put memories in that came prepared is a write like any other."""
    return (p.Write if isinstance(call, p.Insert) else type(call)).__name__


def _clock(metrics: Metrics) -> Callable[[str], AbstractContextManager[None]]:
    from helamem.streams.metrics.measured_store import CallMeter  # noqa: PLC0415 - a replay's child starts without it

    return CallMeter(metrics).call


async def _part(read: Callable[[Sequence[str]], Awaitable[Mapping[str, object]]], ids: Sequence[str]) -> p.Part:
    """Return what `read` finds for some of the ids, at least the first few."""
    found: dict[str, Raw] = {}
    done = size_bytes = 0
    while done < len(ids) and size_bytes < PART_BYTES:
        piece = ids[done : done + _PIECE]
        for id_, record in (await read(piece)).items():
            found[id_] = Raw(p.encode(record))
            size_bytes += len(found[id_])
        done += len(piece)
    return p.Part(found, done)


def _page(records: Iterable[tuple[str, object]], following: str | None) -> p.Page:
    """Return as many of the records as an answer takes, at least one, and the cursor for the rest."""
    taken: list[Raw] = []
    size_bytes = 0
    for cursor, record in records:
        if size_bytes >= PART_BYTES:
            return p.Page(taken, cursor)
        taken.append(Raw(p.encode(record)))
        size_bytes += len(taken[-1])
    return p.Page(taken, following)
