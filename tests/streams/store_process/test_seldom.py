"""A store whose flushes and checkpoints are put off keeps their order."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.store_contract import DIMENSION, checkpoint, memory
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
