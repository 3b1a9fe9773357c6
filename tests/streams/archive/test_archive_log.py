"""`ArchiveLog` under the contract of every log, as far as a log that is only read can be, on disk and in a store."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from contracts.log_contract import LogContract, Reopen
from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.schemas.records import NewRecord, Record, TopicPartition
from helamem.schemas.topics import TopicSpec
from helamem.streams.archive import log as archive_log
from helamem.streams.archive import segment
from helamem.streams.archive.archiver import Archiver
from helamem.streams.archive.files import open_files
from helamem.streams.archive.log import ArchiveLog
from helamem.streams.home import wall_clock_ms
from helamem.streams.log.sqlite import SqliteLog

READ_ONLY = "an archive is only read: it keeps no positions of groups"


class Archived:
    """A log that is read from its archive only: what is appended goes into a real log, and from there is archived."""

    def __init__(self, source: SqliteLog, place: str, topics: Sequence[TopicSpec], archive: ArchiveLog) -> None:
        self._source = source
        self._archiver = Archiver(open_files(place), None, wall_clock_ms)
        self._topics = topics
        self._archiving = asyncio.Lock()
        self._archive = archive

    def __getattr__(self, name: str) -> Any:
        return getattr(self._archive, name)

    async def append(self, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """Append to the log and archive it."""
        places = await self._source.append(records)
        async with self._archiving:
            await self._archiver.archive(self._source, self._topics)
        return places

    async def close(self) -> None:
        """Close both."""
        await self._archive.close()
        await self._source.close()


class ArchiveContract(LogContract):
    """The contract, over an archive at `place`."""

    @pytest.fixture(autouse=True)
    def small_segments(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let a test's few records be many segments and blocks."""
        monkeypatch.setattr(segment, "SEGMENT_RECORDS", 97)
        monkeypatch.setattr(segment, "BLOCK_RECORDS", 10)
        monkeypatch.setattr(archive_log, "POLL_S", 0.01)

    @pytest.fixture
    async def opened(self, tmp_path: Path, place: str, topics: Sequence[TopicSpec]) -> AsyncIterator[list[Archived]]:
        async def open_() -> Archived:
            source = await SqliteLog.open(tmp_path / "log.sqlite", topics, wall_clock_ms)
            Archiver(open_files(place), None, wall_clock_ms)  # makes the archive
            return Archived(source, place, topics, await ArchiveLog.open(place, topics))

        self.open = open_
        logs = [await open_()]
        yield logs
        await logs[-1].close()

    @pytest.fixture
    def log(self, opened: list[Archived]) -> Any:
        return opened[0]

    @pytest.fixture
    def reopen(self, opened: list[Archived]) -> Reopen:
        async def reopen() -> Any:
            await opened[-1].close()
            opened.append(await self.open())
            return opened[-1]

        return reopen

    @pytest.mark.xfail(strict=True, reason=READ_ONLY, raises=BadInput)
    async def test_committed_positions_belong_to_a_group(self, log: Any, many: str, one: str) -> None:
        await super().test_committed_positions_belong_to_a_group(log, many, one)

    @pytest.mark.xfail(strict=True, reason=READ_ONLY, raises=BadInput)
    async def test_everything_is_there_after_reopening(self, log: Any, reopen: Reopen, many: str, one: str) -> None:
        await super().test_everything_is_there_after_reopening(log, reopen, many, one)


