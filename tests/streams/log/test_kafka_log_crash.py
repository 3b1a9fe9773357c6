"""`KafkaLog` while its broker is away, is killed, or stands still."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TypeVar

import pytest

from contracts.log_contract import read_all
from fixtures.kafka import Kafka, kafka, own_kafka
from fixtures.ports import free_ports
from helamem.schemas.errors import RetryLater
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.schemas.topics import TopicSpec
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import apply_topics

__all__ = ["kafka", "own_kafka"]

pytestmark = pytest.mark.slow  # brokers are killed and started

TIMEOUT_S = 2.0
PATIENCE_S = 60.0
"""How long anything may take at most; how fast a machine is, is no test."""

T = TypeVar("T")


@pytest.fixture
def settings(own_kafka: Kafka) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=own_kafka.servers, timeout_s=TIMEOUT_S)


@pytest.fixture
async def log(settings: KafkaSettings) -> AsyncIterator[KafkaLog]:
    spec = TopicSpec(base_name=f"crash-{uuid.uuid4().hex[:8]}", key="anything", events=(), partitions=3)
    await apply_topics(settings, [spec], replication=1)
    async with await KafkaLog.open(settings, [spec]) as log:
        yield log


async def patiently(what: Callable[[], Awaitable[T]]) -> T:
    """Return what it returns, trying again while the broker is away."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await what()
            except RetryLater:
                await asyncio.sleep(0.05)


async def patiently_read(log: KafkaLog, at: TopicPartition) -> list[bytes]:
    """Return all values of a partition, trying again while the broker is away."""
    return [record.value for record in await patiently(lambda: read_all(log, at))]


def first_seen(values: list[bytes]) -> list[bytes]:
    """Return values without doubles, as readers skip an event id that they have seen."""
    return list(dict.fromkeys(values))


async def test_no_broker_at_all() -> None:
    """Whoever opens a log or makes topics where nobody answers is told at once where and what to do."""
    (port,) = free_ports(1)
    settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}", timeout_s=10 * PATIENCE_S)
    spec = TopicSpec(base_name="nowhere", key="", events=())
    async with asyncio.timeout(PATIENCE_S):  # and not only after the time-out of an operation
        for attempt in (KafkaLog.open(settings, [spec]), apply_topics(settings, [spec], replication=1)):
            with pytest.raises(RetryLater, match=rf"127.0.0.1:{port} did not answer, .*check that it runs"):
                await attempt


async def test_every_question_says_that_the_broker_is_away(log: KafkaLog, own_kafka: Kafka) -> None:
    """Each operation gives up within its time and can be tried again; afterwards all is there."""
    (at, *_) = log._all
    record = NewRecord(topic=at.topic, key=b"", value=b"v", partition=at.partition)
    await log.append([record] * 10)
    await log.commit("crash", {at: 5})
    assert len(await log.read(at, 0, limit=5)) == 5
    await asyncio.to_thread(own_kafka.kill)
    for attempt in (
        lambda: log.append([record]),
        lambda: log.read(at, 10),
        lambda: log.begin_offsets([at]),
        lambda: log.end_offsets([at]),
        lambda: log.offsets_at([at], 0),
        lambda: log.committed("crash"),
        lambda: log.commit("crash", {at: 7}),
    ):
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(RetryLater, match=f"Kafka at {own_kafka.servers} "):
                await attempt()
    assert not await log.wait_for_append({at: 10}, 0.5)
    await asyncio.to_thread(own_kafka.start)
    assert await patiently(lambda: log.committed("crash")) == {at: 5}
    assert len(await patiently(lambda: log.read(at, 5, end=10))) == 5
    # A refused append may be in the log all the same, if the broker was fast enough to take it.
    ((_, offset),) = await patiently(lambda: log.append([record]))
    assert offset >= 10
    assert await log.wait_for_append({at: offset}, PATIENCE_S)


