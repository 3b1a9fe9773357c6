"""What a merger does with inlets, on a log of one file: Kafka is in tests/streams/cli/test_fleet_merge.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fakes.events import message
from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.schemas.events import SEALED_TEXT, ConversationMessage
from helamem.schemas.ids import derived_id
from helamem.schemas.records import NewRecord, Record, TopicPartition
from helamem.schemas.topics import CONVERSATIONS, TOPICS, TopicSpec, inlet_of
from helamem.schemas.wire import Event, decode, encode
from helamem.streams.backoff import Backoff
from helamem.streams.gateway.keys import Keys
from helamem.streams.gateway.quotas import Quotas
from helamem.streams.inlet import merger as merging
from helamem.streams.inlet.merger import Merger, Taken
from helamem.streams.inlet.rules import GROUP
from helamem.streams.log.port import Log
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.merging import MergeMeter
from helamem.streams.metrics.registry import Metrics
from helamem.streams.redrive import Letter, letters, redrive
from helamem.streams.sealing.keys import KeyFiles, make_keys
from helamem.streams.sealing.log import SealingLog
from helamem.streams.sealing.seal import Sealer

DAY_MS = 86_400_000
ACME, GLOBEX = inlet_of("acme"), inlet_of("globex")
_WAIT_S = 30.0


class World:
    """A log with two inlets, what a merger needs beside it, and what it was told."""

    def __init__(self, log: SqliteLog, folder: Path) -> None:
        self.log = log
        self.now_ms = 20 * DAY_MS
        self.keys = Keys(folder)
        self.quotas = Quotas(None, self.keys, lambda: self.now_ms)
        self.taken: list[Taken] = []
        self.trimmed: dict[TopicPartition, int] = {}
        self.metrics = Metrics()
        self.meter = MergeMeter(self.metrics)

    def merger(self, log: Log | None = None, sealed: Sequence[str] = (), batch_records: int = 3) -> Merger:
        """Return a merger over the log, or over another view of it."""

        async def commit(offsets: Mapping[TopicPartition, int]) -> None:
            await self.log.commit(GROUP, offsets)

        async def trim(offsets: Mapping[TopicPartition, int]) -> None:
            self.trimmed.update(offsets)

        return Merger(
            log or self.log,
            {spec.name: spec for spec in (ACME, GLOBEX)},
            commit=commit,
            trim=trim,
            keys=self.keys,
            quotas=self.quotas,
            sealed=sealed,
            batch_records=batch_records,
            on_taken=self.meter.noting(self.taken.append),
            on_behind=self.meter.note_behind,
            on_held=self.meter.note_held,
        )

    async def say(self, spec: TopicSpec, *events: Event | tuple[bytes, bytes]) -> None:
        """Write into an inlet: events, or keys and values that are none."""
        await self.log.append(
            [
                NewRecord(topic=spec.name, key=one.space.encode(), value=encode(one))
                if isinstance(one, Event)
                else NewRecord(topic=spec.name, key=one[0], value=one[1])
                for one in events
            ]
        )

    async def merged(self) -> list[Event]:
        """Return what stands in the topic that everybody reads."""
        return [
            decode(record.value)
            for at in await self.log.partitions(CONVERSATIONS.name)
            for record in await self.log.read(at, 0)
        ]

    async def aside(self) -> list[Letter]:
        """Return the dead letters."""
        return await letters(self.log)

    async def left(self) -> int:
        """Return how many records of inlets wait."""
        places = [at for spec in (ACME, GLOBEX) for at in await self.log.partitions(spec.name)]
        done, ends = await self.log.committed(GROUP), await self.log.end_offsets(places)
        return sum(end - done.get(at, 0) for at, end in ends.items())

    def count(self, metric: c.Metric, **labels: str) -> float | None:
        """Return the value of a metric."""
        return self.metrics.registry.get_sample_value(metric.name, labels)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A log with two inlets; who merges looks often."""
    monkeypatch.setattr(merging, "LOOK_AGAIN_S", 0.01)
    monkeypatch.setattr(merging, "HELD_S", 0.01)
    async with await SqliteLog.open(tmp_path / "log.sqlite", (*TOPICS, ACME, GLOBEX), lambda: 0) as log:
        yield World(log, tmp_path)