class TestDirectory(ArchiveContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        return str(tmp_path / "archive")


class TestObjectStore(ArchiveContract):
    """By fsspec, as S3 would be; the store is in memory."""

    @pytest.fixture
    def place(self) -> str:
        return f"memory://{uuid.uuid4().hex}/archive"


MANY = TopicSpec(base_name="test.many", key="anything", events=(), partitions=2)


async def filled(place: str, tmp_path: Path, values: Mapping[int, int]) -> None:
    """Archive so many records of each partition."""
    async with await SqliteLog.open(tmp_path / "log.sqlite", [MANY], wall_clock_ms) as log:
        for partition, count in values.items():
            records = [NewRecord(topic=MANY.name, key=b"", value=b"%d" % n, partition=partition) for n in range(count)]
            await log.append(records)
        await Archiver(open_files(place), None, wall_clock_ms).archive(log, [MANY])


async def test_reopened_with_everything(tmp_path: Path) -> None:
    """What the contract's test of reopening cannot show here: records and times are those of the log."""
    place = str(tmp_path / "archive")
    await filled(place, tmp_path, {0: 5000, 1: 1})
    async with (
        await SqliteLog.open(tmp_path / "log.sqlite", [MANY], wall_clock_ms, read_only=True) as log,
        await ArchiveLog.open(place, [MANY]) as archived,
    ):
        for at in await log.partitions(MANY.name):
            assert await archived.read(at, 0, limit=10_000) == await log.read(at, 0, limit=10_000)
        assert await archived.committed("encoding") == {}


async def test_it_can_only_be_read(tmp_path: Path) -> None:
    """The refusal says where to write instead; nothing to write is no error."""
    place = str(tmp_path / "archive")
    await filled(place, tmp_path, {0: 1})
    async with await ArchiveLog.open(place, [MANY]) as archived:
        with pytest.raises(BadInput, match="restore-log"):
            await archived.append([NewRecord(topic=MANY.name, key=b"", value=b"")])
        with pytest.raises(BadInput, match="restore-log"):
            await archived.commit("encoding", {TopicPartition(MANY.name, 0): 1})
        assert await archived.append([]) == []
        await archived.commit("encoding", {})


async def test_what_cannot_be_opened(tmp_path: Path) -> None:
    """No archive, another number of partitions, a newer format, damage: each has a sentence."""
    with pytest.raises(BadInput, match="no archive"):
        await ArchiveLog.open(str(tmp_path / "nothing"), [MANY])
    with pytest.raises(BadInput, match="Protocol not known"):
        await ArchiveLog.open("zz://bucket/path", [MANY])
    with pytest.raises(BadInput, match=r"helamem\[s3\]"):
        await ArchiveLog.open("s3://bucket/path", [MANY])
    place = tmp_path / "archive"
    await filled(str(place), tmp_path, {0: 3})
    grown = TopicSpec(base_name="test.many", key="anything", events=(), partitions=3)
    with pytest.raises(ConfigurationError, match="in 2 partitions and 3 are configured"):
        await ArchiveLog.open(str(place), [grown])
    (segment_file,) = place.rglob("*.records.gz")
    segment_file.write_bytes(segment_file.read_bytes()[:-9])
    async with await ArchiveLog.open(str(place), [MANY]) as archived:
        with pytest.raises(ConfigurationError, match="helamem audit verify"):
            await archived.read(TopicPartition(MANY.name, 0), 0)
    description = place / "archive.json"
    description.write_text(description.read_text().replace('"format":1', '"format":2'))
    with pytest.raises(ConfigurationError, match="upgrade it"):
        await ArchiveLog.open(str(place), [MANY])
    description.write_text("{")
    with pytest.raises(ConfigurationError, match="is damaged"):
        await ArchiveLog.open(str(place), [MANY])


class Adrift:
    """A log whose clock goes back and forth, as a broker's may when its leader changes."""

    def __init__(self, log: SqliteLog) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def read(self, partition: TopicPartition, start: int, **options: Any) -> list[Record]:
        """Return the records at other times."""
        records = await self._log.read(partition, start, **options)
        return [structs.replace(one, append_time_ms=1000 + one.offset * 37 % 101 * 10) for one in records]


async def test_times_that_go_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment ends before the first record that is later, also where earlier ones follow it."""
    monkeypatch.setattr(segment, "SEGMENT_RECORDS", 7)
    at = TopicPartition(MANY.name, 0)
    async with await SqliteLog.open(tmp_path / "log.sqlite", [MANY], wall_clock_ms) as source:
        await source.append([NewRecord(topic=at.topic, key=b"", value=b"", partition=0) for _ in range(100)])
        log: Any = Adrift(source)
        await Archiver(open_files(str(tmp_path / "archive")), None, wall_clock_ms).archive(log, [MANY])
        times = [record.append_time_ms for record in await log.read(at, 0)]
    async with await ArchiveLog.open(str(tmp_path / "archive"), [MANY]) as archived:
        for time_ms in range(990, 2030, 10):
            first = next((offset for offset, one in enumerate(times) if one > time_ms), len(times))
            assert await archived.offsets_at([at], time_ms) == {at: first}
