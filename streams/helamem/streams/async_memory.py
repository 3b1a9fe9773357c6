"""The library, async: a memory in a directory of this machine. `helamem.streams.embedded` has it without async."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Self

from helamem.processors.consolidation.distiller import Distiller, HubsWait
from helamem.processors.embedder.port import Embedder
from helamem.processors.reranker.port import Reranker
from helamem.schemas.settings import Settings
from helamem.streams.distilling import ModelSettings
from helamem.streams.home import wall_clock_ms
from helamem.streams.instance import Instance
from helamem.streams.links import Link
from helamem.streams.memory import Memory, Recalled
from helamem.streams.messages import Message
from helamem.streams.metrics.registry import Metrics
from helamem.streams.pump import Progress
from helamem.streams.recall_trail import RecallAudit
from helamem.streams.tracing.untraced import UNTRACED, Untraced

__all__ = ["AsyncMemory", "Link", "Memory", "Message", "Recalled"]


class AsyncMemory(Memory):
    """A memory in a home; made by `AsyncMemory.open`, an async context manager.

    Args:
        instance: What works in the home.
        clock: Milliseconds since 1970.
        new_id: Makes ids of recalls and of messages that have none.
        reranker: Puts the best memories of a recall in order, or None.
        recall_audit: Whether answers to recalls wait until their events are in the log.
    """

    instance: Instance

    def __init__(
        self,
        instance: Instance,
        clock: Callable[[], int] = wall_clock_ms,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        *,
        reranker: Reranker | None = None,
        recall_audit: RecallAudit = "strict",
    ) -> None:
        super().__init__(instance, clock, new_id, reranker=reranker, recall_audit=recall_audit)

    @classmethod
    async def open(
        cls,
        home: Path | str,
        *,
        create: bool = True,
        settings: Settings | None = None,
        embedder: Embedder | None = None,
        distiller: Distiller | ModelSettings | None = None,
        metrics: Metrics | None = None,
        tracing: Untraced = UNTRACED,
        reranker: Reranker | None = None,
        recall_audit: RecallAudit = "strict",
    ) -> Self:
        """Open a home, or make it; see `Instance.open` for arguments and errors.

        A `reranker`, such as `OnnxReranker(folder)`, puts the best memories of each recall in order. With
        `recall_audit` relaxed, answers to recalls do not wait until their events are in the log.
        """
        return cls(
            await Instance.open(
                Path(home),
                create=create,
                settings=settings,
                embedder=embedder,
                distiller=distiller,
                metrics=metrics,
                tracing=tracing,
            ),
            reranker=reranker,
            recall_audit=recall_audit,
        )

    async def process(self, on_progress: Callable[[Progress], None] | None = None) -> HubsWait | None:
        """Make everything in the log searchable, fold all recalls, distil all hubs.

        Returns:
            Why hubs had to be left for a later call, since the model that distils is away, or None.
        """
        return await self.instance.process(on_progress)

    async def run(self) -> None:
        """Process the log as it grows, until `stop` is called."""
        await self.instance.follow()

    def stop(self) -> None:
        """End `run`."""
        self.instance.stop()
