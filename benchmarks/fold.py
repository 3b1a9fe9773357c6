"""Recalls folded into edges and stored: the pump, co-activation, the store, its flush and the checkpoint."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from benchmarks.conversations import SPACES, chunks
from benchmarks.recalls import RESULTS, Drawn
from benchmarks.timing import medians, significant
from msgspec import Struct

from helamem.processors.coactivation.processor import BATCH_RECORDS, CoActivation
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.port import Writes
from helamem.schemas.records import NewRecord
from helamem.schemas.settings import Settings
from helamem.schemas.topics import RECALLS, TOPICS
from helamem.streams.home import wall_clock_ms
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.pump import Pump

DIMENSION = 256
RANDOM, REPEATING = 1000, 50
"""Memories of a space that recalls are drawn from: all of them, or the few that everybody asks for."""


LIVE_PER_S, LIVE_SPACES = 500, 10
"""Recalls a second as they come, of few busy spaces; what is drawn from is `REPEATING`."""
TICK_S = 0.01


class Sizes(Struct, frozen=True, kw_only=True):
    """How much is measured."""

    recalls: int = 20_000
    rounds: int = 3
    batch_records: int = BATCH_RECORDS
    live_s: float = 10.0


FULL = Sizes()
QUICK = Sizes(recalls=800, rounds=1, batch_records=200, live_s=1.0)


async def fold(home: Path, parts: Sequence[Sequence[NewRecord]], batch_records: int) -> list[float]:
    """Return the recalls a second of each part, one after the other into the same store."""
    rates = []
    log = await SqliteLog.open(home / "log.sqlite", TOPICS, wall_clock_ms)
    store = await EdgeStore.open(home / "store", dimension=DIMENSION)
    pump = Pump(log, store, CoActivation(store, Settings()), batch_records=batch_records)
    for part in parts:
        for chunk in chunks(part, 1000):
            await log.append(chunk)
        ends = await log.end_offsets(await log.partitions(RECALLS.name))
        gc.collect()
        begin = time.perf_counter()
        await pump.run(until=ends)
        rates.append(len(part) / (time.perf_counter() - begin))
    assert pump.counts["recalled"] == sum(map(len, parts))
    await store.close()
    await log.close()
    return rates


async def live(home: Path, interval_s: float, live_s: float) -> dict[str, float]:
    """Return the rows written for each recall that comes while a pump follows the log, and what that took."""
    records = [*Drawn(REPEATING, LIVE_SPACES).records(int(LIVE_PER_S * live_s))]
    log = await SqliteLog.open(home / "log.sqlite", TOPICS, wall_clock_ms)
    store = await EdgeStore.open(home / "store", dimension=DIMENSION)
    rows = batches = 0
    write = store.write

    async def counted(writes: Writes) -> None:
        nonlocal rows, batches
        rows += len(writes.edges)
        batches += 1
        await write(writes)

    with patch.object(store, "write", counted):
        pump = Pump(log, store, CoActivation(store, Settings()), interval_s=interval_s)
        following = asyncio.create_task(pump.run())
        begin, before, sent = time.perf_counter(), time.process_time(), 0
        while sent < len(records):
            due = min(len(records), int((time.perf_counter() - begin) * LIVE_PER_S))
            if due > sent:
                await log.append(records[sent:due])
            sent = due
            await asyncio.sleep(TICK_S)
        cores = (time.process_time() - before) / (time.perf_counter() - begin)
        while pump.counts["recalled"] < len(records):  # noqa: ASYNC110 - a pump tells nobody
            await asyncio.sleep(TICK_S)
        pump.stop()
        await following
    await store.close()
    await log.close()
    return {
        "rows_written_per_recall": significant(rows / len(records)),
        "batches": batches,
        "cores": significant(cores),
    }


async def measure(sizes: Sizes) -> dict[str, Any]:
    """Fold both kinds of recalls in turn, several times; the first part fills the lists of neighbours."""
    loads = {
        name: [[*Drawn(memories, seed=seed).records(sizes.recalls)] for seed in range(2)]
        for name, memories in (("random", RANDOM), ("repeating", REPEATING))
    }
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in loads}
    for _ in range(sizes.rounds):
        for name, parts in loads.items():
            with TemporaryDirectory() as directory:
                filling, full = await fold(Path(directory), parts, sizes.batch_records)
            rounds[name].append({"recalls_per_s_into_empty_lists": filling, "recalls_per_s": full})
    lives = {}
    for interval_s in (0.0, 0.25):
        with TemporaryDirectory() as directory:
            lives[f"interval_s_{interval_s}"] = await live(Path(directory), interval_s, sizes.live_s)
    return {
        "live": {"recalls_per_s": LIVE_PER_S, "spaces": LIVE_SPACES, "memories_per_space": REPEATING, **lives},
        "spaces": SPACES,
        "results_per_recall": RESULTS,
        "random": {"memories_per_space": RANDOM, **medians(rounds["random"])},
        "repeating": {"memories_per_space": REPEATING, **medians(rounds["repeating"])},
        "target": {"random": {"recalls_per_s": 2000}},
    }


def run(*, quick: bool) -> dict[str, Any]:
    """Return the figures."""
    return asyncio.run(measure(QUICK if quick else FULL))
