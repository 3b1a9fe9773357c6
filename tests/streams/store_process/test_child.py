"""A replay's store process: it ends with its parent, its end ends the replay, and it leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.store_contract import DIMENSION, all_turns, memory
from fakes.directories import directory
from fakes.words import wordllama
from helamem.processors.digest import Digest, digest
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.port import MemoryStore, Writes
from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.home import Home
from helamem.streams.replay import replay
from helamem.streams.store_process.child import child_store
from helamem.streams.store_process.seldom import SETTLE_BYTES, SeldomFlushed
from streams.cli.shell import run, start

LONG = 20_000
"""Messages that take long enough to be interrupted."""


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


def children(pid: int) -> list[int]:
    """Return the store processes that a process has started."""
    return [int(line) for line in _lines("pgrep", "-P", str(pid), "-f", "store_process.child")]


def runs(pid: int) -> bool:
    """Return whether a process has not ended; one that nobody has fetched yet has."""
    return any(not state.startswith("Z") for state in _lines("ps", "-o", "stat=", "-p", str(pid)))


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()


async def fill(home: Path, messages: int) -> str:
    """Say so much in a home and return its digest; it is not processed where it is long."""
    async with await AsyncMemory.open(home, embedder=wordllama()) as memory:
        said = [
            Message(
                space=f"acme/s{n % 7}", conversation="c", speaker="Anna", text=f"It is number {n}.", message_id=str(n)
            )
            for n in range(messages)
        ]
        await memory.append(said)
        if messages < LONG:
            await memory.process()
        return (await memory.digest()).digest


async def test_it_serves_a_home_and_is_gone_in_the_end(place: Path) -> None:
    """What was written is there for whoever opens the store afterwards; no socket and no process is left."""
    with Home.open(place / "home") as home:
        async with child_store(home, dimension=DIMENSION, language="english") as child:
            assert children(os.getpid()) == [child.pid]
            await child.store.write(Writes(memories=tuple(memory(n) for n in range(10))))
        assert not runs(child.pid)
        assert not (home.path / "store.sock").exists()
        opened = await EdgeStore.open(home.store_path, dimension=DIMENSION)
        assert len(await all_turns(opened)) == 10
        await opened.close()


async def test_a_store_for_something_else_is_refused(place: Path) -> None:
    """In the one sentence that the store has for it, and the child is gone."""
    with Home.open(place / "home") as home:
        store = await EdgeStore.open(home.store_path, dimension=DIMENSION)
        await store.close()
        with pytest.raises(ConfigurationError, match=r"the store at .* holds vectors of 32 numbers, not of 33"):
            async with child_store(home, dimension=DIMENSION + 1, language="english"):
                pass
        assert children(os.getpid()) == []


async def test_a_child_that_does_not_come_to_serve_says_why(place: Path) -> None:
    """In its own sentence, as a matter for a person: it would say the same again."""
    with Home.open(place / "home") as home:
        (home.path / "store.sock").mkdir()
        with pytest.raises(ConfigurationError, match=r"^\S*store.sock is no socket, and one has to be there; "):
            async with child_store(home, dimension=DIMENSION, language="english"):
                pass


def test_it_loads_what_a_store_needs() -> None:
    """A replay waits for it at its start, so nothing of pumps, brokers and logging comes along."""
    program = f"import sys, {child_store.__module__}; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert child_store.__module__ in loaded
    assert {"aiokafka", "structlog", "helamem.streams.pump"}.isdisjoint(loaded)


async def test_a_digest_is_of_what_is_on_the_disk(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that was put off is durable before the store is read for what a replay came to, and progress is told then."""
    done: list[str] = []
    settle = SeldomFlushed.settle

    async def settling(store: SeldomFlushed) -> None:
        await settle(store)
        done.append("settled")

    async def reading(store: MemoryStore) -> Digest:
        done.append("read")
        return await digest(store)

    monkeypatch.setattr(SeldomFlushed, "settle", settling)
    monkeypatch.setattr("helamem.streams.rebuild.digest", reading)
    await fill(place / "home", 20)

    def note(reached: int, total: int) -> None:
        done.append(f"{reached} of {total}")

    await replay(place / "home", place / "other", embedder=wordllama(), on_progress=note)
    assert done[-4:] == ["28 of 28", "settled", "28 of 28", "read"], "of the messages, and the settings of 8 partitions"


@pytest.mark.parametrize("settle_bytes", [1, SETTLE_BYTES])
async def test_killed_it_ends_the_replay(place: Path, settle_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one sentence and not with a wait for another process; the replay can be run again and is equal."""
    monkeypatch.setattr("helamem.streams.store_process.seldom.SETTLE_BYTES", settle_bytes)
    monkeypatch.setattr("helamem.streams.rebuild._MESSAGES", 10)
    digest = await fill(place / "home", 300)

    def kill(done: int, _total: int) -> None:
        for pid in children(os.getpid()) if done >= 100 else ():
            os.kill(pid, signal.SIGKILL)

    sentence = r"the process that writes the store of .*other has ended \(SIGKILL\); do the same again"
    async with asyncio.timeout(60):
        with pytest.raises(RetryLater, match=sentence):
            await replay(place / "home", place / "other", embedder=wordllama(), on_progress=kill)
    assert children(os.getpid()) == []
    assert (await replay(place / "home", place / "other", embedder=wordllama())).digest.digest == digest
    assert not (place / "other" / "store.sock").exists()


@pytest.mark.slow
async def test_a_killed_parent_takes_it_along(place: Path) -> None:
    """The home stays locked until the child has ended too; then the replay can be run again."""
    await fill(place / "home", LONG)
    for wait_s in (0.0, 0.5):
        process = start("replay", "--home", place / "home", "--into", place / "other")
        while not (started := children(process.pid)):
            assert process.poll() is None
            await asyncio.sleep(0.01)
        await asyncio.sleep(wait_s)
        process.kill()
        process.communicate()
        deadline = time.monotonic() + 60
        while runs(started[0]):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        with Home.open(place / "other", create=False):
            pass  # nobody holds it any more
        assert not (place / "other" / "store.sock").exists()
    ran = run("replay", "--home", place / "home", "--into", place / "other", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["records"] == LONG + 8, "with the settings of each partition"


async def test_it_runs_nothing_of_the_directory_that_one_stands_in(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the user's that is named like a module is not taken for it."""
    (place / "uuid.py").write_text("raise SystemExit('taken')")
    monkeypatch.chdir(place)
    with Home.open(place / "home") as home:
        async with child_store(home, dimension=DIMENSION, language="english") as child:
            assert await child.store.spaces() == {}
