"""Co-activation: recalls strengthen the edges between what was recalled together, and form hubs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable

from helamem.processors.coactivation.fold import FormedHub, fold
from helamem.processors.coactivation.reading import known, read
from helamem.processors.coactivation.rowcache import RowCache, RowKey
from helamem.processors.coactivation.state import FoldState
from helamem.processors.port import Batch, Effects
from helamem.processors.store.port import EdgeRow, MemoryStore, Writes
from helamem.schemas.events import ClusterMember, HubFormed
from helamem.schemas.ids import derived_id
from helamem.schemas.records import TopicPartition
from helamem.schemas.settings import Settings
from helamem.schemas.topics import RECALLS, TopicSpec
from helamem.schemas.traceparent import caused
from helamem.schemas.wire import Event

GROUP = "co-activation"
SOURCE = "helamem/co-activation"

BATCH_RECORDS = 8000
"""In a batch that catches up with a log. A row is written once a batch, so the more recalls share it the better; what
holds the memory is the bound of one read in bytes."""

_READS_AT_ONCE = 16


class CoActivation:
    """Fold `memory.recalled` and `memory.reinforced` into rows of edges; implements `Processor`.

    Which event strengthens by how much, and what `settings.applied` puts in force, is decided record by record, so
    the outcome does not depend on where batches begin and end.

    Args:
        store: Where edge rows are read; nothing is written here.
        settings: The configuration, in force until the partition has a `settings.applied`.
        cached_rows: Most rows that are kept between batches, about 1 kB each.
        spaces: Fold only the recalls of these spaces; None folds all.
    """

    def __init__(
        self,
        store: MemoryStore,
        settings: Settings,
        cached_rows: int = 65_536,
        *,
        spaces: Collection[str] | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._spaces = spaces
        self._cache = RowCache(cached_rows)
        self._states: dict[TopicPartition, FoldState] = {}

    @property
    def group(self) -> str:
        """Name under which its progress is kept."""
        return GROUP

    @property
    def topics(self) -> tuple[TopicSpec, ...]:
        """What it reads."""
        return (RECALLS,)

    async def restore(self, partition: TopicPartition, state: bytes | None) -> None:
        """Begin or begin again with a partition; rows are read from the store again.

        Raises:
            ConfigurationError: Another version of helamem wrote the state.
        """
        restored = FoldState(state)
        if restored.settings is not None:
            known(restored.settings)
        self._cache.drop(partition)
        self._states[partition] = restored

    async def process(self, batch: Batch) -> Effects:
        """Return the hubs, the rows (one write for each that changed) and the state after the batch.

        Raises:
            RetryLater: The store is away.
            Poison: A record's event type does not belong to this topic.
            ConfigurationError: The log puts rules in force that this version does not know.
        """
        state = self._states[batch.partition]
        counts: Counter[str] = Counter()
        stretches = read(batch.deliveries, state, self._settings, counts, self._spaces)
        rows = await self._rows(
            batch.partition,
            {(one.space, memory_id): None for _, events in stretches for one in events for memory_id in one.memory_ids},
        )
        changed: set[RowKey] = set()
        hubs: list[FormedHub] = []
        for settings, events in stretches:
            folded = fold(events, rows, settings)
            rows.update(folded.rows)
            changed.update(folded.rows)
            hubs += folded.hubs
            counts["already-folded"] += folded.skipped
            counts["edges-updated"] += folded.updated
            counts["edges-created"] += folded.created
            counts["edges-pruned"] += folded.pruned
        self._cache.store(batch.partition, rows)
        counts["hub-formed"] += len(hubs)
        return Effects(
            events=tuple(map(_hub_event, hubs)),
            writes=Writes(edges=tuple(row for key, row in rows.items() if key in changed)),
            state=state.to_bytes(),
            counts={name: count for name, count in counts.items() if count},
        )

    async def _rows(self, partition: TopicPartition, keys: Iterable[RowKey]) -> dict[RowKey, EdgeRow]:
        """Return the rows that exist, from the cache and with one read for each space from the store."""
        cached = self._cache.rows(partition)
        rows: dict[RowKey, EdgeRow] = {}
        missing: dict[str, list[str]] = {}
        for key in keys:
            row = cached.get(key)
            if row is None:
                missing.setdefault(key[0], []).append(key[1])
            else:
                rows[key] = row
        turnstile = asyncio.Semaphore(_READS_AT_ONCE)

        async def read(space: str, memory_ids: list[str]) -> None:
            async with turnstile:
                found = await self._store.edge_rows(space, memory_ids)
            rows.update({(space, memory_id): row for memory_id, row in found.items()})

        await asyncio.gather(*(read(space, memory_ids) for space, memory_ids in missing.items()))
        return rows


def _hub_event(formed: FormedHub) -> Event:
    cause, hub = formed.cause, formed.hub
    id_ = derived_id("hub", cause.space, cause.event_id, formed.memory_id)
    return Event(
        id=id_,
        source=SOURCE,
        space=cause.space,
        time_ms=cause.time_ms,
        traceparent=caused(cause.traceparent, id_),
        data=HubFormed(
            memory_id=formed.memory_id,
            strength=hub.strength,
            degree=hub.degree,
            cluster=tuple(ClusterMember(memory_id=memory_id, weight=weight) for memory_id, weight in hub.cluster),
            cause=cause.event_id,
            applied=dict(cause.applied),
        ),
    )
