"""A gateway in this process: the whole application over a real home, without a socket between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fakes.directories import directory
from fakes.machine import SETTINGS
from fakes.words import wordllama
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.gateway.app import build_app
from helamem.streams.gateway.keys import Keys
from helamem.streams.gateway.service import Service
from helamem.streams.metrics import Metrics
from helamem.streams.metrics.server import Health
from streams.gateway.asking import Gateway


@pytest.fixture
def home() -> Iterator[Path]:
    with directory() as path:
        yield path / "home"


@pytest.fixture
async def gateway(home: Path) -> AsyncIterator[Gateway]:
    """A gateway whose home is processed as it grows, on loopback and without keys."""
    metrics = Metrics()
    async with await AsyncMemory.open(home, settings=SETTINGS, embedder=wordllama(), metrics=metrics) as memory:
        service = Service(
            memory, keys=Keys(home), metrics=metrics, health=Health(metrics), open_door=True, follows=True
        )
        service.health.set_ready(ready=True)
        running = asyncio.create_task(memory.run())
        async with Gateway(build_app(service), service, memory, home, running) as opened:
            yield opened
        memory.stop()
        await running
