"""Batches that begin at ticks: what is hot is written once for many records."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fakes.directories import directory
from fakes.events import recalled
from fakes.machine import Machine, machine
from helamem.schemas.records import Record
from helamem.streams.pump import Pump

EVER_S = 3600.0
PROMPTLY_S = 30.0


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@pytest.fixture
async def one(place: Path) -> AsyncIterator[Machine]:
    async with machine(place) as opened:
        yield opened


@asynccontextmanager
async def following(pump: Pump) -> AsyncIterator[None]:
    """Let a pump follow the log, and stop it in the end."""
    running = asyncio.create_task(pump.run())
    try:
        yield
    finally:
        pump.stop()
        await asyncio.wait_for(running, PROMPTLY_S)


async def processed(pump: Pump, count: int) -> None:
    async with asyncio.timeout(PROMPTLY_S):
        while pump.counts["processed"] < count:  # noqa: ASYNC110 - a pump tells nobody
            await asyncio.sleep(0.005)


async def test_a_hot_row_is_written_once_an_interval(one: Machine, place: Path) -> None:
    """Recalls of the same memories come one by one; the edges are those of one record after the other."""
    interval_s = 0.2
    pump = one.pump(one.coactivation(), interval_s=interval_s)
    begin = time.monotonic()
    async with following(pump):
        for number in range(40):
            await one.append(recalled(f"e{number}", ["m0", "m1", "m2"]))
            await asyncio.sleep(0.01)
        await processed(pump, 40)
    writes = one.watch.names.count("write")
    assert 1 < writes <= (time.monotonic() - begin) / interval_s + 1
    async with one.beside(place / "again") as again:
        await again.pump(again.coactivation(), batch_records=1).run(until=await one.ends())
        assert again.watch.names.count("write") == 40
        assert await again.digest() == await one.digest()


async def test_whoever_is_behind_does_not_wait(one: Machine) -> None:
    """After a full batch the next one begins at once; of the first record after a rest nobody waits either."""
    await one.append(*(recalled(f"e{number}", ["m0", "m1"]) for number in range(6)))
    pump = one.pump(one.coactivation(), interval_s=EVER_S, batch_records=2)
    async with following(pump):
        await processed(pump, 6)
        await one.append(recalled("later", ["m0", "m1"]))
        await processed(pump, 7)


async def test_short_reads_are_no_tail(one: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log may give fewer records than were asked for, as Kafka does; whoever is behind does not wait for that."""
    read = one.log.read

    async def short(*args: Any, limit: int, **options: Any) -> list[Record]:
        return await read(*args, limit=min(limit, 2), **options)

    await one.append(*(recalled(f"e{number}", ["m0", "m1"]) for number in range(8)))
    pump = one.pump(one.coactivation(), interval_s=EVER_S, batch_records=4)
    monkeypatch.setattr(pump._log, "read", short)
    async with following(pump):
        await processed(pump, 6)


async def test_a_stop_ends_the_wait(one: Machine) -> None:
    """What waits for its turn is left for the next run, which between two positions waits for nothing."""
    pump = one.pump(one.coactivation(), interval_s=EVER_S)
    async with following(pump):
        await one.append(recalled("first", ["m0", "m1"]))
        await processed(pump, 1)
        await one.append(recalled("second", ["m0", "m1"]))
        await asyncio.sleep(0.05)
    assert pump.counts["processed"] == 1
    pump.resume()
    await pump.run(until=await one.ends())
    assert pump.counts["processed"] == 2


async def test_ticks_are_the_same_for_all(one: Machine) -> None:
    """Whoever begins in the same interval waits for the same end of it, so that they share a flush."""
    first, second = (one.pump(one.coactivation(), interval_s=interval_s) for interval_s in (0.25, 0.25))
    assert first._next_tick_s() % 0.25 == second._next_tick_s() % 0.25 == 0
    assert 0 < first._next_tick_s() - time.monotonic() <= 0.25
