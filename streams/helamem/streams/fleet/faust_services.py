"""Services of a worker: what runs beside the agents and is ended with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from mode import Service

Run = Callable[[asyncio.Event], Awaitable[None]]
"""Runs until the event is set, and ends soon after."""


class RunService(Service):
    """One `run(stop)` under Faust's supervision: when it fails for good, or ends unasked, so does the process.

    Args:
        run: What runs. It retries by itself what can be retried.
        name: For people: log lines and task names.
        drain_s: How long it may take to end; after that it is cancelled.
    """

    def __init__(self, run: Run, *, name: str, drain_s: float) -> None:
        super().__init__()
        self._run = run
        self._name = name
        self._drain_s = drain_s
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def on_start(self) -> None:
        """Start it in a task of its own: Faust would cancel one of its own at once when it stops."""
        self._running = asyncio.create_task(self._supervised(), name=self._name)

    async def on_stop(self) -> None:
        """Ask it to end and wait for it, within the bound."""
        self._stop.set()
        running = self._running
        if running is None or running is asyncio.current_task():
            return
        _, late = await asyncio.wait({running}, timeout=self._drain_s)
        if late:
            self.log.error("%s did not end within %.0f s and is cancelled", self._name, self._drain_s)
            running.cancel()
            await asyncio.wait({running}, timeout=self._drain_s)

    async def _supervised(self) -> None:
        try:
            await self._run(self._stop)
        except Exception as error:  # noqa: BLE001 - whatever it is, the process must not live on without it
            await self._fail(error)
        else:
            if not self._stop.is_set():
                await self._fail(RuntimeError(f"{self._name} ended although nobody had asked it to"))

    async def _fail(self, error: Exception) -> None:
        self.log.critical("%s failed for good, so this worker ends: %s", self._name, error)
        await self.crash(error)

    @property
    def label(self) -> str:
        """What Faust's own log lines call it."""
        return self._name
