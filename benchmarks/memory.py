"""Memory of a process that ingests many short messages, beside one that puts the same points into the store alone.

What both need is the store's index and grows with it; what the product needs besides must stay where it is.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.conversations import lexical, memory, message, turn_of
from benchmarks.ingest import APPEND, BATCH
from benchmarks.process_memory import Peak
from benchmarks.texts import Texts
from benchmarks.timing import significant

from helamem.processors.embedder.wordllama import WordLlamaEmbedder
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.port import Writes
from helamem.streams.async_memory import AsyncMemory, Message

SPACES = 1000
STAGES = 4
MESSAGES, QUICK_MESSAGES = 1_000_000, 20_000

Sample = dict[str, int]


def _stream(start: int, stop: int, size: int) -> Iterator[list[Message]]:
    """Yield short messages in chunks; none is kept."""
    texts = Texts()
    for first in range(start, stop, size):
        yield [message(n, texts.short(n), SPACES) for n in range(first, min(first + size, stop))]


async def product(home: Path, stages: list[int], note: Callable[[int], None]) -> None:
    """Append each stage to the log and process it."""
    async with await AsyncMemory.open(home) as opened:
        note(0)
        for start, stop in zip([0, *stages], stages, strict=False):
            for chunk in _stream(start, stop, APPEND):
                await opened.append(chunk)
            await opened.process()
            note(stop)


async def store_alone(home: Path, stages: list[int], note: Callable[[int], None]) -> None:
    """Embed and write the same points; optimise where the product does."""
    embedder = WordLlamaEmbedder()
    store = await EdgeStore.open(home, dimension=embedder.dimension)
    note(0)
    for start, stop in zip([0, *stages], stages, strict=False):
        number = start
        for chunk in _stream(start, stop, BATCH):
            turns = [turn_of(number + n, said, SPACES) for n, said in enumerate(chunk)]
            number += len(chunk)
            words = [lexical(turn) for turn in turns]
            made = map(memory, turns, words, embedder.embed(words))
            await store.write(Writes(memories=tuple(made)))
            await store.flush()
        await store.optimize()
        note(stop)
    await store.close()


def _child(way: str, count: int, home: Path) -> None:
    """Measure one way in this process and print what it came to."""
    samples: list[Sample] = []
    stages = [count * (n + 1) // STAGES for n in range(STAGES)]
    with Peak() as peak:

        def note(memories: int) -> None:
            gc.collect()
            samples.append({"memories": memories, **peak.look()})

        asyncio.run({"product": product, "store_alone": store_alone}[way](home, stages, note))
    print(json.dumps({"samples": samples, "peak": peak.largest}))


def _measured(way: str, count: int) -> dict[str, Any]:
    with TemporaryDirectory() as directory:
        said = subprocess.run(
            [sys.executable, "-m", "benchmarks.memory", way, str(count), str(Path(directory) / "home")],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
    found: dict[str, Any] = json.loads(said.stdout)
    begin, end = found["samples"][0], found["samples"][-1]
    grown = end["anonymous_bytes"] - begin["anonymous_bytes"]
    return {**found, "anonymous_bytes_per_memory": significant(grown / end["memories"])}


def run(*, quick: bool) -> dict[str, Any]:
    """Return the figures; each way has a process of its own."""
    count = QUICK_MESSAGES if quick else MESSAGES
    ways = {way: _measured(way, count) for way in ("product", "store_alone")}
    besides = [
        {"memories": one["memories"], "anonymous_bytes": one["anonymous_bytes"] - other["anonymous_bytes"]}
        for one, other in zip(ways["product"]["samples"], ways["store_alone"]["samples"], strict=True)
    ]
    return {"messages": count, "spaces": SPACES, **ways, "besides_the_store": besides}


if __name__ == "__main__":
    _child(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
