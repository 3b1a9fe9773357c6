"""A gateway in this process: the whole application over a real home, without a socket between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fakes.directories import directory
from fakes.machine import SETTINGS
from fakes.words import wordllama
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.gateway.app import build_app
from helamem.streams.gateway.held import Held
from helamem.streams.gateway.home_behind import HomeBehind
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

    @asynccontextmanager
    async def memory() -> AsyncIterator[AsyncMemory]:
        known = None if (home / "home.json").exists() else SETTINGS
        async with await AsyncMemory.open(home, settings=known, embedder=wordllama(), metrics=metrics) as opened:
            yield opened

    held = Held(memory, follows=True)
    behind = HomeBehind(home, held)
    service = Service(behind, keys=Keys(home), metrics=metrics, health=Health(metrics), open_door=True)
    service.health.set_ready(ready=True)
    async with held.running(), Gateway(build_app(service), service, behind) as gateway:
        yield gateway
