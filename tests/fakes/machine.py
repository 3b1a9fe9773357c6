"""Log, store and processors in a directory, without a home around them, and steps that a test can watch and break."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from fakes.events import record
from fakes.words import wordllama
from helamem.processors.coactivation.processor import CoActivation
from helamem.processors.consolidation.extractive import ExtractiveDistiller
from helamem.processors.consolidation.processor import Consolidation
from helamem.processors.digest import digest
from helamem.processors.embedder.port import Embedder
from helamem.processors.encoding.processor import Encoding
from helamem.processors.port import Processor
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.port import Checkpoint, MemoryStore, Writes
from helamem.schemas.records import NewRecord, Record, TopicPartition
from helamem.schemas.settings import HebbianSettings, Settings
from helamem.schemas.topics import TOPICS, TopicSpec
from helamem.schemas.wire import Event
from helamem.streams.backoff import Backoff
from helamem.streams.log.ends import conversation_ends
from helamem.streams.log.port import Log
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.pump import Pump

T = TypeVar("T")
Moment = Literal["before", "after"]

SETTINGS = Settings(hebbian=HebbianSettings(hub_strength=0.05, hub_degree=2, eta_reinforced=0.1))
"""A few reinforcements form a hub."""
AT_ONCE = Backoff(first_s=0.0, longest_s=0.0)


class Watch:
    """Notes every step that makes something durable; a test may fail it before or after.

    Args:
        fault: Called with the step's name before and after it; what it raises is what the step raises.
    """

    def __init__(self, fault: Callable[[str, Moment], None] = lambda step, moment: None) -> None:
        self.steps: list[tuple[str, Any]] = []
        self.fault = fault

    @property
    def names(self) -> list[str]:
        """The steps in the order in which they were done."""
        return [name for name, _ in self.steps]

    async def step(self, name: str, subject: Any, work: Callable[[], Awaitable[T]]) -> T:
        """Do and note a step."""
        self.fault(name, "before")
        done = await work()
        self.steps.append((name, subject))
        self.fault(name, "after")
        return done


class WatchedLog:
    """A log whose appends and commits are watched; everything else goes straight to it."""

    def __init__(self, log: Log, watch: Watch) -> None:
        self._log = log
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """Append, watched."""
        return await self._watch.step("append", list(records), lambda: self._log.append(records))

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit, watched."""
        await self._watch.step("commit", dict(offsets), lambda: self._log.commit(group, offsets))


class WatchedStore:
    """A store whose writes are watched; everything else goes straight to it."""

    def __init__(self, store: MemoryStore, watch: Watch) -> None:
        self._store = store
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, writes: Writes) -> None:
        """Write, watched."""
        await self._watch.step("write", writes, lambda: self._store.write(writes))

    async def flush(self) -> None:
        """Flush, watched."""
        await self._watch.step("flush", None, self._store.flush)

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Save a checkpoint, watched."""
        await self._watch.step("checkpoint", checkpoint, lambda: self._store.save_checkpoint(checkpoint))


class Machine:
    """A real log and a real store, with pumps made anew whenever a test wants them.

    Attributes:
        log: The log itself.
        store: The store itself.
        watch: Of what pumps do to both.
        counts: What the pumps of `settle` did.
    """

    def __init__(self, log: Log, store: MemoryStore, settings: Settings, embedder: Embedder) -> None:
        self.log = log
        self.store = store
        self.settings = settings
        self.embedder = embedder
        self.watch = Watch()
        self.counts: Counter[str] = Counter()

    def encoding(self) -> Encoding:
        """Return a new encoding processor."""
        return Encoding(self.store, self.embedder, self.settings)

    def coactivation(self) -> CoActivation:
        """Return a new co-activation processor."""
        return CoActivation(self.store, self.settings)

    def consolidation(self) -> Consolidation:
        """Return a new consolidation processor."""
        return Consolidation(self.store, ExtractiveDistiller(), conversation_ends(self.log))

    def pump(self, processor: Processor, **options: Any) -> Pump:
        """Return a new pump over the watched log and store, which does not wait before it tries again."""
        return Pump(
            cast("Log", WatchedLog(self.log, self.watch)),
            cast("MemoryStore", WatchedStore(self.store, self.watch)),
            processor,
            **{"backoff": AT_ONCE, **options},
        )

    async def append(self, *events: Event) -> None:
        """Append events, past the watch."""
        await self.log.append([record(one) for one in events])

    async def ends(self) -> dict[TopicPartition, int]:
        """Return the end of every partition."""
        return await self.log.end_offsets([p for spec in TOPICS for p in await self.log.partitions(spec.name)])

    async def settle(self, **options: Any) -> None:
        """Drive new processors, one after the other, until nothing more follows from the log."""
        processors: list[Processor] = [self.encoding(), self.coactivation(), self.consolidation()]
        pumps = [self.pump(processor, **options) for processor in processors]
        ends: dict[TopicPartition, int] = {}
        while (now := await self.ends()) != ends:
            ends = now
            for pump in pumps:
                await pump.run(until=ends)
        for pump in pumps:
            self.counts.update(pump.counts)

    @asynccontextmanager
    async def beside(self, place: Path) -> AsyncIterator[Machine]:
        """Open a machine with the same log and an empty store of its own."""
        store = await EdgeStore.open(place, dimension=self.embedder.dimension)
        try:
            yield Machine(self.log, store, self.settings, self.embedder)
        finally:
            await store.close()

    async def digest(self) -> str:
        """Return the digest of the store."""
        return (await digest(self.store)).digest

    async def records(self, topic: str) -> list[Record]:
        """Return every record of a topic, partition by partition."""
        return [one for at in await self.log.partitions(topic) for one in await self.log.read(at, 0, limit=100_000)]


@asynccontextmanager
async def machine(
    place: Path,
    *,
    settings: Settings = SETTINGS,
    embedder: Embedder | None = None,
    name: str = "store",
    topics: Sequence[TopicSpec] = TOPICS,
) -> AsyncIterator[Machine]:
    """Open a log and a store in a directory, or make them there."""
    embedder = embedder or wordllama()
    clock = iter(range(1_750_000_000_000, 1_760_000_000_000))
    log = await SqliteLog.open(place / "log.sqlite", topics, lambda: next(clock))
    try:
        store = await EdgeStore.open(place / name, dimension=embedder.dimension)
        try:
            yield Machine(log, store, settings, embedder)
        finally:
            await store.close()
    finally:
        await log.close()
