"""What every `Log` does. An adapter's tests subclass `LogContract` and say how to open and reopen one."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable

import pytest
from aiokafka.partitioner import DefaultPartitioner

from helamem.schemas.errors import BadInput
from helamem.schemas.records import NewRecord, Record, TopicPartition
from helamem.schemas.topics import TopicSpec
from helamem.schemas.wire import MAX_RECORD_BYTES
from helamem.streams.log.port import Log

Reopen = Callable[[], Awaitable[Log]]


async def read_all(log: Log, partition: TopicPartition, limit: int = 1000) -> list[Record]:
    """Return all records of a partition, read in as many steps as it takes."""
    records: list[Record] = []
    while batch := await log.read(partition, len(records), limit=limit):
        records += batch
    return records


class LogContract:
    """Subclass it and add the fixtures `log` (opened over `topics`) and `reopen` (closes it and opens it again)."""

    @pytest.fixture
    def topics(self) -> tuple[TopicSpec, ...]:
        """Two topics of this test's own, the first with three partitions, the second with one."""
        run = uuid.uuid4().hex[:8]
        return (
            TopicSpec(base_name=f"contract-{run}.many", key="anything", events=(), partitions=3),
            TopicSpec(base_name=f"contract-{run}.one", key="anything", events=(), partitions=1),
        )

    @pytest.fixture
    def many(self, topics: tuple[TopicSpec, ...]) -> str:
        return topics[0].name

    @pytest.fixture
    def one(self, topics: tuple[TopicSpec, ...]) -> str:
        return topics[1].name

    async def test_offsets_are_dense_and_in_order(self, log: Log, many: str) -> None:
        """Each partition counts its records from 0 without gaps, in the order in which they were appended."""
        for start in range(0, 60, 20):
            places = await log.append(
                [NewRecord(topic=many, key=b"", value=b"%d" % n, partition=n % 3) for n in range(start, start + 20)]
            )
            assert places == [(TopicPartition(many, n % 3), n // 3) for n in range(start, start + 20)]
        for partition in await log.partitions(many):
            records = await read_all(log, partition)
            assert [record.offset for record in records] == list(range(20))
            assert [int(record.value) for record in records] == list(range(partition.partition, 60, 3))

    async def test_records_come_back_to_the_byte(self, log: Log, one: str) -> None:
        """Key and value are bytes of any kind, empty ones included, up to the size limit."""
        values = [b"", b"\x00\xff", "Gedächtnis".encode(), random.Random(1).randbytes(MAX_RECORD_BYTES)]
        await log.append([NewRecord(topic=one, key=value[:9], value=value) for value in values])
        records = await read_all(log, TopicPartition(one, 0))
        assert [record.value for record in records] == values
        assert [record.key for record in records] == [value[:9] for value in values]
        assert {(record.topic, record.partition) for record in records} == {(one, 0)}

    async def test_headers_come_back(self, log: Log, one: str) -> None:
        """In their order, with names that are there twice or empty, and bytes of any kind."""
        headers = [(), (("trace", b"\x00\xff"), ("", b""), ("trace", b"again")), (("Gedächtnis", b"ja"),)]
        await log.append([NewRecord(topic=one, key=b"k", value=b"v", headers=some) for some in headers])
        assert [record.headers for record in await read_all(log, TopicPartition(one, 0))] == headers

    async def test_a_key_chooses_the_partition_as_kafka_does(self, log: Log, many: str) -> None:
        """Kafka's default partitioner decides, so all records of a space stand in one partition of any log."""
        keys = [b"acme/agent-%d" % n for n in range(50)] + ["münchen/ü".encode(), b""]
        places = await log.append([NewRecord(topic=many, key=key, value=b"x") for key in keys])
        assert [at.partition for at, _ in places] == [DefaultPartitioner()(key, [0, 1, 2], []) for key in keys]
        assert {at.partition for at, _ in places} == {0, 1, 2}

    async def test_read_takes_a_range(self, log: Log, one: str) -> None:
        """A read begins at its start, stops before its end, and returns no more than its limit."""
        await log.append([NewRecord(topic=one, key=b"k", value=b"%d" % n) for n in range(10)])

        async def offsets(start: int, end: int | None = None, limit: int = 1000) -> list[int]:
            return [record.offset for record in await log.read(TopicPartition(one, 0), start, end=end, limit=limit)]

        assert await offsets(3, 6) == [3, 4, 5]
        assert await offsets(8) == [8, 9]
        assert await offsets(2, limit=3) == [2, 3, 4]
        assert await offsets(5, 5) == []
        assert await offsets(10) == []
        assert await offsets(99) == []

    async def test_append_is_all_or_nothing(self, log: Log, many: str, one: str) -> None:
        """One record that cannot be taken keeps the whole batch out, and the error says what is wrong."""
        good = NewRecord(topic=one, key=b"k", value=b"v")
        for bad, reason in (
            (NewRecord(topic="elsewhere.g1", key=b"k", value=b"v"), "elsewhere.g1"),
            (NewRecord(topic=many, key=b"k", value=b"v", partition=3), "partition 3"),
            (NewRecord(topic=many, key=b"k", value=b"v", partition=-1), "partition -1"),
            (NewRecord(topic=many, key=b"k", value=b"x" * (MAX_RECORD_BYTES + 1)), "1,000,001 bytes"),
        ):
            with pytest.raises(BadInput, match=reason):
                await log.append([good, bad, good])
        assert await log.end_offsets([TopicPartition(one, 0)]) == {TopicPartition(one, 0): 0}

    async def test_an_empty_append_does_nothing(self, log: Log) -> None:
        """Nothing to append is no error."""
        assert await log.append([]) == []

    async def test_unknown_partitions_are_refused(self, log: Log, one: str) -> None:
        """Whoever names a topic or partition that is not there is told so."""
        unknown = TopicPartition(one, 1)
        for question in (
            log.partitions("elsewhere.g1"),
            log.read(unknown, 0),
            log.begin_offsets([unknown]),
            log.end_offsets([unknown]),
            log.offsets_at([unknown], 0),
            log.commit("group", {unknown: 1}),
            log.wait_for_append({unknown: 0}, 0),
        ):
            with pytest.raises(BadInput):
                await question

    async def test_positions_of_partitions(self, log: Log, many: str) -> None:
        """The end is the next record's offset and 0 in an empty partition; the begin is the first that is held."""
        partitions = await log.partitions(many)
        assert partitions == [TopicPartition(many, n) for n in range(3)]
        await log.append([NewRecord(topic=many, key=b"k", value=b"v", partition=1)] * 4)
        assert await log.begin_offsets(partitions) == dict.fromkeys(partitions, 0)
        assert await log.end_offsets(partitions) == dict(zip(partitions, (0, 4, 0), strict=True))

    async def test_append_times_never_decrease(self, log: Log, many: str) -> None:
        """Within a partition time stands still or goes forward."""
        for _ in range(5):
            await log.append([NewRecord(topic=many, key=b"", value=b"v", partition=n % 3) for n in range(9)])
        for partition in await log.partitions(many):
            times = [record.append_time_ms for record in await read_all(log, partition)]
            assert times == sorted(times)
            assert times[0] > 0

    async def test_offsets_at_a_time(self, log: Log, many: str) -> None:
        """A moment gives the first offset after it: the ends of the log as it stood then, that moment included."""
        for n in range(12):
            await log.append([NewRecord(topic=many, key=b"", value=b"v", partition=n % 2)])
            await asyncio.sleep(0.002)
        partitions = await log.partitions(many)
        times = {partition: [r.append_time_ms for r in await read_all(log, partition)] for partition in partitions}
        moments = {0, *(moment + near for of in times.values() for moment in of for near in (-1, 0, 1))}
        for moment in moments:
            expected = {at: sum(time <= moment for time in times[at]) for at in partitions}
            assert await log.offsets_at(partitions, moment) == expected

    async def test_committed_positions_belong_to_a_group(self, log: Log, many: str, one: str) -> None:
        """Each group has its own positions; the last one stored counts, also where it goes back."""
        assert await log.committed("encoding") == {}
        await log.commit("encoding", {TopicPartition(many, 0): 7, TopicPartition(one, 0): 2})
        await log.commit("encoding", {TopicPartition(many, 0): 5})
        await log.commit("audit", {TopicPartition(many, 0): 1})
        assert await log.committed("encoding") == {TopicPartition(many, 0): 5, TopicPartition(one, 0): 2}
        assert await log.committed("audit") == {TopicPartition(many, 0): 1}

    async def test_everything_is_there_after_reopening(self, log: Log, reopen: Reopen, many: str, one: str) -> None:
        """Records, offsets, times and committed positions outlive the process, and appending goes on after them."""
        await log.append([NewRecord(topic=many, key=b"k%d" % n, value=b"%d" % n) for n in range(50)])
        await log.commit("group", {TopicPartition(many, 2): 3})
        partitions = [*await log.partitions(many), *await log.partitions(one)]
        before = {partition: await read_all(log, partition) for partition in partitions}
        log = await reopen()
        assert {partition: await read_all(log, partition) for partition in partitions} == before
        assert await log.committed("group") == {TopicPartition(many, 2): 3}
        places = await log.append([NewRecord(topic=many, key=b"", value=b"next", partition=1)])
        assert places == [(TopicPartition(many, 1), len(before[TopicPartition(many, 1)]))]

    async def test_waiting_for_an_append(self, log: Log, many: str) -> None:
        """A wait ends when there is something at or past one of its offsets, and says whether there is."""
        first, second = TopicPartition(many, 0), TopicPartition(many, 1)
        assert not await log.wait_for_append({first: 0, second: 0}, 0)
        assert not await log.wait_for_append({first: 0, second: 0}, 0.02)
        waiting = asyncio.create_task(log.wait_for_append({first: 0, second: 0}, 30))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await log.append([NewRecord(topic=many, key=b"", value=b"v", partition=1)])
        assert await waiting
        assert await log.wait_for_append({first: 0, second: 0}, 30)
        assert not await log.wait_for_append({first: 0, second: 1}, 0.02)

    async def test_concurrent_appends_keep_their_order(self, log: Log, many: str) -> None:
        """Many tasks append at once: each finds its own records in its own order, where it was told they are."""

        async def appender(name: int) -> dict[tuple[TopicPartition, int], bytes]:
            places: dict[tuple[TopicPartition, int], bytes] = {}
            for n in range(0, 20, 2):
                values = [b"%d:%d" % (name, n), b"%d:%d" % (name, n + 1)]
                told = await log.append([NewRecord(topic=many, key=b"space-%d" % name, value=v) for v in values])
                places.update(zip(told, values, strict=True))
            return places

        told: dict[tuple[TopicPartition, int], bytes] = {}
        for places in await asyncio.gather(*(appender(name) for name in range(30))):
            told.update(places)
        found = {}
        for partition in await log.partitions(many):
            records = await read_all(log, partition, limit=37)
            assert [record.offset for record in records] == list(range(len(records)))
            found.update({(partition, record.offset): record.value for record in records})
            for name in range(30):
                own = [int(r.value.split(b":")[1]) for r in records if r.value.startswith(b"%d:" % name)]
                assert own == sorted(own)
        assert found == told
        assert len(told) == 600

    async def test_thousands_in_one_append(self, log: Log, many: str) -> None:
        """A batch of thousands is one append, and is read back in steps."""
        places = await log.append([NewRecord(topic=many, key=b"s%d" % (n % 40), value=b"%d" % n) for n in range(5000)])
        assert len(places) == 5000
        counts = [len(await read_all(log, partition, limit=501)) for partition in await log.partitions(many)]
        assert sum(counts) == 5000
