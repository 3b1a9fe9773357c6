"""Several writers in processes of their own, and a store process that is killed under them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contracts.store_contract import all_turns
from helamem.streams.store_process.client import RemoteStore
from streams.store_process.process import StoreProcess

ROUNDS, BATCH = 40, 50

_WORKER = """
import asyncio, sys
from pathlib import Path
from contracts.store_contract import DIMENSION, checkpoint, memory, row
from helamem.processors.store.port import Writes
from helamem.schemas.errors import RetryLater
from helamem.streams.store_process.client import RemoteStore

async def patiently(what):
    while True:
        try:
            return await what()
        except RetryLater:
            await asyncio.sleep(0.02)

async def main(home, partition, said):
    store = await patiently(lambda: RemoteStore.open(home, dimension=DIMENSION))
    space = f"acme/p{partition}"
    for number in range(ROUNDS):
        ms = [memory(number * BATCH + n, space=space) for n in range(BATCH)]
        edges = tuple(row(m, number, b"%d" % number, space=space) for m in ms)
        await patiently(lambda: store.write(Writes(memories=tuple(ms), edges=edges)))
        await patiently(store.flush)
        await patiently(lambda: store.save_checkpoint(checkpoint(b"%d" % number, number, partition)))
        said.write(f"{number}\\n")
        said.flush()
    await store.close()

with Path(sys.argv[3]).open("w") as said:
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), said))
"""


class Worker:
    """Writes one partition in rounds, and notes each that is durable."""

    def __init__(self, home: Path, partition: int) -> None:
        self.partition = partition
        self._said = home.parent / f"said-{partition}"
        self._said.touch()
        program = f"ROUNDS, BATCH = {ROUNDS}, {BATCH}\n{_WORKER}"
        paths = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(home), str(partition), str(self._said)],
            env={**os.environ, "PYTHONPATH": paths},
        )

    @property
    def rounds(self) -> int:
        """How many it was told are durable."""
        return self._said.read_text().count("\n")

    def wait_for(self, rounds: int) -> None:
        while self.rounds < rounds:
            assert self.process.poll() is None or self.rounds >= rounds
            time.sleep(0.005)


async def holds(store: RemoteStore, worker: Worker, rounds: int) -> None:
    """Check that all of a partition's first rounds are there, whole, and its checkpoint is not behind."""
    space = f"acme/p{worker.partition}"
    turns = await all_turns(store, space)
    assert {turn.position.offset for turn in turns} >= set(range(rounds * BATCH))
    assert len({turn.id for turn in turns}) == len(turns)
    rows = {row.memory_id: row async for row in store.scan_edges(space)}
    for turn in turns[: rounds * BATCH]:
        assert int(rows[turn.id].neighbours) == rows[turn.id].position.offset == turn.position.offset // BATCH
    saved = await store.load_checkpoints("coactivation")
    assert next(c.position.offset for p, c in saved.items() if p.partition == worker.partition) >= rounds - 1


async def test_two_processes_write_two_partitions(home: Path, process: StoreProcess, store: RemoteStore) -> None:
    """Both are complete in the end, and neither has touched the other's."""
    workers = [Worker(home, partition) for partition in (1, 2)]
    for worker in workers:
        assert await asyncio.to_thread(worker.process.wait) == 0
        await holds(store, worker, ROUNDS)
    assert await store.spaces() == {"acme/p1": ROUNDS * BATCH, "acme/p2": ROUNDS * BATCH}


@pytest.mark.parametrize(
    "after", [3, pytest.param(17, marks=pytest.mark.slow), pytest.param(31, marks=pytest.mark.slow)]
)
async def test_a_kill_in_the_middle_of_writes(home: Path, process: StoreProcess, after: int) -> None:
    """What a flush was answered for is there; the workers go on by themselves with the next process, to the end."""
    workers = [Worker(home, partition) for partition in (1, 2)]
    for worker in workers:
        worker.wait_for(after)
    process.kill()
    for worker in workers:  # so that what is there is what was there
        worker.process.send_signal(signal.SIGSTOP)
    durable = [worker.rounds for worker in workers]
    process.start()
    store = await process.connect()
    for worker, rounds in zip(workers, durable, strict=True):
        await holds(store, worker, rounds)
        worker.process.send_signal(signal.SIGCONT)
    for worker in workers:
        assert await asyncio.to_thread(worker.process.wait) == 0
        await holds(store, worker, ROUNDS)
    assert await store.spaces() == {"acme/p1": ROUNDS * BATCH, "acme/p2": ROUNDS * BATCH}
    await store.close()


@pytest.mark.slow
async def test_kill_after_kill(home: Path, process: StoreProcess) -> None:
    """Killed again and again at any moment, also while it starts: the workers come to the end all the same."""
    workers = [Worker(home, partition) for partition in (1, 2)]
    for n in range(8):
        await asyncio.sleep(0.05 + 0.03 * n)
        process.kill()
        process.start()
    for worker in workers:
        assert await asyncio.to_thread(worker.process.wait) == 0
    store = await process.connect()
    for worker in workers:
        await holds(store, worker, ROUNDS)
    await store.close()