@asynccontextmanager
async def driven(world: World, merger: Merger) -> AsyncIterator[None]:
    """Drive both inlets meanwhile."""
    leaving = asyncio.Event()
    places = [at for spec in (ACME, GLOBEX) for at in await world.log.partitions(spec.name)]
    await merger.take_up(places, leaving)
    async with asyncio.TaskGroup() as tasks:
        driving = [tasks.create_task(merger.drive(at, leaving=leaving)) for at in places]
        yield
        leaving.set()
    assert all(one.result() for one in driving)


async def until(what: Callable[[], bool]) -> None:
    """Wait for something."""
    async with asyncio.timeout(_WAIT_S):
        while not what():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)


def said(number: int, space: str = "acme/anna", text: str = "I moved to Bergen.") -> Event:
    """Return a message of a producer, who gave it an id as they like."""
    return message(f"m{number}", text, space=space)


def ids(events: Sequence[Event], space: str = "acme/anna") -> list[str]:
    """Return the message ids of a space, in order."""
    return [one.data.message_id for one in events if one.space == space and isinstance(one.data, ConversationMessage)]


def total(world: World) -> int:
    """Return how many records were taken."""
    return sum(one.merged + sum(one.refused.values()) for one in world.taken)


async def test_messages_pass_in_order_and_the_rest_is_put_aside(world: World) -> None:
    """One bad record stops neither its tenant nor another; place and reason are told, and counted."""
    await world.say(ACME, *(said(n) for n in range(4)), (b"acme/anna", b"\xff"), *(said(n) for n in range(4, 9)))
    await world.say(GLOBEX, said(1, "globex/tom"))
    async with driven(world, world.merger()):
        await until(lambda: total(world) == 11)
    assert ids(await world.merged()) == [f"m{n}" for n in range(9)]
    assert ids(await world.merged(), "globex/tom") == ["m1"]
    assert {one.id for one in await world.merged() if one.space == "globex/tom"} == {
        derived_id("message", "globex/tom", "m1")
    }
    (letter,) = await world.aside()
    assert (letter.data.group, letter.data.topic, letter.data.offset) == ("merge", ACME.name, 4)
    assert (letter.value, letter.space) == (b"\xff", "acme/anna")
    assert await world.left() == 0
    assert world.count(c.MERGED) == 10
    assert world.count(c.MERGE_REFUSED, fault="no-event") == world.count(c.DEAD_LETTERED, group="merge") == 1
    assert world.count(c.MERGE_REFUSED, fault="other-tenant") == 0


async def test_no_tenant_reaches_another(world: World) -> None:
    """What acme's inlet holds for globex is put aside, shown to nobody of globex, and redriven by nobody."""
    theirs = said(1, "globex/tom", "Tom owes me money.")
    await world.say(ACME, theirs, (b"globex/tom", b'{"subject": "globex/tom"}'), said(2))
    async with driven(world, world.merger()):
        await until(lambda: total(world) == 3)
    assert [one.space for one in await world.merged()] == ["acme/anna"]
    found = await world.aside()
    assert found[0].data.reason.startswith("is no space of acme, whose inlet this is")
    assert [one.space for one in found] == [None, None]
    (place,) = await world.log.partitions("helamem.dead-letters.g1")
    assert {record.key for record in await world.log.read(place, 0)} == {b""}
    outcomes = await redrive(world.log, found)
    assert [one.refusal for one in outcomes] == [
        f"it came by the inlet {ACME.name}; have its producer send what was meant there again"
    ] * 2


async def test_killed_before_the_commit_it_is_there_once_in_order(world: World) -> None:
    """The batch is taken again: the same ids, first in the same order, and the same dead letters."""
    await world.say(ACME, *(said(n) for n in range(3)), (b"acme/anna", b"\xff"), *(said(n) for n in range(3, 6)))
    async with driven(world, world.merger(batch_records=4)):
        await until(lambda: total(world) == 7)
    before = await world.merged()
    (place,) = await world.log.partitions(ACME.name)
    await world.log.commit(GROUP, {place: 1})
    async with driven(world, world.merger(batch_records=4)):
        await until(lambda: total(world) == 7 + 6)
    after = await world.merged()
    assert list(dict.fromkeys(one.id for one in after)) == [one.id for one in before]
    assert len(after) == len(before) + 5
    assert len(await world.aside()) == 1


