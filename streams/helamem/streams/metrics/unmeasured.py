"""`Unmeasured`: what stands for a `PumpMeter` where nothing is counted."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a store process needs none of it, and a replay waits until its child has loaded its modules
    from helamem.processors.consolidation.llm.watch import Watch
    from helamem.processors.embedder.port import AsyncEmbedder, Embedder
    from helamem.processors.port import Processor
    from helamem.processors.store.port import MemoryStore
    from helamem.schemas.errors import RetryLater
    from helamem.schemas.records import TopicPartition
    from helamem.streams.log.port import Log
    from helamem.streams.metrics.catalogue import Metric
    from helamem.streams.pump import Progress


class Uncounted:
    """Takes what is measured, as `Metrics` does, where only the time of it is wanted."""

    def add(self, metric: Metric, amount: float = 1, **labels: str) -> None:
        """Count nothing."""

    def shift(self, metric: Metric, amount: float, **labels: str) -> None:
        """Count nothing."""

    def observe(self, metric: Metric, *observed: float, **labels: str) -> None:
        """Count nothing."""


class Unmeasured:
    """A meter that counts nothing and leaves everything as it is."""

    def processor(self, processor: Processor) -> Processor:
        """Return the processor."""
        return processor

    def store(self, store: MemoryStore) -> MemoryStore:
        """Return the store."""
        return store

    def log(self, log: Log) -> Log:
        """Return the log."""
        return log

    def asking(self, embedder: Embedder | AsyncEmbedder) -> Embedder | AsyncEmbedder:
        """Return the embedder."""
        return embedder

    def distilling(self) -> Watch | None:
        """Return what a distiller that asks a model tells, or None."""
        return None

    def computing(self, embedder: Embedder) -> Embedder:
        """Return the embedder."""
        return embedder

    def noting(self, on_progress: Callable[[Progress], None]) -> Callable[[Progress], None]:
        """Return the callback."""
        return on_progress

    def noting_retries(self, on_retry: Callable[[RetryLater], None]) -> Callable[[RetryLater], None]:
        """Return the callback."""
        return on_retry

    def note_assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Count nothing."""
