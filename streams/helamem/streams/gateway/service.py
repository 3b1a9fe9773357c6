"""`Service`: the memory that a gateway answers from, and everything else that its endpoints share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from helamem.schemas.errors import RetryLater
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.gateway.keys import Keys
from helamem.streams.metrics.registry import Metrics
from helamem.streams.metrics.server import Health


class Service:
    """What endpoints share.

    Args:
        memory: What answers.
        keys: Who may ask, or None where anybody on this machine may.
        metrics: Where requests are counted.
        health: Whether the process lives and is ready.
        follows: Whether this process makes appended messages searchable.
    """

    def __init__(
        self, memory: AsyncMemory, *, keys: Keys, metrics: Metrics, health: Health, open_door: bool, follows: bool
    ) -> None:
        self.keys = keys
        self.metrics = metrics
        self.health = health
        self.open_door = open_door
        self.follows = follows
        self.ending = asyncio.Event()
        """Set when the gateway stops: what would go on for ever ends."""
        self._memory: AsyncMemory | None = memory
        self._away = ""

    @contextmanager
    def memory(self) -> Iterator[AsyncMemory]:
        """Give the memory for one request.

        Raises:
            RetryLater: It is closed for a while.
        """
        if self._memory is None:
            raise RetryLater(self._away)
        yield self._memory


def service_of(request: Request) -> Service:
    """Return the service that a request is for."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service
