"""Homes with a store process; in memory where there is room, since a new store takes 190 MB."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from helamem.schemas.errors import RetryLater
from helamem.streams.store_process.client import RemoteStore
from streams.store_process.process import StoreProcess

_MEMORY = Path("/dev/shm")  # noqa: S108 - the directory made in it has a name of its own
_NEEDED_BYTES = 4 * 1024**3


@pytest.fixture
def home() -> Iterator[Path]:
    """Where a home may be made."""
    with TemporaryDirectory(prefix="helamem-test-", dir=_MEMORY if _has_room() else None) as directory:
        yield Path(directory) / "home"


@pytest.fixture
def process(home: Path) -> Iterator[StoreProcess]:
    """A store process that serves."""
    running = StoreProcess(home)
    running.start()
    yield running
    running.kill()


@pytest.fixture
async def stores() -> AsyncIterator[list[RemoteStore]]:
    """Every store that a test opens; they are closed in the end, before the process."""
    opened: list[RemoteStore] = []
    yield opened
    for store in opened:
        try:
            await store.close()
        except RetryLater:
            continue  # the test has killed the process


@pytest.fixture
async def store(process: StoreProcess, stores: list[RemoteStore]) -> RemoteStore:
    """A client of the process."""
    stores.append(await process.connect())
    return stores[-1]


def _has_room() -> bool:
    if not os.access(_MEMORY, os.W_OK):
        return False
    disk = os.statvfs(_MEMORY)
    return disk.f_bavail * disk.f_frsize > _NEEDED_BYTES