class Load:
    """Producers that append until they are stopped, again after a refusal, and remember what they were told."""

    def __init__(self, log: KafkaLog, rng: random.Random) -> None:
        self._log = log
        self._rng = rng
        self.stopping = False
        self.refusals = 0
        self.acknowledged: dict[tuple[TopicPartition, int], bytes] = {}
        self.in_order: defaultdict[tuple[TopicPartition, int], list[bytes]] = defaultdict(list)

    async def run(self, name: int) -> None:
        n = 0
        while not self.stopping:
            size = self._rng.choice((1, 5, 300))
            records = [self._record(name, number) for number in range(n, n + size)]
            places = await self._append(records)
            for place, record in zip(places, records, strict=True):
                self.acknowledged[place] = record.value
                self.in_order[place[0], name].append(record.value)
            n += size

    def _record(self, name: int, number: int) -> NewRecord:
        at = self._log._all[number % 3]
        value = b"%d:%d:" % (name, number) + self._rng.randbytes(self._rng.choice((10, 2000)))
        return NewRecord(topic=at.topic, key=b"k", value=value, partition=at.partition)

    async def reached(self, acknowledged: int, refusals: int = 0) -> None:
        """Wait until so many records were acknowledged, and so many appends refused."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.acknowledged) < acknowledged or self.refusals < refusals:  # noqa: ASYNC110 - tasks append
                await asyncio.sleep(0.02)

    async def _append(self, records: list[NewRecord]) -> list[tuple[TopicPartition, int]]:
        while True:
            try:
                return await self._log.append(records)
            except RetryLater:
                self.refusals += 1
                await asyncio.sleep(0.1)


async def test_killed_in_the_middle_of_appends(log: KafkaLog, own_kafka: Kafka) -> None:
    """Killed again and again under load: nothing acknowledged is lost or moved, and order of first sight holds."""
    rng = random.Random(7)
    load = Load(log, rng)
    appending = [asyncio.create_task(load.run(name)) for name in range(4)]
    for long in (True, False, True):
        await load.reached(len(load.acknowledged) + 1000)
        await asyncio.sleep(rng.uniform(0.0, 0.3))
        await asyncio.to_thread(own_kafka.kill)
        if long:  # until appends are given up
            await load.reached(0, load.refusals + 1)
        await asyncio.to_thread(own_kafka.start)
    await load.reached(len(load.acknowledged) + 1000)
    load.stopping = True
    await asyncio.gather(*appending)

    for at in log._all:
        values = await patiently_read(log, at)
        found = dict(enumerate(values))
        assert {offset: value for (place, offset), value in load.acknowledged.items() if place == at}.items() <= (
            found.items()
        )
        for name in range(4):
            own = [value for value in first_seen(values) if value.startswith(b"%d:" % name)]
            assert own == load.in_order[at, name]


async def test_a_broker_that_stands_still(log: KafkaLog, own_kafka: Kafka) -> None:
    """A frozen broker keeps its connections: appends give up in time, and go through once it moves again."""
    (at, *_) = log._all
    records = [NewRecord(topic=at.topic, key=b"", value=b"%d" % n, partition=at.partition) for n in range(10)]
    await log.append(records)
    own_kafka.pause()
    async with asyncio.timeout(PATIENCE_S):
        refused = await asyncio.gather(*(log.append(records[n:]) for n in range(10)), return_exceptions=True)
    assert all(isinstance(error, RetryLater) for error in refused)
    assert log._appender.room.taken_bytes == 0
    own_kafka.resume()
    await patiently(lambda: log.append(records))
    values = await patiently_read(log, at)
    assert first_seen(values) == [b"%d" % n for n in range(10)]
    assert values[-10:] == [b"%d" % n for n in range(10)]


async def test_a_reader_goes_on_after_a_restart(log: KafkaLog, own_kafka: Kafka) -> None:
    """A reader at the tail waits through a restart and gets what is appended afterwards, nothing twice."""
    (at, *_) = log._all
    seen: list[int] = []

    async def follow() -> None:
        while len(set(seen)) < 40:
            await log.wait_for_append({at: len(seen)}, 0.5)
            try:
                seen.extend(int(record.value) for record in await log.read(at, len(seen)))
            except RetryLater:
                continue

    following = asyncio.create_task(follow())
    for start in (0, 20):
        records = [
            NewRecord(topic=at.topic, key=b"", value=b"%d" % n, partition=at.partition)
            for n in range(start, start + 20)
        ]
        await patiently(partial(log.append, records))
        if start == 0:
            async with asyncio.timeout(PATIENCE_S):
                while len(seen) < 20:  # noqa: ASYNC110 - another task reads
                    await asyncio.sleep(0.02)
            await asyncio.to_thread(own_kafka.restart)
    await asyncio.wait_for(following, PATIENCE_S)
    # A refused append may be in the log all the same; what the reader saw is what is there, nothing twice.
    stored = [int(value) for value in await patiently_read(log, at)]
    assert seen == stored[: len(seen)]
    assert list(dict.fromkeys(stored)) == list(range(40))


async def test_positions_of_a_group_survive_a_restart(log: KafkaLog, own_kafka: Kafka) -> None:
    """What was committed before the broker was killed is there after it."""
    first, second, _ = log._all
    await log.commit("survivor", {first: 3, second: 4})
    await log.commit("survivor", {first: 2})
    await asyncio.to_thread(own_kafka.restart)
    assert await patiently(lambda: log.committed("survivor")) == {first: 2, second: 4}
