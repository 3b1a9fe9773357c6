"""Two archivers of one archive, where no lock keeps them apart: each segment is there once, whoever was faster."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.schemas.topics import CHECKPOINTS, TopicSpec
from helamem.streams.archive import segment
from helamem.streams.archive.archiver import Archiver
from helamem.streams.archive.files import Files, open_files
from helamem.streams.archive.reader import ArchiveReader
from helamem.streams.audit.verify import verify
from helamem.streams.home import wall_clock_ms
from helamem.streams.log.sqlite import SqliteLog
from streams.audit.world import KEY, KEYS

ONE = TopicSpec(base_name="test.one", key="anything", events=(), partitions=1)
SPECS = (ONE, CHECKPOINTS)
AT = TopicPartition(ONE.name, 0)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    async with await SqliteLog.open(tmp_path / "log.sqlite", SPECS, wall_clock_ms) as log:
        await log.append(new(100))
        yield log


@pytest.fixture(params=["a directory", "an object store"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "archive") if request.param == "a directory" else f"memory://{uuid.uuid4().hex}/archive"


def new(count: int) -> list[NewRecord]:
    return [NewRecord(topic=ONE.name, key=b"k", value=b"value %d" % n) for n in range(count)]


class Interrupted:
    """Files of an archiver that comes no further than to its next manifest."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    def publish(self, name: str, content: bytes) -> None:
        """Publish anything but a manifest."""
        if name.endswith(".manifest.json"):
            raise RetryLater("killed, or asleep")
        self._files.publish(name, content)


async def spans(place: str, log: SqliteLog) -> list[tuple[int, int]]:
    """Return the segments of a clean archive."""
    reader = ArchiveReader.open(place)
    found = await verify(reader, log, SPECS, KEYS)
    assert (found.findings, found.uncovered) == ((), 0)
    return [(span.begin, span.end) for span in reader.spans(AT)]


async def test_one_that_fell_behind(place: str, log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on after what the other has published meanwhile, and writes none of it again."""
    monkeypatch.setattr(segment, "SEGMENT_RECORDS", 64)
    one, other = (Archiver(open_files(place), KEY, wall_clock_ms) for _ in range(2))
    assert (await one.archive(log, [ONE])).records == 100
    await log.append(new(60))
    assert (await other.archive(log, [ONE])).records == 60
    await log.append(new(60))
    assert (await one.archive(log, [ONE])).records == 60, "the other's segments were taken over"
    assert (await other.archive(log, [ONE])).records == 0
    await one.sign(log, [ONE])
    assert await spans(place, log) == [(0, 64), (64, 100), (100, 160), (160, 220)]


async def test_what_has_no_manifest_yet_is_taken_over(place: str, log: SqliteLog) -> None:
    """Another archiver may be about to publish it, or was killed: the file stays as it is and gets its manifest."""
    sleeping = Archiver(Interrupted(open_files(place)), None, wall_clock_ms)
    with pytest.raises(RetryLater):
        await sleeping.archive(log, [ONE])
    (name,) = open_files(place).names(f"topics/{ONE.name}/0")
    before = open_files(place).read(f"topics/{ONE.name}/0/{name}")
    await log.append(new(20))
    other = Archiver(open_files(place), KEY, wall_clock_ms)
    assert (await other.archive(log, [ONE])).segments == 2
    await other.sign(log, [ONE])
    assert open_files(place).read(f"topics/{ONE.name}/0/{name}") == before
    assert await spans(place, log) == [(0, 100), (100, 120)]


async def test_a_file_of_another_log_is_not_taken_over(place: str, log: SqliteLog, tmp_path: Path) -> None:
    """What stands there without a manifest has to be what the log holds, and whole."""
    async with await SqliteLog.open(tmp_path / "other.sqlite", SPECS, wall_clock_ms) as another:
        await another.append(new(7))
        with pytest.raises(RetryLater):
            await Archiver(Interrupted(open_files(place)), None, wall_clock_ms).archive(another, [ONE])
        with pytest.raises(ConfigurationError, match="holds other records than the log"):
            await Archiver(open_files(place), None, wall_clock_ms).archive(log, [ONE])


async def test_both_at_the_same_time(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that sign at once one is told so; nothing is there twice, and the next run of either goes on.

    In an object store, that is: in a directory a lock keeps the second one out.
    """
    place = f"memory://{uuid.uuid4().hex}/archive"
    monkeypatch.setattr(segment, "SEGMENT_RECORDS", 16)
    archivers = [Archiver(open_files(place), KEY, wall_clock_ms) for _ in range(2)]

    async def work(archiver: Archiver) -> None:
        await archiver.archive(log, [ONE])
        await archiver.sign(log, [ONE])

    for count in range(5):
        await log.append(new(10 + count))
        done = await asyncio.gather(*map(work, archivers), return_exceptions=True)
        for error in (one for one in done if one is not None):
            assert isinstance(error, ConfigurationError)
            assert "another archiver may be at work" in str(error)
        await work(archivers[count % 2])
    found = await spans(place, log)
    assert [begin for begin, _ in found] == [0, *(end for _, end in found[:-1])]
