"""Start and end of the store process, and who may be there at the same time."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from tempfile import gettempdir

import pytest

from contracts.store_contract import DIMENSION, A, all_turns, memory
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.port import Writes
from helamem.schemas.errors import BadInput, RetryLater
from helamem.streams.home import Home
from helamem.streams.store_process.client import RemoteStore
from streams.cli.shell import message, run, write_lines
from streams.store_process.process import StoreProcess


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_good_order(
    process: StoreProcess, home: Path, store: RemoteStore, number: signal.Signals
) -> None:
    """It flushes, removes its socket, says what it did, and the store can be opened by somebody else."""
    await store.write(Writes(memories=tuple(memory(n) for n in range(10))))
    process.signal(number)
    ran = await asyncio.to_thread(process.wait)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {"counts": {"connections": 1, "memories": 10, "requests": 1}}
    assert not (home / "store.sock").exists()
    opened = await EdgeStore.open(home / "store", dimension=DIMENSION)
    assert len(await all_turns(opened)) == 10
    await opened.close()


async def test_what_is_under_way_is_finished(process: StoreProcess, store: RemoteStore) -> None:
    """Of writes that are under way at the signal, those that were answered are there, and the rest may be repeated."""
    batches = [Writes(memories=tuple(memory(n + b * 200) for n in range(200))) for b in range(40)]
    writing = [asyncio.create_task(store.write(batch)) for batch in batches]
    await writing[3]
    process.signal(signal.SIGTERM)
    outcomes = await asyncio.gather(*writing, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {type(None), RetryLater}
    assert (await asyncio.to_thread(process.wait)).code == 0
    process.start()
    offsets = {turn.position.offset for turn in await all_turns(store)}
    for number, outcome in enumerate(outcomes):
        if outcome is None:
            assert offsets >= set(range(number * 200, number * 200 + 200))
    for batch in batches:
        await store.write(batch)
    assert len(await all_turns(store)) == 8000


async def test_the_socket_of_a_killed_process_is_replaced(process: StoreProcess, home: Path) -> None:
    """It stays behind, and whoever connects to it is told that nobody serves there."""
    process.kill()
    assert (home / "store.sock").is_socket()
    with pytest.raises(RetryLater, match=r"nobody serves the store of .*; start it with: helamem store --home "):
        await process.connect()
    process.start()
    store = await process.connect()
    await store.close()


def test_a_second_one_is_told_who_is_first(process: StoreProcess, home: Path) -> None:
    """One process owns a store; the other leaves the socket of the first alone."""
    ran = run("store", "--home", home)
    assert (ran.code, ran.out) == (2, "")
    assert f"is being written by process {process.pid} " in ran.err
    assert (home / "store.sock").is_socket()


def test_who_would_write_the_home_meanwhile_is_told_what_serves_it(process: StoreProcess, home: Path) -> None:
    """`run`, `ingest` and the others are refused in one sentence that names the store process; then they work."""
    chat = write_lines(home.parent / "chat.jsonl", message(1, "I moved to Bergen."))
    for arguments in (("run",), ("ingest", chat), ("digest",)):
        ran = run(*arguments, "--home", home)
        assert (ran.code, ran.out) == (2, "")
        assert f"is being written by process {process.pid} (__main__.py store --home {home}" in ran.err
        assert ran.err.count("\n") == 1
    assert process.stop().code == 0


def test_it_is_told_who_writes_the_home_when_it_starts(home: Path) -> None:
    """Whoever holds the home is named, and nothing is made in it."""
    with Home.open(home):
        ran = run("store", "--home", home)
    assert (ran.code, ran.out) == (2, "")
    assert "is being written by process " in ran.err
    assert {file.name for file in home.iterdir()} == {"home.json", "writer.lock"}


async def test_a_store_that_is_there_says_itself_what_it_is_for(process: StoreProcess, home: Path) -> None:
    """No options are needed; others than its own are refused."""
    process.stop()
    again = StoreProcess(home, options=())
    again.start()
    store = await again.connect()
    await store.close()
    assert again.stop().code == 0
    ran = run("store", "--home", home, "--dimension", 64)
    assert (ran.code, ran.out) == (2, "")
    assert "holds vectors of 32 numbers, not of 64" in ran.err
    assert not (home / "store.sock").exists()


async def test_a_new_home_is_for_the_default_embedder(home: Path) -> None:
    """As every command that makes one."""
    process = StoreProcess(home, options=())
    process.start()
    store = await RemoteStore.open(home, dimension=256)
    assert await store.spaces() == {}
    await store.close()
    assert process.stop().code == 0


def modes(*paths: Path) -> list[int]:
    return [path.stat().st_mode & 0o777 for path in paths]


async def test_a_home_whose_path_is_too_long_for_a_socket(home: Path) -> None:
    """The socket lies in a short place that the home names; it goes with the process, or with the next one."""
    deep = home / ("d" * 60) / ("e" * 60)
    process = StoreProcess(deep)
    process.start()
    first = Path((deep / "store.address").read_text())
    assert first.is_relative_to(gettempdir())
    assert modes(first, first.parent) == [0o600, 0o700]
    store = await process.connect()
    await store.write(Writes(memories=(memory(1),)))
    process.kill()
    with pytest.raises(RetryLater, match="nobody serves the store"):
        await store.turns(A, [memory(1).turn.id])
    process.start()
    assert not first.parent.exists()
    assert set(await store.turns(A, [memory(1).turn.id])) == {memory(1).turn.id}
    await store.close()
    second = Path((deep / "store.address").read_text())
    assert process.stop().code == 0
    assert not second.parent.exists()
    assert not (deep / "store.address").exists()


def test_something_else_in_the_place_of_the_socket_is_left_alone(home: Path) -> None:
    """Somebody's file is not removed; the sentence names it."""
    Home.open(home).close()
    (home / "store.sock").write_text("mine")
    ran = run("store", "--home", home)
    assert (ran.code, ran.out) == (2, "")
    assert f"{home.resolve()}/store.sock is no socket" in ran.err
    assert (home / "store.sock").read_text() == "mine"


def test_a_replay_that_did_not_finish_is_not_served(home: Path) -> None:
    """What it left is half a store."""
    with Home.open(home) as opened:
        opened.begin_projection(home.parent)
        with pytest.raises(BadInput):
            _ = opened.projection_of
    ran = run("store", "--home", home)
    assert (ran.code, ran.out) == (2, "")
    assert "did not finish" in ran.err
