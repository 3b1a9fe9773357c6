"""Recalls from the state as it was, in a long log with signed snapshots as usual: of a small space and of a large one.

A moment is asked about by the command, from its start to its end: it starts Python, puts the state together and
answers. With `--public-key` nothing is believed that was put together before, so every question does all of it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.conversations import space
from benchmarks.history import EVERY, LARGE, History, write
from benchmarks.timing import medians, significant
from msgspec import Struct

from helamem.processors.coactivation.processor import GROUP as CO_ACTIVATION
from helamem.schemas.times import format_ms
from helamem.schemas.topics import RECALLS, TOPICS
from helamem.streams.audit.keys import load_private, make_keys
from helamem.streams.home import Home, wall_clock_ms
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.snapshots.growth import Growth
from helamem.streams.snapshots.taking import Schedule, Taker

SMALL = space(1)
_BLOCK_BYTES = 512


class Sizes(Struct, frozen=True, kw_only=True):
    """How much is measured."""

    history: History
    every: int
    """Records of a space between two snapshots."""
    rounds: int


FULL = Sizes(history=History(messages=1_000_000, recalls=200_000), every=Schedule().every, rounds=3)
QUICK = Sizes(history=History(messages=4_000, recalls=800), every=120, rounds=1)


class Asked(Struct, frozen=True, kw_only=True):
    """A moment, by how many records the space had then."""

    name: str
    space: str
    records: int


def moments(sizes: Sizes) -> list[Asked]:
    """Return what is asked about: as much as can follow a snapshot, or follow none, and as little."""
    every = sizes.every
    last = sizes.history.events // EVERY // every
    before = every // 50
    return [
        Asked(name="small_space_before_its_first_snapshot", space=SMALL, records=every - before),
        Asked(name="large_space_right_after_a_snapshot", space=LARGE, records=(last - 1) * every + before),
        Asked(name="large_space_right_before_the_next_one", space=LARGE, records=last * every - before),
        Asked(name="large_space_half_as_long", space=LARGE, records=last // 2 * every - before),
        Asked(name="large_space_at_its_beginning", space=LARGE, records=2 * every - before),
    ]


async def processed(home: Path) -> None:
    """Say that all recalls were folded when they were new, which the past state of one space may rest on."""
    async with await SqliteLog.open(Home.look(home).log_path, TOPICS, wall_clock_ms) as log:
        await log.commit(CO_ACTIVATION, await log.end_offsets(await log.partitions(RECALLS.name)))


async def snapshots(home: Path, every: int, key: Path) -> dict[str, float]:
    """Take signed snapshots as `helamem snapshot` does; return how many there are, and how long it took."""
    begin = time.perf_counter()
    with Taker(home, Schedule(every=every), key=load_private(key)) as taker:
        await taker.catch_up()
        files = [path for path in taker.snapshots.root.rglob("*") if path.is_file()]
        taken = taker.taken
    size_bytes = sum(path.stat().st_blocks * _BLOCK_BYTES for path in files)
    return {"taken": taken, "took_s": significant(time.perf_counter() - begin), "size_on_disk_bytes": size_bytes}


async def grown(home: Path) -> Growth:
    """Return when the spaces of a home had how many records."""
    growth = Growth()
    async with await SqliteLog.open(Home.look(home).log_path, TOPICS, wall_clock_ms, read_only=True) as log:
        await growth.look(log)
    return growth


def ask(home: Path, public: Path, one: Asked, growth: Growth) -> dict[str, float]:
    """Ask about a moment once, in a process of its own."""
    time_ms, records = growth.reached(one.space, one.records)
    command = ["recall", "What did we say about it?", "--space", one.space, "--home", str(home), "--state"]
    options = ["--as-of", format_ms(time_ms), "--public-key", str(public), "--json"]
    begin = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, "-m", "helamem.streams.cli", *command, *options], capture_output=True, text=True, check=True
    )
    took_s = time.perf_counter() - begin
    answer = json.loads(ran.stdout)
    assert answer["results"]
    snapshot = answer["state"]["snapshot"]
    begun = snapshot["records"] if snapshot else 0
    return {"took_s": took_s, "records": records, "of_a_snapshot": begun, "log_records": answer["state"]["records"]}


def asked(home: Path, public: Path, sizes: Sizes) -> dict[str, Any]:
    """Ask about all moments in turn, several times."""
    growth = asyncio.run(grown(home))
    rounds: dict[str, list[dict[str, float]]] = {one.name: [] for one in moments(sizes)}
    for _ in range(sizes.rounds):
        for one in moments(sizes):
            rounds[one.name].append(ask(home, public, one, growth))
    return {name: medians(found) for name, found in rounds.items()}


def measure(sizes: Sizes) -> dict[str, Any]:
    """Write the log, take snapshots, and ask."""
    with TemporaryDirectory() as directory:
        home, key, public = (Path(directory) / name for name in ("home", "key.pem", "key.pub.pem"))
        make_keys(key, public)
        asyncio.run(write(home, sizes.history))
        asyncio.run(processed(home))
        taken = asyncio.run(snapshots(home, sizes.every, key))
        return {
            "messages": sizes.history.messages,
            "recalls": sizes.history.recalls,
            "snapshots": taken,
            **asked(home, public, sizes),
            "target": {"took_s": 5.0},
        }


def run(*, quick: bool) -> dict[str, Any]:
    """Return the figures."""
    return measure(QUICK if quick else FULL)
