"""A store for bulk work: made durable once in many batches, and the checkpoints with it.

A flush takes as long as a thousand writes, however little there is. Whoever rebuilds a store from the log loses nothing
by one that comes late: what a kill takes is folded again.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.port import Checkpoint
from helamem.schemas.records import TopicPartition
from helamem.streams.store_process.client import TIMEOUT_S, RemoteStore

SETTLE_BYTES = 32 * 1024**2
"""Of writes after which they are made durable: some 15,000 memories, a second or two of work."""


class SeldomFlushed(RemoteStore):
    """A `RemoteStore` whose flushes and checkpoints are put off; made by `SeldomFlushed.open`.

    A checkpoint is saved once all that was written before it is on disk; until then it is only remembered. Whoever is
    done with his work calls `settle`.
    """

    def __init__(self, home: Path, dimension: int, language: str, timeout_s: float = TIMEOUT_S) -> None:
        super().__init__(home, dimension, language, timeout_s)
        self._pending: dict[tuple[str, TopicPartition], Checkpoint] = {}
        self._settling = asyncio.Lock()

    async def flush(self) -> None:
        """Make all that was written durable if that is much and nobody is doing it; put it off otherwise."""
        if self._unflushed.size_bytes >= SETTLE_BYTES and not self._settling.locked():
            await self.settle()

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Save a checkpoint with the next writes that are made durable; it covers writes that were asked for before."""
        self._pending[checkpoint.group, checkpoint.partition] = checkpoint

    async def load_checkpoints(self, group: str) -> dict[TopicPartition, Checkpoint]:
        """Return the checkpoints of a processor by partition, those that are put off among them."""
        saved = await super().load_checkpoints(group)
        return saved | {at: one for (of, at), one in self._pending.items() if of == group}

    async def close(self) -> None:
        """Settle and release everything; see `RemoteStore.close`."""
        try:
            if self._pending:
                await self.settle()
        finally:
            await super().close()

    async def settle(self) -> None:
        """Return once all that was written by this client before, and then its checkpoints, are on disk."""
        async with self._settling:
            ready = list(self._pending.values())
            await super().flush()
            for checkpoint in ready:
                await super().save_checkpoint(checkpoint)
                if self._pending.get((checkpoint.group, checkpoint.partition)) is checkpoint:
                    del self._pending[checkpoint.group, checkpoint.partition]


class LateFlushed(EdgeStore):
    """An `EdgeStore` for so little work that it is made durable once, at its end; made by `LateFlushed.open`.

    Whoever is done with his work calls `settle`; where he never does, nothing counts, and all is folded again.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._pending: dict[tuple[str, TopicPartition], Checkpoint] = {}

    async def flush(self) -> None:
        """Put it off."""

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Remember a checkpoint until all that was written before it is on disk."""
        self._pending[checkpoint.group, checkpoint.partition] = checkpoint

    async def load_checkpoints(self, group: str) -> dict[TopicPartition, Checkpoint]:
        """Return the checkpoints of a processor by partition, those that are put off among them."""
        saved = await super().load_checkpoints(group)
        return saved | {at: one for (of, at), one in self._pending.items() if of == group}

    async def settle(self) -> None:
        """Return once all that was written, and then its checkpoints, are on disk."""
        await super().flush()
        for checkpoint in self._pending.values():
            await super().save_checkpoint(checkpoint)
        self._pending.clear()
