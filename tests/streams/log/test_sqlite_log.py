"""`SqliteLog` under the contract of every log, and what is its own: one writer, threads, time, order of commits."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.log_contract import LogContract, Reopen, read_all
from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.schemas.topics import TOPICS, TopicSpec
from helamem.streams.home import wall_clock_ms
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.log.sqlite_file import MAX_READ_BYTES, Row
from helamem.streams.log.writer_lock import InUseError

ONE = TopicSpec(base_name="test.one", key="anything", events=(), partitions=1)
MANY = TopicSpec(base_name="test.many", key="anything", events=(), partitions=3)
AT = TopicPartition(ONE.name, 0)


def new(*values: bytes) -> list[NewRecord]:
    return [NewRecord(topic=ONE.name, key=b"k", value=value) for value in values]


class TestContract(LogContract):
    @pytest.fixture
    async def opened(self, tmp_path: Path, topics: Sequence[TopicSpec]) -> AsyncIterator[list[SqliteLog]]:
        logs = [await SqliteLog.open(tmp_path / "log.sqlite", topics, wall_clock_ms)]
        yield logs
        await logs[-1].close()

    @pytest.fixture
    def log(self, opened: list[SqliteLog]) -> SqliteLog:
        return opened[0]

    @pytest.fixture
    def reopen(self, opened: list[SqliteLog], tmp_path: Path, topics: Sequence[TopicSpec]) -> Reopen:
        async def reopen() -> SqliteLog:
            await opened[-1].close()
            opened.append(await SqliteLog.open(tmp_path / "log.sqlite", topics, wall_clock_ms))
            return opened[-1]

        return reopen


async def test_records_of_a_key_are_counted(path: Path) -> None:
    """Between two offsets, in one partition, and no more than are asked for."""
    async with await SqliteLog.open(path, [ONE, MANY], wall_clock_ms) as log:
        await log.append([NewRecord(topic=ONE.name, key=b"kj"[n % 2 : n % 2 + 1], value=b"v") for n in range(10)])
        await log.append([NewRecord(topic=MANY.name, key=b"k", value=b"v")])
        assert await log.count(AT, 0, 100, b"k", 100) == 5
        assert await log.count(AT, 1, 5, b"k", 100) == 2
        assert await log.count(AT, 0, 100, b"k", 3) == 3
        assert await log.count(AT, 0, 100, b"nobody", 3) == 0


async def test_a_topic_can_be_read_for_some_keys_alone(path: Path) -> None:
    """With the last record before each end, whatever its key; other topics are read as ever."""
    async with await SqliteLog.open(path, [ONE, MANY], wall_clock_ms) as log:
        await log.append([NewRecord(topic=ONE.name, key=b"kjl"[n % 3 : n % 3 + 1], value=b"v") for n in range(12)])
        await log.append([NewRecord(topic=MANY.name, partition=0, key=b"j", value=b"v")])
        log.narrow(ONE.name, [b"k", b"l"])
        assert [one.offset for one in await log.read(AT, 0)] == [0, 2, 3, 5, 6, 8, 9, 11]
        assert [one.offset for one in await log.read(AT, 1, end=8)] == [2, 3, 5, 6, 7]
        assert [one.offset for one in await log.read(AT, 1, limit=2)] == [2, 3]
        assert await log.read(AT, 12) == []
        log.narrow(ONE.name, [b"nobody"])
        assert [one.offset for one in await log.read(AT, 0, end=6)] == [5]
        assert len(await log.read(TopicPartition(MANY.name, 0), 0)) == 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[SqliteLog]:
    async with await SqliteLog.open(path, [ONE], wall_clock_ms) as log:
        yield log


async def test_the_writing_connection_syncs_every_commit(log: SqliteLog) -> None:
    """`synchronous` FULL with a write-ahead log is what makes an acknowledged record survive a loss of power."""
    file = log._writer_file
    assert file is not None

    def pragmas() -> list[Any]:
        names = ("journal_mode", "synchronous")
        return [file.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await asyncio.get_running_loop().run_in_executor(log._writer_thread, pragmas) == ["wal", 2]


async def test_the_product_s_topics_open(path: Path) -> None:
    """A log of all topics has every partition of each, empty."""
    async with await SqliteLog.open(path, TOPICS, wall_clock_ms) as log:
        for spec in TOPICS:
            partitions = await log.partitions(spec.name)
            assert len(partitions) == spec.partitions
            assert set((await log.end_offsets(partitions)).values()) == {0}


async def test_a_second_writer_is_refused(log: SqliteLog, path: Path) -> None:
    """One log has one writer; the error names the first, and the first goes on undisturbed."""
    with pytest.raises(InUseError, match="is being written by process") as refusal:
        await SqliteLog.open(path, [ONE], wall_clock_ms)
    assert refusal.value.holder is not None
    assert await log.append(new(b"a")) == [(AT, 0)]


async def test_a_reader_changes_nothing(log: SqliteLog, path: Path) -> None:
    """A log opened to be looked at reads beside the writer and refuses to write."""
    await log.append(new(b"a"))
    async with await SqliteLog.open(path, [ONE], wall_clock_ms, read_only=True) as reader:
        assert [record.value for record in await read_all(reader, AT)] == [b"a"]
        with pytest.raises(BadInput, match="reading only"):
            await reader.append(new(b"b"))
        with pytest.raises(BadInput, match="reading only"):
            await reader.commit("group", {AT: 1})
        await log.append(new(b"b"))
        assert [record.value for record in await read_all(reader, AT)] == [b"a", b"b"]


async def test_a_closed_log_can_be_looked_at(path: Path) -> None:
    """Reading needs no writer to be there."""
    async with await SqliteLog.open(path, [ONE], wall_clock_ms) as log:
        await log.append(new(b"a"))
    async with await SqliteLog.open(path, [ONE], wall_clock_ms, read_only=True) as reader:
        assert await reader.end_offsets([AT]) == {AT: 1}


async def test_looking_at_nothing_is_refused(path: Path) -> None:
    """A reader makes no file where there is none."""
    with pytest.raises(BadInput, match="no log at"):
        await SqliteLog.open(path, [ONE], wall_clock_ms, read_only=True)
    assert list(path.parent.iterdir()) == []


async def test_time_never_runs_backwards(path: Path) -> None:
    """A clock that is set back, also between two openings, does not set append times back."""
    clock = itertools.chain([0, 500, 300, 0, 400], itertools.repeat(600)).__next__  # the lock asks at each opening
    async with await SqliteLog.open(path, [ONE], clock) as log:
        await log.append(new(b"a"))
        await log.append(new(b"b"))
    async with await SqliteLog.open(path, [ONE], clock) as log:
        await log.append(new(b"c"))
        await log.append(new(b"d"))
        assert [record.append_time_ms for record in await read_all(log, AT)] == [500, 500, 500, 600]
        assert await log.offsets_at([AT], 499) == {AT: 0}
        assert await log.offsets_at([AT], 500) == {AT: 3}


async def test_large_records_come_in_smaller_batches(log: SqliteLog) -> None:
    """A read stops at a bound of bytes whatever its limit, and always returns at least one record."""
    await log.append(new(*[b"x" * 1_000_000] * 20))
    first = await log.read(AT, 0)
    assert len(first) == -(-MAX_READ_BYTES // 1_000_000)
    assert len(await read_all(log, AT)) == 20


@pytest.fixture
def commits(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many records each commit had."""
    sizes: list[int] = []
    file = log._writer_file
    assert file is not None
    append = file.append

    def counted(rows: Sequence[Row], clock: Callable[[], int]) -> list[int]:
        sizes.append(len(rows))
        return append(rows, clock)

    monkeypatch.setattr(file, "append", counted)
    return sizes


