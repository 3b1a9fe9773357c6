"""A store whose flushes and checkpoints are put off keeps their order."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from contracts.store_contract import DIMENSION, A, checkpoint, memory, row
from helamem.processors.coactivation.processor import GROUP as CO_ACTIVATION
from helamem.processors.store.port import Checkpoint, Writes
from helamem.streams.store_process.client import RemoteStore
from helamem.streams.store_process.seldom import SeldomFlushed
from streams.store_process.process import StoreProcess


@pytest.fixture
async def seldom(home: Path, process: StoreProcess, stores: list[RemoteStore]) -> SeldomFlushed:
    assert process.home == home
    opened = await SeldomFlushed.open(home, dimension=DIMENSION)
    stores.append(opened)
    return opened


@pytest.fixture
def durable(monkeypatch: pytest.MonkeyPatch) -> list[str | bytes]:
    """What was made durable, in order: `flush`, and the states of checkpoints."""
    done: list[str | bytes] = []
    flush, save = RemoteStore.flush, RemoteStore.save_checkpoint

    async def flushing(store: RemoteStore) -> None:
        await flush(store)
        done.append("flush")

    async def saving(store: RemoteStore, one: Checkpoint) -> None:
        await save(store, one)
        done.append(one.state)

    monkeypatch.setattr(RemoteStore, "flush", flushing)
    monkeypatch.setattr(RemoteStore, "save_checkpoint", saving)
    return done


async def batch(store: SeldomFlushed, number: int) -> None:
    """Do what a pump does with a batch, in its order."""
    await store.write(Writes(memories=(memory(number),)))
    await store.flush()
    await store.save_checkpoint(checkpoint(b"%d" % number, number, number % 2))


async def test_nothing_is_durable_before_there_is_much(
    seldom: SeldomFlushed, durable: list[str | bytes], store: RemoteStore
) -> None:
    """What was written can be read at once; checkpoints that are put off are known to who saved them alone."""
    for number in range(6):
        await batch(seldom, number)
    assert durable == []
    assert len(await store.turns("acme/anna", [memory(n).turn.id for n in range(6)])) == 6
    assert await store.load_checkpoints("coactivation") == {}
    assert {one.state for one in (await seldom.load_checkpoints("coactivation")).values()} == {b"4", b"5"}
    await seldom.settle()
    assert durable == ["flush", b"4", b"5"], "of each partition the last one, behind what it covers"
    assert {one.state for one in (await store.load_checkpoints("coactivation")).values()} == {b"4", b"5"}
    await seldom.settle()
    assert durable[3:] == ["flush"]


async def test_much_is_made_durable_on_the_way(
    seldom: SeldomFlushed, durable: list[str | bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush covers the checkpoints of before; the newest has to wait for the next one."""
    monkeypatch.setattr("helamem.streams.store_process.seldom.SETTLE_BYTES", 1)
    for number in range(3):
        await batch(seldom, number)
    assert durable == ["flush", "flush", b"0", "flush", b"1"]
    await seldom.close()
    assert durable[5:] == ["flush", b"2"]


async def test_a_row_of_edges_is_held_back_and_written_once(
    seldom: SeldomFlushed, store: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever folds reads the newest; what says how far the fold has come waits for its rows, and nothing else does."""
    monkeypatch.setattr("helamem.streams.store_process.seldom.SETTLE_BYTES", 1)
    id_ = memory(0).turn.id
    for offset in (3, 4):
        await seldom.write(Writes(edges=(row(memory(0), offset, b"%d" % offset),)))
        await seldom.flush()
        await seldom.save_checkpoint(replace(checkpoint(b"%d" % offset, offset), group=CO_ACTIVATION))
    await batch(seldom, 0)
    await batch(seldom, 1)
    assert (await seldom.edge_rows(A, [id_, memory(1).turn.id]))[id_].neighbours == b"4"
    assert await store.edge_rows(A, [id_]) == {}
    assert await store.load_checkpoints(CO_ACTIVATION) == {}
    assert await store.load_checkpoints("coactivation") != {}
    await seldom.settle()
    assert (await store.edge_rows(A, [id_]))[id_].neighbours == b"4"
    assert [one.state for one in (await store.load_checkpoints(CO_ACTIVATION)).values()] == [b"4"]
    assert (await seldom.edge_rows(A, [id_]))[id_].neighbours == b"4"


async def test_only_so_many_rows_are_held_back(
    seldom: SeldomFlushed, store: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then all are written, in pieces, and a checkpoint that covers them can be saved with the next ones."""
    monkeypatch.setattr("helamem.streams.store_process.seldom.MANY_ROWS", 3)
    monkeypatch.setattr("helamem.streams.store_process.seldom._ROWS_AT_ONCE", 2)
    ids = [memory(number).turn.id for number in range(3)]
    for number in range(3):
        assert await store.edge_rows(A, ids) == {}
        await seldom.write(Writes(edges=(row(memory(number), number),)))
        await seldom.flush()
        await seldom.save_checkpoint(replace(checkpoint(b"%d" % number, number), group=CO_ACTIVATION))
    assert (await store.edge_rows(A, ids)).keys() == {*ids}
    assert [one.state for one in (await store.load_checkpoints(CO_ACTIVATION)).values()] == [b"1"]


@pytest.mark.parametrize("fails", [False, True])
async def test_who_has_more_rows_waits_while_some_are_written(
    seldom: SeldomFlushed, store: RemoteStore, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    """They come in less time than they are written in; where the writing fails, who waits writes them himself."""
    for name, value in (("MANY_ROWS", 2), ("MOST_ROWS", 4), ("_ROWS_AT_ONCE", 2)):
        monkeypatch.setattr(f"helamem.streams.store_process.seldom.{name}", value)
    flush, goes_on, failures = RemoteStore.flush, asyncio.Event(), ["the disk is away"] if fails else []

    async def slow(store: RemoteStore) -> None:
        await goes_on.wait()
        if failures:
            raise OSError(failures.pop())
        await flush(store)

    monkeypatch.setattr(RemoteStore, "flush", slow)
    for number in range(2):
        await seldom.write(Writes(edges=(row(memory(number), number),)))
    flushing = asyncio.create_task(seldom.flush())
    await asyncio.sleep(0)  # it has begun with those two
    for number in range(2, 4):
        await seldom.write(Writes(edges=(row(memory(number), number),)))
    one_more = asyncio.create_task(seldom.write(Writes(edges=(row(memory(4), 4),))))
    done, _ = await asyncio.wait({one_more}, timeout=0.1)
    assert not done
    goes_on.set()
    await one_more
    if fails:
        with pytest.raises(OSError, match="the disk is away"):
            await flushing
    await asyncio.gather(flushing, return_exceptions=True)
    ids = [memory(number).turn.id for number in range(5)]
    assert (await store.edge_rows(A, ids)).keys() == {*ids[: 4 if fails else 2]}
    assert (await seldom.edge_rows(A, ids)).keys() == {*ids}


async def test_a_flush_that_fails_saves_no_checkpoint(seldom: SeldomFlushed, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays put off, and goes with the next one that succeeds."""
    await batch(seldom, 0)

    async def failing(_: RemoteStore) -> None:
        raise OSError("the disk is away")

    with monkeypatch.context() as patched:
        patched.setattr(RemoteStore, "flush", failing)
        with pytest.raises(OSError, match="the disk is away"):
            await seldom.settle()
    assert await RemoteStore.load_checkpoints(seldom, "coactivation") == {}
    await seldom.settle()
    assert {one.state for one in (await RemoteStore.load_checkpoints(seldom, "coactivation")).values()} == {b"0"}
