"""`Service`: the memory that a gateway answers from, and everything else that its endpoints share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from starlette.requests import Request

from helamem.schemas.errors import RetryLater
from helamem.streams.access.trail import AccessTrail
from helamem.streams.async_memory import Memory
from helamem.streams.gateway.behind import Behind
from helamem.streams.gateway.keys import ApiKey, Keys
from helamem.streams.gateway.quotas import Quotas
from helamem.streams.gateway.served import new_token
from helamem.streams.gateway.token import Token
from helamem.streams.gateway.walks import Walks
from helamem.streams.log.port import Log
from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.registry import Metrics
from helamem.streams.metrics.server import Health

if TYPE_CHECKING:  # it needs helamem[oidc]
    from helamem.streams.gateway.oidc import Oidc

MOST_STREAMS = 256
"""Of events, at a time."""


class Service:
    """What endpoints share.

    Args:
        behind: What it answers for.
        keys: Who may ask.
        metrics: Where requests are counted.
        health: Whether the process lives and is ready.
        open_door: Whether anybody may ask as long as there are no keys: only this machine can.
        oidc: Whose tokens count besides; with it the door is never open.
    """

    def __init__(
        self,
        behind: Behind,
        *,
        keys: Keys,
        metrics: Metrics,
        health: Health,
        open_door: bool,
        oidc: Oidc | None = None,
    ) -> None:
        self.behind = behind
        self.keys = keys
        self.metrics = metrics
        self.health = health
        self.open_door = open_door and oidc is None
        self.oidc = oidc
        self.trail = AccessTrail(self._log, keys)
        """Who asked for what, on its way into the log."""
        self.quotas = Quotas(behind.usage, keys)
        """What tenants have appended today."""
        self.token = new_token()
        """Shown by the owner of the home."""
        self.ending = asyncio.Event()
        """Set when the gateway stops: what would go on for ever ends."""
        self.walks = Walks()
        """Through histories, from page to page."""
        self._streams = 0
        metrics.set(c.HTTP_STREAMS, 0)
        self._rebuilding = asyncio.Lock()

    def memory(self) -> AbstractContextManager[Memory]:
        """Give the memory for one request.

        Raises:
            RetryLater: On entering: it cannot be had now.
        """
        return self.behind.use()

    @property
    def names_callers(self) -> bool:
        """Whether it is asked who comes in."""
        return self.oidc is not None or self.keys.made()

    def holds(self, key: ApiKey | Token) -> bool:
        """Return whether what somebody showed still opens what it did: what goes on for long asks again."""
        return time.time() < key.until_s if isinstance(key, Token) else self.keys.holds(key)

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[None]:
        """Write what is noted of requests as long as the context lasts, and the rest at its end."""
        async with self.trail.running(), self.quotas.running():
            yield

    @contextmanager
    def _log(self) -> Iterator[Log]:
        with self.memory() as memory:
            yield memory.instance.log

    def check_streams(self) -> None:
        """Refuse one more stream of events where there are as many as there may be.

        Raises:
            RetryLater: There are.
        """
        if self._streams >= MOST_STREAMS:
            raise RetryLater(f"{MOST_STREAMS} streams of events are open, which is all that may be; close one")

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Count a stream of events as long as it lasts."""
        self._streams += 1
        self.metrics.set(c.HTTP_STREAMS, self._streams)
        try:
            yield
        finally:
            self._streams -= 1
            self.metrics.set(c.HTTP_STREAMS, self._streams)

    @asynccontextmanager
    async def rebuilding(self) -> AsyncIterator[None]:
        """Do what takes much of the machine, one at a time.

        Raises:
            RetryLater: Somebody else does.
        """
        if self._rebuilding.locked():
            raise RetryLater("another request is just rebuilding a past state; try again when it is done")
        async with self._rebuilding:
            yield


def service_of(request: Request) -> Service:
    """Return the service that a request is for."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service