async def test_small_appends_share_a_commit(log: SqliteLog, commits: list[int]) -> None:
    """Appends that come together are committed together, and each learns its own offsets."""
    places = await asyncio.gather(*(log.append(new(b"%d" % n)) for n in range(100)))
    assert [place for (place,) in places] == [(AT, n) for n in range(100)]
    assert commits == [100]


async def test_appends_that_come_turn_by_turn_share_a_commit(
    log: SqliteLog, commits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As requests do, which are ready one after another; a stream of them that never ends keeps nobody waiting."""
    looks = itertools.count()
    # A turn takes 5 us, however busy the machine is.
    monkeypatch.setattr("helamem.streams.log.sqlite.monotonic", lambda: next(looks) * 5e-6)

    async def after(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await log.append(new(b"%d" % turns))

    await asyncio.gather(*(after(turns) for turns in range(0, 32, 4)))
    assert commits == [8]
    commits.clear()
    appends = []
    async with asyncio.timeout(30):
        while not commits:
            appends.append(asyncio.create_task(log.append(new(b"one more"))))
            await asyncio.sleep(0)
    await asyncio.gather(*appends)
    assert 900 < commits[0] < 1100
    assert sum(commits) == len(appends)


@pytest.mark.parametrize("count", [1, 2, 64, 65, 200])
async def test_an_append_is_all_or_nothing(log: SqliteLog, count: int) -> None:
    """However many records it has: one that the file refuses keeps the others from it, and the next append goes on."""
    await log.append(new(b"before"))
    file = log._writer_file
    assert file is not None

    def refuse(statement: str) -> None:
        file.connection.execute(statement)

    loop = asyncio.get_running_loop()
    trigger = (
        "CREATE TEMP TRIGGER full BEFORE INSERT ON main.records WHEN new.value = x'ff' "
        "BEGIN SELECT RAISE(ABORT, 'refused'); END"
    )
    await loop.run_in_executor(log._writer_thread, refuse, trigger)
    with pytest.raises(sqlite3.IntegrityError):
        await log.append(new(*[b"lost"] * (count - 1), b"\xff"))
    assert await log.append(new(*[b"kept"] * count)) == [(AT, 1 + n) for n in range(count)]
    assert [record.value for record in await read_all(log, AT)] == [b"before", *[b"kept"] * count]


async def test_a_cancelled_append_disturbs_nobody(log: SqliteLog) -> None:
    """Who gives up waiting learns nothing; the others' records stand where they were told."""
    tasks = [asyncio.create_task(log.append(new(b"%d" % n))) for n in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    values = [record.value for record in await read_all(log, AT)]
    for n, result in enumerate(results):
        if not isinstance(result, BaseException):
            assert values[result[0][1]] == b"%d" % n


async def test_closing_finishes_what_was_begun(path: Path) -> None:
    """Appends under way are acknowledged before the log closes; its threads end; the next writer may open it."""
    log = await SqliteLog.open(path, [ONE], wall_clock_ms)
    task = asyncio.create_task(log.append(new(b"a")))
    await asyncio.sleep(0)
    await log.close()
    await log.close()
    assert await task == [(AT, 0)]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("helamem-log")]
    async with await SqliteLog.open(path, [ONE], wall_clock_ms) as log:
        assert await log.end_offsets([AT]) == {AT: 1}


async def test_a_topic_is_never_grown_in_place(log: SqliteLog, path: Path) -> None:
    """Another number of partitions is refused for writers and readers; a topic that is new is added."""
    await log.close()
    grown = TopicSpec(base_name=ONE.base_name, key="anything", events=(), partitions=2)
    for read_only in (False, True):
        with pytest.raises(ConfigurationError, match="next generation"):
            await SqliteLog.open(path, [grown], wall_clock_ms, read_only=read_only)
    async with await SqliteLog.open(path, [ONE, MANY], wall_clock_ms, read_only=True) as reader:
        at = TopicPartition(MANY.name, 2)
        assert await reader.read(at, 0) == []
        assert await reader.end_offsets([at]) == await reader.offsets_at([at], 9) == {at: 0}
        async with await SqliteLog.open(path, [ONE, MANY], wall_clock_ms) as writer:
            await writer.append([NewRecord(topic=MANY.name, key=b"", value=b"v", partition=2)])
            await writer.commit("group", {at: 1, AT: 0})
        assert await reader.end_offsets([at]) == {at: 1}
    async with await SqliteLog.open(path, [ONE], wall_clock_ms) as older:
        assert await older.committed("group") == {AT: 0}


async def test_other_files_are_left_alone(path: Path) -> None:
    """What is no log, or one of another version, is refused and not changed by a byte."""
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (n)")
    other.close()
    newer = path.with_name("newer.sqlite")
    await (await SqliteLog.open(newer, [ONE], wall_clock_ms)).close()
    ours = sqlite3.connect(newer)
    ours.execute("PRAGMA user_version = 2")
    ours.close()
    older = path.with_name("older.sqlite")
    await (await SqliteLog.open(older, [ONE], wall_clock_ms)).close()
    theirs = sqlite3.connect(older)
    theirs.execute("ALTER TABLE records DROP COLUMN headers")
    theirs.close()
    table = path.with_name("table.sqlite")
    namesake = sqlite3.connect(table)
    namesake.execute("CREATE TABLE partitions (n)")
    namesake.close()
    text = path.with_name("notes.txt")
    text.write_text("not a database at all " * 100)
    for file, reason in (
        (path, "not a helamem log"),
        (table, "not a helamem log"),
        (newer, "upgrade helamem"),
        (
            older,
            r"older helamem \(its table records has other columns\); read it with that version, or name a new",
        ),
        (text, "damaged or something else"),
    ):
        before = file.read_bytes()
        for read_only in (False, True):
            with pytest.raises(ConfigurationError, match=reason):
                await SqliteLog.open(file, [ONE], wall_clock_ms, read_only=read_only)
        assert file.read_bytes() == before


records = st.lists(st.tuples(st.sampled_from([ONE, MANY]), st.binary(max_size=8), st.binary(max_size=40)), max_size=9)
steps = st.one_of(
    st.tuples(st.just("append"), records, st.integers(0, 99)),
    st.tuples(st.just("read"), st.integers(0, 2), st.tuples(*[st.integers(-2, 12)] * 3)),
    st.tuples(st.just("offsets_at"), st.integers(0, 2), st.integers(0, 99)),
    st.tuples(st.just("commit"), st.integers(0, 2), st.integers(0, 20)),
    st.tuples(st.just("reopen"), st.none(), st.none()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=12))
def test_any_sequence_equals_a_list(script: list[tuple[str, Any, Any]]) -> None:
    """Whatever is appended, read, looked up, committed and reopened: the log equals lists in memory."""
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_play(Path(directory) / "log.sqlite", script))


