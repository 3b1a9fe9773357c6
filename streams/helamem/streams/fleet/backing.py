"""`FleetBacking`: the fleet's log and store, for whoever appends and asks and leaves the processing to workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from helamem.processors.embedder.choose import choose_embedder
from helamem.processors.embedder.port import Embedder
from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.processors.store.port import MemoryStore
from helamem.schemas.errors import RetryLater
from helamem.schemas.records import TopicPartition
from helamem.schemas.settings import Settings
from helamem.schemas.topics import TOPICS
from helamem.streams.config import Config
from helamem.streams.fleet.worker import agreed_settings, open_store
from helamem.streams.lately import Lately
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.port import Log
from helamem.streams.metrics.measured_log import MeasuredLog
from helamem.streams.metrics.registry import Metrics
from helamem.streams.sealing.fleet import fleet_sealing
from helamem.streams.tracing.untraced import UNTRACED, Untraced

LOOK_AGAIN_S = 0.05
"""How often whoever waits for workers looks at their checkpoints; all who wait look together."""
FOLLOW_S = 0.2
"""How often whoever follows the log looks at its ends; likewise."""


class FleetBacking:
    """A `Backing` over Kafka and the store that workers fill; made by `fleet_backing`.

    Args:
        log: The fleet's; it seals what is appended.
        store: The fleet's.
        embedder: What gives vectors of questions.
        settings: In force in the log.
        keys_path: Directory of the keys that open sealed words, or None where there are none.
        metrics: Where what it does is counted, or None.
        tracing: What makes spans of it.
    """

    sole_writer = False

    def __init__(
        self,
        log: Log,
        store: MemoryStore,
        embedder: Embedder,
        settings: Settings,
        *,
        keys_path: Path | None = None,
        metrics: Metrics | None = None,
        tracing: Untraced = UNTRACED,
    ) -> None:
        self.log = log
        self.store = store
        self.embedder = embedder
        self.settings = settings
        self.keys_path = keys_path
        self.metrics = metrics
        self.tracing = tracing
        self._encoded = Lately(self._look_at_checkpoints, LOOK_AGAIN_S)
        self._ends = Lately(self.ends, FOLLOW_S)

    async def ends(self) -> dict[TopicPartition, int]:
        """Return the end of every partition of the log."""
        return await self.log.end_offsets([p for spec in TOPICS for p in await self.log.partitions(spec.name)])

    async def encoded(self, ends: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """Wait until workers have encoded up to these offsets (exclusive); return whether that was within the time.

        A store that is away meanwhile is waited for.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while True:
                    with suppress(RetryLater):
                        done = await self._encoded.get()
                        if all(done.get(at, 0) >= end for at, end in ends.items()):
                            return True
                    await asyncio.sleep(LOOK_AGAIN_S)
        return False

    async def appended(self, after: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """Wait until some partition goes beyond these offsets; return whether that was within the time.

        All who follow the log look at its ends together: hundreds of them may, and a fetch each would take a
        connection each.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while True:
                    with suppress(RetryLater):
                        ends = await self._ends.get()
                        if any(ends[at] > offset for at, offset in after.items()):
                            return True
                    await asyncio.sleep(FOLLOW_S)
        return False

    async def close(self) -> None:
        """Do nothing: log and store belong to whoever opened them."""

    async def _look_at_checkpoints(self) -> dict[TopicPartition, int]:
        return {at: one.position.offset for at, one in (await self.store.load_checkpoints(ENCODING)).items()}


@asynccontextmanager
async def fleet_backing(
    config: Config, *, metrics: Metrics | None = None, tracing: Untraced = UNTRACED
) -> AsyncIterator[FleetBacking]:
    """Open log and store of the fleet that the configuration names.

    Raises:
        RetryLater: Kafka or the store is away.
        ConfigurationError: Topics or settings are missing, or the configuration disagrees with the log.
    """
    embedder = choose_embedder(config.embedder)
    sealing = fleet_sealing(config)
    async with (
        await KafkaLog.open(config.kafka(), TOPICS) as opened,
        open_store(config, embedder, pinned=False) as store,
    ):
        log = sealing.sealing(opened)
        settings = await agreed_settings(log, store, embedder, "this gateway")
        yield FleetBacking(
            log if metrics is None else MeasuredLog(log, metrics),
            store,
            embedder,
            settings,
            keys_path=config.keys,
            metrics=metrics,
            tracing=tracing,
        )
