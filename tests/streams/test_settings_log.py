"""The settings in force stand in the log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.directories import directory
from fakes.events import applied, message, record
from fakes.machine import Machine, machine
from helamem.processors.coactivation.state import FoldState
from helamem.schemas.events import SettingsApplied
from helamem.schemas.records import NewRecord, Record, TopicPartition
from helamem.schemas.settings import HebbianSettings, Settings
from helamem.schemas.topics import CONVERSATIONS, GOVERNED
from helamem.schemas.wire import decode
from helamem.streams.log.port import Log
from helamem.streams.settings_log import apply_settings, settings_at, settings_in_force

FIRST = Settings(hebbian=HebbianSettings(eta_recalled=0.1))
SECOND = Settings(hebbian=HebbianSettings(eta_recalled=0.2))


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@pytest.fixture
async def one(place: Path) -> AsyncIterator[Machine]:
    async with machine(place) as opened:
        yield opened


async def test_every_governed_partition_gets_them(one: Machine) -> None:
    """One record in each partition of conversations and recalls, each with an id of its own."""
    await apply_settings(one.log, FIRST, lambda: 7)
    await apply_settings(one.log, SECOND, lambda: 8)
    ids = set()
    for spec in GOVERNED:
        for at in await one.log.partitions(spec.name):
            found = [decode(each.value) for each in await one.log.read(at, 0)]
            assert [event.data for event in found] == [SettingsApplied(settings=each) for each in (FIRST, SECOND)]
            ids |= {event.id for event in found}
    assert len(ids) == 16


async def test_the_newest_are_in_force(one: Machine) -> None:
    """With and without a projection, before and after it has come to them."""
    assert await settings_in_force(one.log, {}) is None
    for settings in (FIRST, SECOND, FIRST):
        await apply_settings(one.log, settings, lambda: 7)
        encoded = await one.store.load_checkpoints("encoding")
        assert await settings_in_force(one.log, {}) == settings
        assert await settings_in_force(one.log, encoded) == settings
        await one.pump(one.encoding()).run(until=await one.ends())
        encoded = await one.store.load_checkpoints("encoding")
        assert await settings_in_force(one.log, encoded) == settings


async def test_messages_and_junk_that_speak_of_settings_are_none(one: Machine) -> None:
    """Neither a message with the words in its text nor a broken record changes or hinders anything."""
    await apply_settings(one.log, FIRST, lambda: 7)
    at = (await one.log.partitions(CONVERSATIONS.name))[0]
    said = record(message("m", "I saw settings.applied.v1 in the log."), partition=at.partition)
    junk = NewRecord(topic=at.topic, partition=0, key=b"", value=b'{"type":"settings.applied.v1","data":{}}')
    await one.log.append([said, junk])
    assert await settings_in_force(one.log, {}) == FIRST


async def test_they_take_effect_from_their_offset(one: Machine) -> None:
    """What is in force is part of what co-activation carries."""
    await apply_settings(one.log, FIRST, lambda: 7)
    await one.pump(one.coactivation()).run(until=await one.ends())
    (state, *_) = [FoldState(c.state) for c in (await one.store.load_checkpoints("co-activation")).values()]
    assert state.settings == FIRST
    assert applied("x", FIRST).data == SettingsApplied(settings=FIRST)


class Counting:
    """A log that counts the records that are read."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.records = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def read(self, partition: TopicPartition, start: int, **options: Any) -> list[Record]:
        """Read and count."""
        records = await self._log.read(partition, start, **options)
        self.records += len(records)
        return records


async def test_they_are_looked_for_where_little_stands(one: Machine) -> None:
    """A long conversation is not read for them; a partition without any does not tell that there are none."""
    said = [record(message(f"m{n}", "We go to Lofoten.")) for n in range(1000)]
    await one.log.append(said)
    log: Any = Counting(one.log)
    assert await settings_in_force(log, {}) is None
    await apply_settings(one.log, FIRST, lambda: 7)
    then = await one.ends()
    await one.log.append(said)
    await apply_settings(one.log, SECOND, lambda: 8)
    log.records = 0
    assert await settings_in_force(log, {}) == SECOND
    assert await settings_at(log, then) == FIRST
    assert log.records == 3
    filled = max(then, key=lambda at: then[at])
    assert await settings_at(log, dict.fromkeys(then, 0) | {filled: then[filled]}) == FIRST
