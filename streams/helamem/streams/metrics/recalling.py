"""`RecallMeter`: how long recalls take, and in which of their stages."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from helamem.processors.embedder.port import Embedder
from helamem.processors.store.port import MemoryStore
from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.measured_embedder import MeasuredEmbedder
from helamem.streams.metrics.measured_store import MeasuredStore
from helamem.streams.metrics.registry import Metrics

STAGES: Mapping[str, str] = {
    "search-memories": "search",
    "search-facts": "search",
    "score-memories": "score",
    "edge-rows": "edges",
}
"""Stages of a recall by calls of the store; all others only read."""


class RecallMeter:
    """Measures the recalls of one library instance.

    Stages add up the calls of one recall. Where the store answers searches for memories and facts side by side, they
    may come to more than the total.

    Args:
        metrics: Where it is counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        for stage in ("total", *c.RECALL_STAGES):
            metrics.observe(c.RECALL_SECONDS, stage=stage)
        self._stages: ContextVar[defaultdict[str, float] | None] = ContextVar("stages of a recall", default=None)

    def store(self, store: MemoryStore) -> MemoryStore:
        """Return the store that recalls ask, measured."""
        return MeasuredStore(store, self._metrics, lambda call, seconds: self.took(STAGES.get(call, "read"), seconds))

    def embedder(self, embedder: Embedder) -> Embedder:
        """Return the embedder that recalls ask, measured."""
        return MeasuredEmbedder(embedder, lambda _, seconds: self.took("embed", seconds))

    def took(self, stage: str, seconds: float) -> None:
        """Add to a stage of the recall under way."""
        stages = self._stages.get()
        if stages is not None:
            stages[stage] += seconds

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Measure what is done as a stage of the recall under way."""
        begin = time.perf_counter()
        yield
        self.took(stage, time.perf_counter() - begin)

    @contextmanager
    def recall(self) -> Iterator[None]:
        """Measure one recall; one that fails is not counted."""
        stages: defaultdict[str, float] = defaultdict(float)
        token = self._stages.set(stages)
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._stages.reset(token)
        self._metrics.observe(c.RECALL_SECONDS, time.perf_counter() - begin, stage="total")
        for stage, seconds in stages.items():
            self._metrics.observe(c.RECALL_SECONDS, seconds, stage=stage)
