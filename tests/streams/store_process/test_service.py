"""What happens without anybody asking: the store is optimised when it is quiet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from contracts.store_contract import DIMENSION, memory
from helamem.processors.store.lexical import Lexical
from helamem.processors.store.port import Writes
from helamem.processors.store.prepared import prepared
from helamem.streams.metrics import Metrics
from helamem.streams.metrics.catalogue import STORE_SECONDS
from helamem.streams.store_process import protocol as p
from helamem.streams.store_process.pages import PagedStore
from helamem.streams.store_process.service import Service


@pytest.fixture
async def paged(home: Path) -> AsyncIterator[PagedStore]:
    opened = await PagedStore.open(home, dimension=DIMENSION)
    yield opened
    await opened.close()


async def until(what: Callable[[], object]) -> None:
    while not what():  # noqa: ASYNC110 - nothing is told when it is so
        await asyncio.sleep(0.001)


async def test_enough_new_memories_and_a_quiet_moment(paged: PagedStore) -> None:
    """It optimises once, flushes that too, and again only when there is as much again."""
    service = Service(paged, pytest.fail, optimize_after=10, quiet_s=0.001)
    idling = asyncio.create_task(service.optimize_when_idle())
    await service.perform(p.Write(Writes(memories=tuple(memory(n) for n in range(9)))))
    await asyncio.sleep(0.02)
    assert service.counts["optimizations"] == 0
    await service.perform(p.Write(Writes(memories=(memory(9),))))
    await until(lambda: service.counts["optimizations"] == service.counts["flushes"] == 1)
    await service.perform(p.Write(Writes(memories=tuple(memory(n) for n in range(10, 20)))))
    await until(lambda: service.counts["optimizations"] == 2)
    idling.cancel()


async def test_memories_that_came_prepared_count_as_a_write(paged: PagedStore) -> None:
    """Metrics have the calls of the port, whatever these are on their way."""
    metrics = Metrics()
    service = Service(paged, pytest.fail, metrics=metrics)
    await service.perform(p.Write(Writes(memories=(memory(1),))))
    await service.perform(p.Insert((prepared(memory(2), Lexical("english")),)))
    assert metrics.value(STORE_SECONDS, call="write") == 2
    assert service.counts["memories"] == 2


async def test_a_disk_without_room_is_said_and_stops_nothing(
    paged: PagedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can wait: searches are slower without, and writes are told by themselves."""
    said: list[str] = []
    service = Service(paged, said.append, optimize_after=1, quiet_s=0.001)
    await service.perform(p.Write(Writes(memories=(memory(1),))))
    monkeypatch.setattr(paged._writer._room, "_reserve_bytes", 2**60)
    idling = asyncio.create_task(service.optimize_when_idle())
    await until(lambda: said)
    assert "the store is not optimised for now: the disk that holds the store" in said[0]
    monkeypatch.undo()
    assert p.decode_page(await service.perform(p.Scan("turns", None, None))).cursor is None
    idling.cancel()