async def test_who_has_appended_all_they_may_waits_and_nobody_else(world: World) -> None:
    """What fits passes, the rest stays in the inlet until midnight; the others' go on meanwhile."""
    world.keys.limit("acme", messages_a_day=4)
    await world.say(ACME, (b"acme/anna", b"\xff"), *(said(n) for n in range(6)), (b"acme/anna", b"\xff"))
    async with driven(world, world.merger()):
        await until(lambda: world.count(c.MERGE_HELD) == 1)
        await world.say(GLOBEX, *(said(n, "globex/tom") for n in range(9)))
        await until(lambda: total(world) == 5 + 9)
        assert ids(await world.merged()) == ["m0", "m1", "m2", "m3"]
        assert await world.left() == 3
        await until(lambda: world.count(c.MERGE_BEHIND) == 3)
        world.now_ms += DAY_MS
        await until(lambda: total(world) == 8 + 9)
        assert world.count(c.MERGE_HELD) == 0
    assert ids(await world.merged()) == [f"m{n}" for n in range(6)]
    assert len(await world.aside()) == 2
    assert world.quotas.used("acme").messages == 2


async def test_bytes_count_too(world: World) -> None:
    """A text that no day has room for is put aside, or all behind it would wait for ever."""
    world.keys.limit("acme", bytes_a_day=20)
    await world.say(ACME, said(1, text="é" * 5), said(2, text="é" * 11), said(3, text="é" * 5), said(4, text="é"))
    async with driven(world, world.merger()):
        await until(lambda: world.count(c.MERGE_HELD) == 1)
    assert ids(await world.merged()) == ["m1", "m3"]
    assert world.count(c.MERGE_REFUSED, fault="over-quota") == 1
    assert await world.left() == 1


async def test_each_process_takes_its_part(world: World) -> None:
    """Of what a tenant may append in a day, where several count."""
    world.keys.gateways = 2
    world.keys.limit("acme", messages_a_day=4, bytes_a_day=100)
    await world.say(ACME, said(0, text="a" * 51), *(said(n, text="a") for n in range(1, 5)))
    async with driven(world, world.merger()):
        await until(lambda: world.count(c.MERGE_HELD) == 1)
    assert ids(await world.merged()) == ["m1", "m2"]
    assert world.count(c.MERGE_REFUSED, fault="over-quota") == 1


async def test_what_waits_is_counted_while_nothing_is_read(world: World) -> None:
    """Also what comes meanwhile; of partitions that are let go, whoever has them next says it."""
    world.keys.limit("acme", messages_a_day=1)
    await world.say(ACME, *(said(n) for n in range(3)))
    merger, leaving = world.merger(), asyncio.Event()
    (place,) = await world.log.partitions(ACME.name)
    await merger.take_up([place], leaving)
    driving = asyncio.create_task(merger.drive(place, leaving=leaving))
    await until(lambda: world.count(c.MERGE_BEHIND) == 2)
    await world.say(ACME, said(3), said(4))
    await until(lambda: world.count(c.MERGE_BEHIND) == 4)
    leaving.set()
    assert await driving
    assert world.count(c.MERGE_BEHIND) == 0


async def test_a_batch_is_a_request(world: World) -> None:
    """Of a tenant's rate; what is too often waits, the others' does not, and passes once the rate is raised."""
    world.keys.limit("acme", per_s=0.001)
    await world.say(ACME, *(said(n) for n in range(9)))
    async with driven(world, world.merger(batch_records=3)):
        await until(lambda: total(world) == 3)
        await world.say(GLOBEX, *(said(n, "globex/tom") for n in range(9)))
        await until(lambda: total(world) == 3 + 9)
        await until(lambda: world.count(c.MERGE_BEHIND) == 6)
        world.keys.limit("acme", per_s=1000)
        await until(lambda: total(world) == 9 + 9)
    assert ids(await world.merged()) == [f"m{n}" for n in range(9)]


