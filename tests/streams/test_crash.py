"""A process that lives the bundled demo is killed with SIGKILL, again and again: in the end nothing shows it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from fakes.crash_driver import STEPS
from fakes.directories import directory
from fakes.words import wordllama
from helamem.schemas.records import NewRecord
from helamem.schemas.topics import CONTROL, CONVERSATIONS, FACTS, HUBS, RECALLS
from helamem.schemas.wire import Event, decode, encode
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.replay import replay


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


def start(home: Path, mark: str = "") -> subprocess.Popen[bytes]:
    """Start a life in a home, with a mark at which it ends."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HELAMEM_TEST_KILL": mark}
    command = [sys.executable, "-m", "fakes.crash_driver", str(home)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def live(home: Path, mark: str = "") -> dict[str, Any] | None:
    """Live to the end and return what became of it, or None where the mark was reached."""
    process = start(home, mark)
    out, err = process.communicate(timeout=120)
    if process.returncode == -signal.SIGKILL:
        return None
    assert process.returncode == 0, err.decode()
    lived: dict[str, Any] = orjson.loads(out)
    return lived


@pytest.fixture(scope="module")
def undisturbed() -> Iterator[tuple[Path, dict[str, Any]]]:
    """A home in which nothing went wrong, and what became of it."""
    with directory() as path:
        lived = live(path / "home")
        assert lived is not None
        assert lived["memories"] == 418
        assert lived["edges"] > 100
        assert lived["facts"] > 5
        yield path / "home", lived


async def reproduced(home: Path, into: Path, digest: str) -> None:
    """Assert that a replay of the log gives the same digest and the recorded hubs."""
    replayed = await replay(home, into, embedder=wordllama())
    assert replayed.digest.digest == digest
    assert replayed.reproduced


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
async def test_killed_before_and_after_a_step(place: Path, undisturbed: tuple[Path, dict[str, Any]], step: str) -> None:
    """At its first time, and some further on, each time by a new process on what the last one left."""
    killed = 0
    for moment in ("before", "after"):
        for count in (1, 2, 5, 11, 40):
            killed += live(place / "home", f"{step}:{moment}:{count}") is None
    assert killed >= 6, "the marks were reached"
    assert live(place / "home") == undisturbed[1]
    await reproduced(place / "home", place / "replayed", undisturbed[1]["digest"])


@pytest.mark.slow
async def test_killed_at_every_step_in_turn(place: Path, undisturbed: tuple[Path, dict[str, Any]]) -> None:
    """One life with an end behind each step of the order of durability, at early and at late times."""
    marks = [f"{step}:{moment}:{count}" for count in (1, 3, 9) for step in STEPS for moment in ("before", "after")]
    killed = sum(live(place / "home", mark) is None for mark in marks)
    assert killed >= 25
    assert live(place / "home") == undisturbed[1]
    await reproduced(place / "home", place / "replayed", undisturbed[1]["digest"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
async def test_killed_at_random_times(place: Path, undisturbed: tuple[Path, dict[str, Any]], seed: int) -> None:
    """Whatever it was doing: opening, embedding, writing, optimising, closing."""
    rng = random.Random(seed)
    killed = 0
    for _ in range(9):
        process = start(place / "home")
        try:
            process.communicate(timeout=rng.uniform(0.3, 1.5))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed >= 1
    assert live(place / "home") == undisturbed[1]
    await reproduced(place / "home", place / "replayed", undisturbed[1]["digest"])


# Every event delivered twice.

COPIED = (CONVERSATIONS, RECALLS, HUBS, FACTS, CONTROL)


async def events_of(home: Path) -> list[NewRecord]:
    """Return every record of a home's log but the settings, each topic in its order."""
    async with await AsyncMemory.open(home, create=False, embedder=wordllama()) as memory:
        log = memory.instance.log
        found = []
        for spec in COPIED:
            for at in await log.partitions(spec.name):
                records = await log.read(at, 0, limit=100_000)
                found += [
                    NewRecord(topic=at.topic, key=record.key, value=record.value)
                    for record in records
                    if b'"type":"settings.applied' not in record.value
                ]
        return found


def twice(records: list[NewRecord], how: str) -> list[list[NewRecord]]:
    """Return appends that hold every record twice, the first times in order."""
    if how == "one after the other":
        return [[record, record] for record in records]
    if how == "all once more":
        return [records, records]
    lag = 37
    shifted: list[list[NewRecord]] = [[] for _ in range(len(records) + lag)]
    for n, record in enumerate(records):
        shifted[n].append(record)
        shifted[n + lag].append(record)
    return shifted


@pytest.mark.parametrize("how", ["one after the other", "all once more", "interleaved"])
async def test_every_event_delivered_twice(place: Path, undisturbed: tuple[Path, dict[str, Any]], how: str) -> None:
    """At new positions: the same digest, and every second delivery is counted as a duplicate."""
    home, lived = undisturbed
    records = await events_of(home)
    async with await AsyncMemory.open(home, create=False, embedder=wordllama()) as memory:
        settings = memory.instance.settings
    async with await AsyncMemory.open(place / "twice", settings=settings, embedder=wordllama()) as memory:
        appends = twice(records, how)
        for start_ in range(0, len(appends), 100):
            part = [record for append in appends[start_ : start_ + 100] for record in append]
            await memory.instance.log.append(part)
            if how != "all once more":
                await memory.process()
        await memory.process()
        assert (await memory.digest()).digest == lived["digest"]
        counts = memory.instance.counts
        by_topic = {spec.name: sum(record.topic == spec.name for record in records) for spec in COPIED}
        assert counts["encoded"] == by_topic[CONVERSATIONS.name] == 418
        assert counts["recalled"] + counts["reinforced"] == by_topic[RECALLS.name]
        assert counts["conflict"] == 0
        assert counts["dead-lettered"] == 0
        # Facts may come more often still: consolidation distils once more what the copied hubs say.
        assert counts["duplicate"] >= by_topic[CONVERSATIONS.name] + by_topic[RECALLS.name] + by_topic[FACTS.name]
    await reproduced(place / "twice", place / "replayed", lived["digest"])


async def test_the_same_id_with_other_content_is_counted_and_the_first_wins(
    place: Path, undisturbed: tuple[Path, dict[str, Any]]
) -> None:
    """Every message and every recall comes a second time with something else in it."""
    home, lived = undisturbed
    records = await events_of(home)

    def altered(record: NewRecord) -> NewRecord:
        event = decode(record.value)
        other = Event(
            id=event.id, source=event.source, space=event.space, time_ms=event.time_ms + 86_400_000, data=event.data
        )
        return NewRecord(topic=record.topic, key=record.key, value=encode(other))

    async with await AsyncMemory.open(home, create=False, embedder=wordllama()) as memory:
        settings = memory.instance.settings
    async with await AsyncMemory.open(place / "conflict", settings=settings, embedder=wordllama()) as memory:
        both = [r for record in records for r in (record, altered(record))]
        chosen = [r for r in both if r.topic in {CONVERSATIONS.name, RECALLS.name}]
        await memory.instance.log.append(chosen)
        await memory.process()
        assert (await memory.digest()).digest == lived["digest"]
        assert memory.instance.counts["conflict"] == len(chosen) // 2
        assert memory.instance.counts["duplicate"] == 0
    await reproduced(place / "conflict", place / "replayed", lived["digest"])
