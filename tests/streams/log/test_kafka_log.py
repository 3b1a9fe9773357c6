"""`KafkaLog` under the contract of every log, on a real broker, and what is its own."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition as KafkaPartition

from contracts.log_contract import LogContract, Reopen, read_all
from fixtures.kafka import Kafka, kafka
from helamem.schemas.errors import ConfigurationError
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.schemas.topics import TopicSpec
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import apply_topics
from helamem.streams.log.partitioner import MAX_KEY_BYTES

__all__ = ["kafka"]

pytestmark = pytest.mark.slow  # the broker takes seconds to start


@pytest.fixture
def settings(kafka: Kafka) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka.servers, timeout_s=20)


class TestContract(LogContract):
    @pytest.fixture
    async def opened(self, settings: KafkaSettings, topics: Sequence[TopicSpec]) -> AsyncIterator[list[KafkaLog]]:
        await apply_topics(settings, topics, replication=1)
        logs = [await KafkaLog.open(settings, topics)]
        yield logs
        await logs[-1].close()

    @pytest.fixture
    def log(self, opened: list[KafkaLog]) -> KafkaLog:
        return opened[0]

    @pytest.fixture
    def reopen(self, opened: list[KafkaLog], settings: KafkaSettings, topics: Sequence[TopicSpec]) -> Reopen:
        async def reopen() -> KafkaLog:
            await opened[-1].close()
            opened.append(await KafkaLog.open(settings, topics))
            return opened[-1]

        return reopen


@pytest.fixture
def spec() -> TopicSpec:
    return TopicSpec(base_name=f"own-{uuid.uuid4().hex[:8]}", key="anything", events=(), partitions=2)


@pytest.fixture
async def log(settings: KafkaSettings, spec: TopicSpec) -> AsyncIterator[KafkaLog]:
    await apply_topics(settings, [spec], replication=1)
    async with await KafkaLog.open(settings, [spec]) as log:
        yield log


@pytest.fixture
def at(spec: TopicSpec) -> TopicPartition:
    return TopicPartition(spec.name, 0)


def new(at: TopicPartition, *values: bytes) -> list[NewRecord]:
    return [NewRecord(topic=at.topic, key=b"k", value=value, partition=at.partition) for value in values]


async def test_the_largest_record_with_the_largest_key(settings: KafkaSettings) -> None:
    """What the size limit of a topic allows, its configuration in Kafka takes."""
    spec = TopicSpec(
        base_name=f"large-{uuid.uuid4().hex[:8]}", key="", events=(), partitions=1, max_record_bytes=1_500_000
    )
    await apply_topics(settings, [spec], replication=1)
    at = TopicPartition(spec.name, 0)
    blob, key = random.Random(2).randbytes(1_500_000), random.Random(3).randbytes(MAX_KEY_BYTES)
    async with await KafkaLog.open(settings, [spec]) as log:
        small = new(at, b"before")[0]
        await log.append([small, NewRecord(topic=spec.name, key=key, value=blob), small])
        records = await read_all(log, at)
        assert [(record.key == key, record.value == blob) for record in records] == [
            (False, False),
            (True, True),
            (False, False),
        ]


async def test_compressed_batches(settings: KafkaSettings, log: KafkaLog, spec: TopicSpec, at: TopicPartition) -> None:
    """What one program writes compressed, every reader gets as it was, with dense offsets."""
    values = [b"the same words again and again %d" % n for n in range(3000)]
    async with await KafkaLog.open(replace(settings, compression="gzip"), [spec]) as other:
        places = await other.append(new(at, *values))
        assert places == [(at, n) for n in range(3000)]
    assert [record.value for record in await read_all(log, at)] == values


async def test_reading_while_appending(log: KafkaLog, at: TopicPartition) -> None:
    """A reader at the tail gets every record in order, soon after it was appended, however the two interleave."""
    total, delays_s = 2000, []
    sent_at: dict[int, float] = {}
    loop = asyncio.get_running_loop()

    async def append() -> None:
        n = 0
        while n < total:
            values = [b"%d" % number for number in range(n, min(total, n + random.Random(n).choice((1, 7, 90))))]
            sent_at.update(dict.fromkeys(range(n, n + len(values)), loop.time()))
            await log.append(new(at, *values))
            n += len(values)
            await asyncio.sleep(0.002)

    appending = asyncio.create_task(append())
    seen: list[int] = []
    while len(seen) < total:
        assert await log.wait_for_append({at: len(seen)}, 10)
        records = await log.read(at, len(seen))
        seen += [int(record.value) for record in records]
        delays_s.append(loop.time() - sent_at[seen[-1]])
    await appending
    assert seen == list(range(total))
    assert sorted(delays_s)[len(delays_s) // 2] < 0.25
    assert not await log.wait_for_append({at: total}, 0.05)


async def test_two_readers_of_one_partition(log: KafkaLog, at: TopicPartition) -> None:
    """Readers at different places, and the same place twice, do not disturb each other; few connections stay open."""
    await log.append(new(at, *(b"%d" % n for n in range(500))))

    async def read_through(limit: int) -> list[int]:
        return [int(record.value) for record in await read_all(log, at, limit=limit)]

    assert await asyncio.gather(*map(read_through, (500, 100, 37, 37))) == [list(range(500))] * 4
    assert [int(record.value) for record in await log.read(at, 250, end=260)] == list(range(250, 260))
    assert len(log._cursors._idle) <= 2


async def test_little_waits_and_nobody_starves(settings: KafkaSettings, spec: TopicSpec, at: TopicPartition) -> None:
    """Appends wait for room: what is under way stays within the bound, and all of them get through."""
    await apply_topics(settings, [spec], replication=1)
    bound = 100_000
    async with await KafkaLog.open(replace(settings, max_pending_bytes=bound), [spec]) as log:
        appends = [asyncio.create_task(log.append(new(at, *[b"x" * 3000] * 10))) for _ in range(60)]
        appends.append(asyncio.create_task(log.append(new(at, b"x" * 2 * bound))))
        most = 0
        while not all(append.done() for append in appends):
            room = log._appender.room.taken_bytes
            most = max(most, room if room < 2 * bound else 0)
            await asyncio.sleep(0)
        assert 60_000 < most <= bound
        assert sorted(offset for append in appends for _, offset in append.result()) == list(range(601))


async def test_a_cancelled_append_disturbs_nobody(log: KafkaLog, at: TopicPartition) -> None:
    """Whoever gives up may find the records in the log or not; everybody else's are acknowledged as ever."""
    appends = [asyncio.create_task(log.append(new(at, b"%d" % n))) for n in range(50)]
    await asyncio.sleep(0)
    for append in appends[::2]:
        append.cancel()
    await asyncio.gather(*appends, return_exceptions=True)
    found = {record.offset: record.value for record in await read_all(log, at)}
    for n, append in enumerate(appends):
        assert append.cancelled() or found[append.result()[0][1]] == b"%d" % n
    assert log._appender.room.taken_bytes == 0


