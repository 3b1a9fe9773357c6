"""One flush for all who wait for one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def at_once() -> None:
    """Wait for nobody."""


class GroupCommit:
    """Shares flushes among those who ask at the same time.

    A flush covers what was written before it began. So whoever asks while none has begun shares the next one, and
    whoever asks while one is under way gets the one after it: what he wrote may have come too late for the first.

    Args:
        flush: Makes durable all that was written before it is called.
        gather: Waits a moment for others who are about to ask, before a flush begins.
    """

    def __init__(self, flush: Callable[[], Awaitable[None]], gather: Callable[[], Awaitable[None]] = at_once) -> None:
        self._flush = flush
        self._gather = gather
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None

    async def flush(self) -> None:
        """Return once everything that was written before this call is durable."""
        if self._next is None:
            self._next = asyncio.create_task(self._run())
        # One who goes away must not take the flush with him that others wait for.
        await asyncio.shield(self._next)

    async def _run(self) -> None:
        async with self._one_at_a_time:
            await self._gather()
            self._next = None
            await self._flush()
