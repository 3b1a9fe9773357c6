"""`Backing`: what a memory works on, be it a home of this machine or a fleet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from helamem.processors.embedder.port import Embedder
from helamem.processors.store.port import MemoryStore
from helamem.schemas.records import TopicPartition
from helamem.schemas.settings import Settings
from helamem.streams.log.port import Log
from helamem.streams.metrics.registry import Metrics
from helamem.streams.tracing.untraced import Untraced


class Backing(Protocol):
    """A log, and the store that somebody makes of it."""

    @property
    def log(self) -> Log:
        """The truth; it seals what is to be sealed."""
        ...

    @property
    def store(self) -> MemoryStore:
        """The projection."""
        ...

    @property
    def embedder(self) -> Embedder:
        """What gives vectors of questions."""
        ...

    @property
    def settings(self) -> Settings:
        """In force in the log."""
        ...

    @property
    def metrics(self) -> Metrics | None:
        """Where what is done is counted, or None."""
        ...

    @property
    def tracing(self) -> Untraced:
        """What makes spans of it."""
        ...

    @property
    def keys_path(self) -> Path | None:
        """Directory of the keys that open sealed words; it may not exist. None: there are none."""
        ...

    @property
    def sole_writer(self) -> bool:
        """Whether nobody else appends to the log."""
        ...

    async def ends(self) -> dict[TopicPartition, int]:
        """Return the end of every partition of the log."""
        ...

    async def encoded(self, ends: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """Wait until encoding has come to these offsets (exclusive); return whether that was within the time."""
        ...

    async def appended(self, after: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """Wait until some partition goes beyond these offsets; return whether that was within the time."""
        ...

    async def close(self) -> None:
        """Release everything; what was acknowledged is durable already."""
        ...