async def _play(path: Path, script: list[tuple[str, Any, Any]]) -> None:
    now = 0
    model: dict[TopicPartition, list[tuple[int, bytes, bytes]]] = {AT: []}
    model |= {TopicPartition(MANY.name, n): [] for n in range(3)}
    committed: dict[TopicPartition, int] = {}

    def clock() -> int:
        return now

    log = await SqliteLog.open(path, [ONE, MANY], clock)
    for step, first, second in script:
        at = TopicPartition(MANY.name, first if isinstance(first, int) else 0)
        if step == "append":
            now = second
            batch_ms: dict[TopicPartition, int] = {}
            expected = []
            for spec, key, value in first:
                target = TopicPartition(spec.name, DefaultPartitioner()(key, list(range(spec.partitions)), []))
                last_ms = model[target][-1][0] if model[target] else 0
                append_ms = batch_ms.setdefault(target, max(now, last_ms))
                expected.append((target, len(model[target])))
                model[target].append((append_ms, key, value))
            new_records = [NewRecord(topic=spec.name, key=key, value=value) for spec, key, value in first]
            assert await log.append(new_records) == expected
        elif step == "read":
            start, end, limit = second
            found = await log.read(at, start, end=end, limit=limit)
            rows = list(enumerate(model[at]))[max(start, 0) : max(end, 0)][: max(limit, 0)]
            assert [(r.offset, (r.append_time_ms, r.key, r.value)) for r in found] == rows
        elif step == "offsets_at":
            assert await log.offsets_at([at], second) == {at: sum(ms <= second for ms, _, _ in model[at])}
        elif step == "commit":
            committed[at] = second
            await log.commit("group", {at: second})
        else:
            await log.close()
            log = await SqliteLog.open(path, [ONE, MANY], clock)
        assert await log.end_offsets(list(model)) == {partition: len(rows) for partition, rows in model.items()}
        assert await log.committed("group") == committed
    await log.close()
