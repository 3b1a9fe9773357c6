"""Replay of a million messages and 200,000 recalls with recorded embeddings, beside reading the log and the store.

The log is read without being decoded, and memories that were prepared before are written into a store alone, in the
same run: what a replay does besides is to decode, hash, look up vectors, and fold and write the edges. A second replay
is killed on its way and goes on; both come to one digest.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.conversations import chunks, lexical, memory, message, turn_of
from benchmarks.history import History, write
from benchmarks.process_memory import process_memory
from benchmarks.texts import Texts
from benchmarks.timing import significant

from helamem.processors.embedder.wordllama import WordLlamaEmbedder
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.port import Writes
from helamem.schemas.topics import TOPICS
from helamem.streams.home import Home, wall_clock_ms
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.log.writer_lock import InUseError
from helamem.streams.rebuild import part_of
from helamem.streams.replay import replay

FULL = History(messages=1_000_000, recalls=200_000)
QUICK = History(messages=4_000, recalls=800)
STORED = 100_000
"""Most memories that are written into the store alone."""
PAGE = 2000
STAGES = 4
KILLED_AT = 0.4


async def read_log(home: Path) -> float:
    """Return how many of the records that a replay reads the log gives a second."""
    count = 0
    begin = time.perf_counter()
    async with await SqliteLog.open(Home.look(home).log_path, TOPICS, wall_clock_ms, read_only=True) as log:
        for partition, end in (await part_of(log)).ends.items():
            offset = 0
            while records := await log.read(partition, offset, end=end, limit=PAGE):
                offset = records[-1].offset + 1
                count += len(records)
    return significant(count / (time.perf_counter() - begin))


async def write_store(path: Path, count: int) -> float:
    """Return how many prepared memories a store takes in a second, with a flush for as many as a replay writes."""
    texts, embedder = Texts(), WordLlamaEmbedder()
    said = [message(number, texts.message(number)) for number in range(count)]
    turns = [turn_of(number, one) for number, one in enumerate(said)]
    words = [lexical(turn) for turn in turns]
    prepared = list(map(memory, turns, words, embedder.embed(words)))
    store = await EdgeStore.open(path, dimension=embedder.dimension)
    begin = time.perf_counter()
    for part in chunks(prepared, PAGE):
        await store.write(Writes(memories=tuple(part)))
        await store.flush()
    took = time.perf_counter() - begin
    await store.close()
    return significant(count / took)


async def _replay(home: Path, into: Path, stages: int) -> None:
    """Replay in this process, and say how far it is and with how much memory."""
    begin = time.perf_counter()
    told = 0

    def note(done: int, total: int) -> None:
        nonlocal told
        while told <= stages and done >= total * told // stages:
            anonymous = {
                "replay": process_memory()["anonymous_bytes"],
                "store": sum(process_memory(child)["anonymous_bytes"] for child in _children()),
            }
            applied_s = time.perf_counter() - begin
            print(json.dumps({"done": done, "s": significant(applied_s), "anonymous_bytes": anonymous}), flush=True)
            told += 1

    replayed = await replay(home, into, on_progress=note)
    print(json.dumps({"digest": replayed.digest.digest, "reproduced": replayed.reproduced}), flush=True)


def _children() -> list[int]:
    """Return the children of this process: a replay has one, which writes the store."""
    threads = Path("/proc/self/task").iterdir()
    return [int(pid) for thread in threads for pid in (thread / "children").read_text(encoding="ascii").split()]


def _run(home: Path, into: Path, stages: int, *, kill_at: int | None = None) -> list[dict[str, Any]]:
    """Replay in a process of its own and return what it said; kill it once so many records are applied."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.million", str(home), str(into), str(stages)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(json.loads(line))
        if kill_at is not None and lines[-1].get("done", 0) >= kill_at:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    while kill_at is not None and _is_held(into):  # its child writes what it was given, and ends
        time.sleep(0.1)
    assert process.returncode == (0 if kill_at is None else -signal.SIGKILL)
    return lines


def _is_held(home: Path) -> bool:
    try:
        Home.open(home, create=False).close()
    except InUseError:
        return True
    return False


def measure(history: History) -> dict[str, Any]:
    """Write the log, read it, write a store, replay, and replay once more with an interruption."""
    with TemporaryDirectory() as directory:
        home = Path(directory) / "home"
        appended = asyncio.run(write(home, history))
        log = asyncio.run(read_log(home))
        store = asyncio.run(write_store(Path(directory) / "store", min(STORED, history.messages)))
        *stages, end = _run(home, Path(directory) / "whole", STAGES)
        killed = _run(home, Path(directory) / "killed", 100, kill_at=int(history.events * KILLED_AT))
        *_, resumed = _run(home, Path(directory) / "killed", STAGES)
    assert end["reproduced"]
    assert resumed == end
    rate = history.events / stages[-1]["s"]
    return {
        "messages": history.messages,
        "recalls": history.recalls,
        "appended_per_s": appended,
        "log_read_per_s": log,
        "store_written_per_s": store,
        "replayed_per_s": significant(rate),
        "ratio_to_the_lower": significant(rate / min(log, store)),
        "stages": stages,
        "killed_at": killed[-1]["done"],
        "target": {"ratio_to_the_lower": 0.5},
    }


def run(*, quick: bool) -> dict[str, Any]:
    """Return the figures."""
    return measure(QUICK if quick else FULL)


if __name__ == "__main__":
    asyncio.run(_replay(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
