"""One flush for all who wait for one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

GATHER_STEPS, GATHER_STEP_S = 25, 0.001
"""How long a flush waits at most for those who are writing: it costs some fifty syncs, however little there is."""
CALM_S = 0.003
"""Where nobody wrote for so long, nobody is about to ask for a flush."""


class GroupCommit:
    """Shares flushes among those who ask at the same time.

    A flush covers what was written before it began. So whoever asks while none has begun shares the next one, and
    whoever asks while one is under way gets the one after it: what he wrote may have come too late for the first.
    Before a flush begins it waits a moment for who is writing: he asks for one next.

    Args:
        flush: Makes durable all that was written before it is called.
    """

    def __init__(self, flush: Callable[[], Awaitable[None]]) -> None:
        self._flush = flush
        self._writers = 0
        self._wrote_s = -CALM_S
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._all: set[asyncio.Task[None]] = set()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Say that somebody writes, who is to ask for a flush."""
        self._writers += 1
        try:
            yield
        finally:
            self._writers -= 1
            self._wrote_s = time.monotonic()

    async def flush(self) -> None:
        """Return once everything that was written before this call is durable."""
        if self._next is None:
            self._next = asyncio.create_task(self._run())
            self._all.add(self._next)
            self._next.add_done_callback(self._all.discard)
        # One who goes away must not take the flush with him that others wait for.
        await asyncio.shield(self._next)

    async def rest(self) -> None:
        """Return once no flush is under way or about to begin: whoever asked may have gone away before it did."""
        await asyncio.gather(*self._all, return_exceptions=True)

    async def _run(self) -> None:
        async with self._one_at_a_time:
            await self._gather()
            self._next = None
            await self._flush()

    async def _gather(self) -> None:
        for _ in range(GATHER_STEPS):
            if not self._writers and time.monotonic() - self._wrote_s >= CALM_S:
                return
            await asyncio.sleep(GATHER_STEP_S)