async def test_what_was_never_committed_is_never_seen(
    settings: KafkaSettings, log: KafkaLog, at: TopicPartition
) -> None:
    """Somebody else's transactions: aborted records are skipped, and their marks in the log end no wait."""
    async with AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers, transactional_id=f"test-{uuid.uuid4()}"
    ) as stranger:
        await stranger.begin_transaction()
        await stranger.send_and_wait(at.topic, b"aborted", partition=at.partition)
        await stranger.abort_transaction()
        assert not await log.wait_for_append({at: 0}, 0.3)
        assert await log.read(at, 0) == []
        await stranger.begin_transaction()
        await stranger.send_and_wait(at.topic, b"open", partition=at.partition)
        assert await log.read(at, 0) == []
        await stranger.commit_transaction()
    assert await log.wait_for_append({at: 0}, 10)
    (record,) = await log.read(at, 0)
    assert (record.key, record.value) == (b"", b"open")
    assert await log.read(at, record.offset + 1) == []
    assert not await log.wait_for_append({at: record.offset + 1}, 0.3)


async def test_what_retention_deleted_is_not_skipped_in_silence(
    settings: KafkaSettings, log: KafkaLog, at: TopicPartition
) -> None:
    """A reader that comes too late is told; the begin says where reading is possible."""
    await log.append(new(at, *(b"%d" % n for n in range(10))))
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    await admin.delete_records({KafkaPartition(*at): RecordsToDelete(before_offset=4)})
    await admin.close()
    assert await log.begin_offsets([at]) == {at: 4}
    assert [int(record.value) for record in await log.read(at, 4)] == [4, 5, 6, 7, 8, 9]
    with pytest.raises(ConfigurationError, match="has no offset 2"):
        await log.read(at, 2)
    with pytest.raises(ConfigurationError, match="has no offset 2"):
        await log.wait_for_append({at: 2}, 1)


async def test_a_group_with_members_is_not_moved(settings: KafkaSettings, log: KafkaLog, at: TopicPartition) -> None:
    """Only its members move a running group; from outside its positions can be read."""
    group = f"test-{uuid.uuid4().hex[:8]}"
    async with AIOKafkaConsumer(
        at.topic, bootstrap_servers=settings.bootstrap_servers, group_id=group, enable_auto_commit=False
    ) as member:
        await member.commit({KafkaPartition(*at): 5})
        assert await log.committed(group) == {at: 5}
        with pytest.raises(ConfigurationError, match="running workers"):
            await log.commit(group, {at: 1})
    await log.commit(group, {at: 1})
    assert await log.committed(group) == {at: 1}