async def test_an_inlet_that_cannot_be_read_stops_itself_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a tenant has written there; it is said without quoting it, and goes on when it can be read."""
    monkeypatch.setattr(merging, "_UNREADABLE", Backoff(first_s=0.01, longest_s=0.01))
    await world.say(ACME, said(1))
    await world.say(GLOBEX, said(1, "globex/tom"))
    reading, broken = world.log.read, True

    async def read(at: TopicPartition, start: int, *, end: int | None = None, limit: int = 1000) -> list[Record]:
        if at.topic == ACME.name and broken:
            raise ValueError("what they wrote")
        return await reading(at, start, end=end, limit=limit)

    monkeypatch.setattr(world.log, "read", read)
    async with driven(world, world.merger()):
        await until(lambda: "an inlet cannot be read and waits" in caplog.text and total(world) == 1)
        assert [one.space for one in await world.merged()] == ["globex/tom"]
        broken = False
        await until(lambda: total(world) == 2)
    assert "what they wrote" not in caplog.text


async def test_what_was_deleted_is_passed_over_and_told(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By another merger, or by an operator, since it could not be read: it goes on at what is there."""
    await world.say(ACME, *(said(n) for n in range(5)))
    reading, begin = world.log.read, 0

    async def read(at: TopicPartition, start: int, *, end: int | None = None, limit: int = 1000) -> list[Record]:
        nonlocal begin
        if start < 3:
            begin = 3
            raise ConfigurationError("there is no offset 0")
        return await reading(at, start, end=end, limit=limit)

    async def begins(partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, begin)

    monkeypatch.setattr(world.log, "read", read)
    monkeypatch.setattr(world.log, "begin_offsets", begins)
    async with driven(world, world.merger()):
        await until(lambda: total(world) == 2)
    monkeypatch.undo()
    assert ids(await world.merged()) == ["m3", "m4"]
    assert "records of an inlet are gone" in caplog.text


async def test_while_the_log_takes_nothing_it_waits_and_counts_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let go meanwhile, the batch is left to others, and is not among what the tenant has appended."""

    async def full(_: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        raise RetryLater("the disk is full")

    await world.say(ACME, said(1))
    monkeypatch.setattr(world.log, "append", full)
    merger, leaving = world.merger(), asyncio.Event()
    (place,) = await world.log.partitions(ACME.name)
    await merger.take_up([place], leaving)
    driving = asyncio.create_task(merger.drive(place, leaving=leaving))
    await until(lambda: world.quotas.used("acme").messages == 1)
    leaving.set()
    assert await driving is False
    assert world.quotas.used("acme").messages == 0
    assert await world.left() == 1


async def test_what_is_committed_is_deleted(world: World) -> None:
    """And no more than that; what was deleted already is not asked for again."""
    await world.say(ACME, *(said(n) for n in range(5)))
    (place,) = await world.log.partitions(ACME.name)
    merger = world.merger()
    async with driven(world, merger):
        await merger.trim_now()
        await until(lambda: total(world) == 5)
        await merger.trim_now()
        assert world.trimmed == {place: 5}
        world.trimmed.clear()
        await merger.trim_now()
        assert world.trimmed == {}


async def test_words_of_a_sealed_tenant_are_sealed(world: World, tmp_path: Path) -> None:
    """As those that come by a gateway; the others' stay as they are."""
    make_keys(tmp_path / "keys")
    log = SealingLog(world.log, Sealer(KeyFiles(tmp_path / "keys"), ["acme"]))
    await world.say(ACME, said(1))
    await world.say(GLOBEX, said(1, "globex/tom"))
    async with driven(world, world.merger(log, sealed=["acme"])):
        await until(lambda: total(world) == 2)
    texts = {one.space: one.data.text for one in await world.merged() if isinstance(one.data, ConversationMessage)}
    assert texts == {"acme/anna": SEALED_TEXT, "globex/tom": "I moved to Bergen."}


async def test_a_sealed_tenant_leaves_no_words_among_the_dead_letters(world: World) -> None:
    """They would stand there for good; place and reason are enough for whoever sent them."""
    await world.say(ACME, (b"acme/anna", b'{"text": "secret"}'))
    async with driven(world, world.merger(sealed=["acme"])):
        await until(lambda: total(world) == 1)
    (letter,) = await world.aside()
    assert (letter.value, letter.data.reason) == (b"", "is missing")
