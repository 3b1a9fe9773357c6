"""A connection that is there when it is needed, also after the store process was away."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from helamem.schemas.errors import ConfigurationError
from helamem.streams.store_process.wire import Wire


class Link:
    """Opens a `Wire` when first asked, and anew when the last one has failed.

    Args:
        home: Whose store process is meant.
        timeout_s: How long a greeting may take.
        take_up: Called with every new wire before anybody else gets it; where it fails, so does the connection.
    """

    def __init__(self, home: Path, timeout_s: float, take_up: Callable[[Wire], Awaitable[None]]) -> None:
        self._home = home
        self._timeout_s = timeout_s
        self._client = uuid.uuid4().hex
        self._take_up = take_up
        self._opening = asyncio.Lock()
        self._wire: Wire | None = None
        self._closed = False

    async def wire(self) -> Wire:
        """Return a wire that was alive just now.

        Raises:
            RetryLater: Nobody serves the store.
            ConfigurationError: What is served is not what is wanted, or this was closed.
        """
        async with self._opening:
            if self._closed:
                raise ConfigurationError("the store is closed; open it again")
            if self._wire is None or not self._wire.alive:
                wire = await Wire.open(self._home, self._client, self._timeout_s)
                try:
                    await self._take_up(wire)
                except BaseException:
                    await wire.close()
                    raise
                self._wire = wire
            return self._wire

    async def close(self) -> None:
        """End the connection; a second call does nothing."""
        async with self._opening:
            self._closed = True
            if self._wire is not None:
                await self._wire.close()
