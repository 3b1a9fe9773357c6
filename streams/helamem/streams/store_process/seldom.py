"""A store for bulk work: made durable once in many batches, and the checkpoints with it.

A flush takes as long as a thousand writes, however little there is. A row of edges changes with every recall of its
memory, and is written as a whole each time. Whoever rebuilds a store from the log loses nothing by what comes late:
what a kill takes is folded again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from helamem.processors.coactivation.processor import GROUP as CO_ACTIVATION
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.port import Checkpoint, EdgeRow, Writes
from helamem.schemas.records import TopicPartition
from helamem.streams.store_process.client import TIMEOUT_S, RemoteStore

SETTLE_BYTES = 32 * 1024**2
"""Of writes after which they are made durable: some 15,000 memories, a second or two of work."""
_ROWS_AT_ONCE = 32_768
MANY_ROWS = 262_144
"""Rows of edges that are held back, each of 1 kB at most, before they are written."""
MOST_ROWS = 2 * MANY_ROWS
"""Rows at which whoever has more waits: while some are written others come in, in less time."""


class SeldomFlushed(RemoteStore):
    """A `RemoteStore` whose flushes, checkpoints and rows of edges are put off; made by `SeldomFlushed.open`.

    A checkpoint is saved once all that was written before it is on disk; until then it is only remembered. Whoever is
    done with his work calls `settle`. Rows that are held back are seen by `edge_rows` and not by a scan.
    """

    def __init__(self, home: Path, dimension: int, language: str, timeout_s: float = TIMEOUT_S) -> None:
        super().__init__(home, dimension, language, timeout_s)
        self._pending: dict[tuple[str, TopicPartition], Checkpoint] = {}
        self._rows: dict[tuple[str, str], EdgeRow] = {}
        """By space and memory."""
        self._settling = asyncio.Lock()
        self._let_some_go = asyncio.Event()

    async def write(self, writes: Writes) -> None:
        """Make the writes visible, and hold rows of edges back; wait where there are too many."""
        while writes.edges and len(self._rows) >= MOST_ROWS:
            if self._settling.locked():
                await self._let_some_go.wait()
            else:
                await self.settle()
        self._rows.update({(row.space, row.memory_id): row for row in writes.edges})
        await super().write(replace(writes, edges=()))

    async def edge_rows(self, space: str, memory_ids: Sequence[str]) -> dict[str, EdgeRow]:
        """Return the edge rows of these memories in this space, by memory id."""
        held = {id_: row for id_ in memory_ids if (row := self._rows.get((space, id_))) is not None}
        others = [id_ for id_ in memory_ids if id_ not in held]
        return held | (await super().edge_rows(space, others) if others else {})

    async def flush(self) -> None:
        """Make all that was written durable if that is much and nobody is doing it; put it off otherwise."""
        full = len(self._rows) >= MANY_ROWS
        if (full or self._unflushed.size_bytes >= SETTLE_BYTES) and not self._settling.locked():
            await self._settle(rows=full)

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
            if self._pending or self._rows:
                await self.settle()
        finally:
            await super().close()

    async def settle(self) -> None:
        """Return once all that was written by this client before, and then its checkpoints, are on disk."""
        await self._settle(rows=True)

    async def _settle(self, *, rows: bool) -> None:
        """Make durable what was written, with the rows that are held back or without them and what speaks of them."""
        try:
            async with self._settling:
                ready = [one for one in self._pending.values() if rows or one.group != CO_ACTIVATION]
                if rows:
                    held = list(self._rows.items())
                    for begin in range(0, len(held), _ROWS_AT_ONCE):
                        await self._let_go(held[begin : begin + _ROWS_AT_ONCE])
                await super().flush()
                for checkpoint in ready:
                    await super().save_checkpoint(checkpoint)
                    if self._pending.get((checkpoint.group, checkpoint.partition)) is checkpoint:
                        del self._pending[checkpoint.group, checkpoint.partition]
        finally:
            self._tell_who_waits()

    async def _let_go(self, held: Sequence[tuple[tuple[str, str], EdgeRow]]) -> None:
        """Write rows that were held back, and make them durable: the client keeps a copy of what is not."""
        await super().write(Writes(edges=tuple(row for _, row in held)))
        await super().flush()
        for key, row in held:
            if self._rows[key] is row:  # and not a newer one, which came meanwhile
                del self._rows[key]
        self._tell_who_waits()

    def _tell_who_waits(self) -> None:
        self._let_some_go.set()
        self._let_some_go = asyncio.Event()


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
