"""EdgeStore and other processes: one that holds it open, one that is killed after a flush, one killed in a write."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.store_contract import DIMENSION, A, all_turns, checkpoint, mark, memory, row
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.port import Writes
from helamem.schemas.errors import ConfigurationError
from helamem.schemas.records import Position

_CHILD = """
import asyncio, sys, time
from pathlib import Path
from contracts.store_contract import DIMENSION, checkpoint, mark, memory, row
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.edge_shards import make_store
from helamem.processors.store.port import Writes

async def main(path, what, logged):
    make_store(path, DIMENSION, "english", logged=logged)
    store = await EdgeStore.open(path, dimension=DIMENSION)
    first = [memory(n) for n in range(500)]
    edges = tuple(row(m, 1, b"old" * 100) for m in first)
    await store.write(Writes(memories=tuple(first), edges=edges, marks=(mark(first[7], 1, hidden=True),)))
    await store.flush()
    await store.save_checkpoint(checkpoint(b"state"))
    print("flushed", flush=True)
    if what == "hold":
        time.sleep(60)
    second = [memory(n) for n in range(500, 6000)]
    marks = tuple(mark(m, 600, hidden=True) for m in first[:200])
    edges = tuple(row(m, 2, b"new" * 100) for m in first)
    while True:
        await store.write(Writes(memories=tuple(second), marks=marks, edges=edges))
        print("written", flush=True)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "logged"))
"""


def child(path: Path, what: str, *, logged: bool = True) -> subprocess.Popen[bytes]:
    """Start a process that fills the store at a path and has flushed some of it on return."""
    paths = os.pathsep.join(p for p in sys.path if p)
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(path), what, "logged" if logged else "unlogged"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"flushed\n"
    return process


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process without giving it a chance."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


async def test_a_store_that_another_process_has_open_is_refused(tmp_path: Path) -> None:
    """With a sentence that says so, and without harm to either; after the other's death it opens."""
    holder = child(tmp_path / "store", "hold")
    try:
        with pytest.raises(ConfigurationError, match=r"another process has the store at .* open"):
            await EdgeStore.open(tmp_path / "store", dimension=DIMENSION)
    finally:
        kill(holder)
    store = await EdgeStore.open(tmp_path / "store", dimension=DIMENSION)
    turns = await all_turns(store)
    assert [t.position for t in turns] == [Position(1, n) for n in range(500)]
    assert [t.message_id for t in turns if t.hidden] == ["m7"]
    assert len([r async for r in store.scan_edges(A)]) == 500
    assert list((await store.load_checkpoints("coactivation")).values()) == [checkpoint(b"state")]
    await store.close()


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8])
async def test_a_kill_in_the_middle_of_a_write_leaves_rows_that_are_old_or_new(tmp_path: Path, after_s: float) -> None:
    """The store opens, nothing that was flushed is lost, no row is a mixture, and the write can be given again."""
    writer = child(tmp_path / "store", "write")
    await asyncio.sleep(after_s)
    kill(writer)
    store = await EdgeStore.open(tmp_path / "store", dimension=DIMENSION)
    turns = await all_turns(store)
    assert [t.position.offset for t in turns] == list(range(len(turns)))
    assert len(turns) >= 500
    rows = [r async for r in store.scan_edges(A)]
    assert len(rows) == 500
    assert {(r.position.offset, r.neighbours) for r in rows} <= {(1, b"old" * 100), (2, b"new" * 100)}
    await store.write(Writes(memories=tuple(memory(n) for n in range(500, 6000))))
    assert len(await all_turns(store)) == 6000
    await store.close()


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.4])
async def test_without_a_log_a_kill_takes_nothing_that_was_flushed(tmp_path: Path, after_s: float) -> None:
    """The store opens, and what was given since the flush can be given again and makes it whole."""
    writer = child(tmp_path / "store", "write", logged=False)
    await asyncio.sleep(after_s)
    kill(writer)
    assert not [*(tmp_path / "store").glob("*/wal/*")]
    store = await EdgeStore.open(tmp_path / "store", dimension=DIMENSION)
    flushed = [memory(n) for n in range(500)]
    found = {t.message_id: t for t in await all_turns(store)}
    assert [found[m.turn.message_id].position for m in flushed] == [Position(1, n) for n in range(500)]
    assert found["m7"].hidden
    rows = [r async for r in store.scan_edges(A)]
    assert len(rows) == 500
    assert {(r.position.offset, r.neighbours) for r in rows} <= {(1, b"old" * 100), (2, b"new" * 100)}
    await store.write(
        Writes(
            memories=tuple(memory(n) for n in range(500, 6000)),
            marks=tuple(mark(m, 600, hidden=True) for m in flushed[:200]),
            edges=tuple(row(m, 2, b"new" * 100) for m in flushed),
        )
    )
    turns = await all_turns(store)
    assert len(turns) == 6000
    assert {t.message_id for t in turns if t.hidden} == {m.turn.message_id for m in flushed[:200]}
    assert {(r.position.offset, r.neighbours) async for r in store.scan_edges(A)} == {(2, b"new" * 100)}
    await store.close()
