"""One gateway in a process of its own for all tests of a module, and what stands between it and its clients."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from client.faults import Faults, between
from client.gateway import serving
from fakes.directories import directory
from fakes.machine import SETTINGS
from fakes.words import wordllama
from helamem.streams.async_memory import AsyncMemory


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where a gateway answers; a few reinforcements form a hub in its home."""
    with directory() as place:
        home = place / "home"

        async def made() -> None:
            async with await AsyncMemory.open(home, settings=SETTINGS, embedder=wordllama()):
                pass

        asyncio.run(made())
        with serving(home) as url:
            yield url


@pytest.fixture
def faults(address: str) -> Iterator[Faults]:
    """A server before the gateway, whose answers get lost as a test wants."""
    with between(address) as standing:
        yield standing
