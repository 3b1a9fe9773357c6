"""The archiver: killed anywhere it goes on with the same chain, and it never mixes two logs in one archive."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from helamem.schemas.errors import BadInput, ConfigurationError, RetryLater
from helamem.schemas.records import NewRecord, Record, TopicPartition
from helamem.schemas.topics import CHECKPOINTS, TopicSpec
from helamem.streams.archive import segment
from helamem.streams.archive.archiver import Archiver
from helamem.streams.archive.files import LocalFiles, open_files
from helamem.streams.archive.log import ArchiveLog
from helamem.streams.archive.reader import ArchiveReader
from helamem.streams.archive.restore import restore_home
from helamem.streams.audit.verify import verify
from helamem.streams.home import Home, wall_clock_ms
from helamem.streams.log.sqlite import SqliteLog
from streams.audit.world import KEY, KEYS

ONE = TopicSpec(base_name="test.one", key="anything", events=(), partitions=1)
TWO = TopicSpec(base_name="test.two", key="anything", events=(), partitions=2)
SPECS = (ONE, TWO)
AT = TopicPartition(ONE.name, 0)

KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from helamem.schemas.topics import TopicSpec
from helamem.streams.archive import segment
from helamem.streams.archive.archiver import Archiver
from helamem.streams.archive.files import LocalFiles
from helamem.streams.log.sqlite import SqliteLog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

segment.SEGMENT_RECORDS = 50
names = (("test.one", 1), ("test.two", 2))
specs = [TopicSpec(base_name=name, key="anything", events=(), partitions=n) for name, n in names]
key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
left = int(sys.argv[3])

def step(name):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

fsync, rename = os.fsync, Path.rename
def killed_fsync(descriptor):
    step("fsync")
    fsync(descriptor)
def killed_rename(self, target):
    step("before")
    rename(self, target)
    step("after")
os.fsync, Path.rename = killed_fsync, killed_rename

async def main():
    async with await SqliteLog.open(Path(sys.argv[1]), specs, lambda: 0, read_only=True) as log:
        archiver = Archiver(LocalFiles(Path(sys.argv[2])), key, lambda: 7)
        await archiver.archive(log, specs)
        await archiver.sign(log, specs)

asyncio.run(main())
"""


def new(count: int, *, at: TopicPartition = AT) -> list[NewRecord]:
    return [NewRecord(topic=at.topic, partition=at.partition, key=b"k", value=b"value %d" % n) for n in range(count)]


def files_of(place: Path) -> dict[str, bytes]:
    """Return what an archive holds but for its own id and what follows from that."""
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*.records.gz")}


@pytest.fixture
async def log_path(tmp_path: Path) -> Path:
    path = tmp_path / "log.sqlite"
    async with await SqliteLog.open(path, SPECS, wall_clock_ms) as log:
        for at in (AT, TopicPartition(TWO.name, 0), TopicPartition(TWO.name, 1)):
            await log.append(new(120, at=at))
    return path


def start(log: Path, place: Path, steps: int) -> int:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, str(log), str(place), str(steps)]
    return subprocess.run(command, env=environment, check=False, capture_output=True).returncode


@pytest.mark.slow
async def test_killed_at_every_step(log_path: Path, tmp_path: Path) -> None:
    """After a SIGKILL at any sync or renaming the next run ends with the bytes of a run that nobody disturbed."""
    undisturbed = tmp_path / "undisturbed"
    assert start(log_path, undisturbed, 10_000) == 0
    wanted = files_of(undisturbed)
    assert len(wanted) == 9
    codes = []
    for steps in range(1, 120, 7):
        place = tmp_path / f"killed-{steps}"
        codes.append(start(log_path, place, steps))
        assert start(log_path, place, 10_000) == 0
        assert files_of(place) == wanted
        assert not list(place.rglob("*.unfinished"))
        async with await SqliteLog.open(log_path, (*SPECS, CHECKPOINTS), wall_clock_ms, read_only=True) as log:
            found = await verify(ArchiveReader.open(str(place)), log, SPECS, KEYS)
        assert (found.findings, found.uncovered) == ((), 0)
    assert codes.count(-signal.SIGKILL) > 12


async def archived(log: SqliteLog, place: Path, key: Any = None) -> Archiver:
    archiver = Archiver(LocalFiles(place), key, wall_clock_ms)
    await archive_and_sign(archiver, log)
    return archiver


async def archive_and_sign(archiver: Archiver, log: SqliteLog) -> None:
    await archiver.archive(log, SPECS)
    await archiver.sign(log, SPECS)


async def test_the_next_run_goes_on(log_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published stays as it is, byte for byte; new records get segments of their own and one chain."""
    monkeypatch.setattr(segment, "SEGMENT_RECORDS", 50)
    place = tmp_path / "archive"
    async with await SqliteLog.open(log_path, SPECS, wall_clock_ms) as log:
        archiver = await archived(log, place)
        before = files_of(place)
        assert (await archiver.archive(log, SPECS)).records == 0
        await log.append(new(30))
        assert (await archiver.archive(log, SPECS)).records == 30
        await log.append(new(30))
        await archived(log, place)
        assert before.items() < files_of(place).items()
        reader = ArchiveReader.open(str(place))
        contents = [reader.manifest(AT, span).content for span in reader.spans(AT)]
        assert [(one.begin, one.end) for one in contents] == [(0, 50), (50, 100), (100, 120), (120, 150), (150, 180)]
        for one, other in itertools.pairwise(contents):
            assert (other.chain_before, other.follows) == (one.chain_head, one.end)


async def test_another_log_is_refused(log_path: Path, tmp_path: Path) -> None:
    """An archive goes on with the log that it began with, or with none."""
    place = tmp_path / "archive"
    async with await SqliteLog.open(log_path, SPECS, wall_clock_ms) as log:
        await archived(log, place)
    before = files_of(place)
    async with await SqliteLog.open(tmp_path / "other.sqlite", SPECS, wall_clock_ms) as other:
        with pytest.raises(ConfigurationError, match="the log was cut, or it is another one"):
            await archived(other, place)
        await other.append(new(200))
        with pytest.raises(ConfigurationError, match="holds another record at 119"):
            await archived(other, place)
    assert files_of(place) == before


def test_a_place_that_holds_something_else(tmp_path: Path) -> None:
    """Nothing is written beside other people's files."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"holds other things \(notes.txt\)"):
        Archiver(LocalFiles(tmp_path), None, wall_clock_ms)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


class LosingLog:
    """A log whose retention has taken its beginning, and that passes over some offsets as Kafka can."""

    def __init__(self, log: SqliteLog, begin: int, without: Sequence[int] = ()) -> None:
        self._log = log
        self.begin = begin
        self._without = without

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def begin_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Return the first offset that is left."""
        return {at: self.begin if at == AT else 0 for at in partitions}

    async def read(self, at: TopicPartition, start: int, *, end: int | None = None, limit: int = 1000) -> list[Record]:
        """Return what is left."""
        if at == AT and start < self.begin:
            raise ConfigurationError(f"{at} no longer holds {start}")
        records = await self._log.read(at, start, end=end, limit=limit)
        return [record for record in records if at != AT or record.offset not in self._without]


async def test_gaps_are_named(log_path: Path, tmp_path: Path) -> None:
    """What retention took before it was archived is named; the rest is chained, verified and read around the gap."""
    place = tmp_path / "archive"
    async with await SqliteLog.open(log_path, (*SPECS, CHECKPOINTS), wall_clock_ms) as source:
        log: Any = LosingLog(source, 7, without=(20, 21))
        archiver = Archiver(LocalFiles(place), KEY, wall_clock_ms)
        first = await archiver.archive(log, SPECS)
        assert [(one.gap.begin, one.gap.end, one.gap.reason) for one in first.missing] == [
            (0, 7, "retention"),
            (20, 22, "no record"),
        ]
        await archiver.sign(log, SPECS)
        await source.append(new(60))
        log.begin = 150
        second = await archiver.archive(log, SPECS)
        assert [(one.gap.begin, one.gap.end, one.gap.reason) for one in second.missing] == [(120, 150, "retention")]
        await archiver.sign(log, SPECS)
        reader = ArchiveReader.open(str(place))
        assert [gap.reason for gap in reader.manifest(AT, reader.spans(AT)[0]).content.missing] == [
            "retention",
            "no record",
        ]
        assert (await verify(reader, log, SPECS, KEYS)).findings == ()
        log.begin = 160  # within a segment
        assert (await verify(reader, log, SPECS, KEYS)).findings == ()
    async with await ArchiveLog.open(str(place), SPECS) as found:
        assert [record.offset for record in await found.read(AT, 0, limit=10)] == [*range(7, 17)]
        assert [record.offset for record in await found.read(AT, 19, limit=3)] == [19, 22, 23]
        assert [record.offset for record in await found.read(AT, 119, limit=2)] == [119, 150]
        assert await found.begin_offsets([AT]) == {AT: 7}
        with pytest.raises(BadInput, match="add --renumber"):
            await restore_home(found, SPECS, tmp_path / "restored")
        assert not (tmp_path / "restored").exists()
        restored = await restore_home(found, SPECS, tmp_path / "restored", renumber=True)
        assert (restored.renumbered, restored.records) == ((AT,), 120 * 2 + 120 - 9 + 30)


async def test_restoring_keeps_offsets_and_times(log_path: Path, tmp_path: Path) -> None:
    """A restored home's log equals the archived one; a second restoration into it is refused and changes nothing."""
    place, home = tmp_path / "archive", tmp_path / "home"
    async with await SqliteLog.open(log_path, SPECS, wall_clock_ms) as log:
        await archived(log, place)
        async with await ArchiveLog.open(str(place), SPECS) as found:
            Home.open(home).close()
            (home / "log.sqlite.restoring").write_bytes(b"what a killed run left")
            restored = await restore_home(found, SPECS, home)
            assert (restored.records, restored.renumbered, restored.times_kept) == (360, (), True)
            assert not list(home.glob("*.restoring*"))
            async with await SqliteLog.open(home / "log.sqlite", SPECS, wall_clock_ms) as copy:
                for spec in SPECS:
                    for at in await log.partitions(spec.name):
                        assert await copy.read(at, 0) == await log.read(at, 0)
                places = await copy.append(new(1))
                assert places == [(AT, 120)]
            with pytest.raises(BadInput, match="a helamem home already"):
                await restore_home(found, SPECS, home)


async def test_restoring_nothing(tmp_path: Path) -> None:
    """An empty archive makes no home."""
    Archiver(LocalFiles(tmp_path / "archive"), None, wall_clock_ms)
    async with await ArchiveLog.open(str(tmp_path / "archive"), SPECS) as found:
        with pytest.raises(BadInput, match="nothing to restore"):
            await restore_home(found, SPECS, tmp_path / "home")
    assert not (tmp_path / "home").exists()


async def test_headers_are_kept_and_signed(tmp_path: Path) -> None:
    """What others put beside a record is archived with it, and restored."""

    class WithHeaders(LosingLog):
        async def read(self, at: TopicPartition, start: int, **options: Any) -> list[Record]:
            records = await super().read(at, start, **options)
            return [
                Record(
                    **{name: getattr(one, name) for name in one.__struct_fields__} | {"headers": (("trace", b"\0"),)}
                )
                for one in records
            ]

    async with await SqliteLog.open(tmp_path / "log.sqlite", SPECS, wall_clock_ms) as source:
        await source.append(new(5))
        log: Any = WithHeaders(source, 0)
        await Archiver(LocalFiles(tmp_path / "archive"), None, wall_clock_ms).archive(log, SPECS)
        async with await ArchiveLog.open(str(tmp_path / "archive"), SPECS) as found:
            assert await found.read(AT, 0) == await log.read(AT, 0)
            await restore_home(found, SPECS, tmp_path / "home")
            async with await SqliteLog.open(tmp_path / "home" / "log.sqlite", SPECS, wall_clock_ms) as home:
                assert await home.read(AT, 0) == await log.read(AT, 0)


async def test_a_full_disk_is_waited_for(log_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that cannot write says so and leaves nothing that counts; the same archiver goes on afterwards."""
    place = tmp_path / "archive"
    async with await SqliteLog.open(log_path, SPECS, wall_clock_ms) as log:
        archiver = Archiver(LocalFiles(place), KEY, wall_clock_ms)
        rename = Path.rename
        for allowed in range(4):
            left = allowed

            def failing(self: Path, target: Path) -> Path:
                nonlocal left
                if left == 0:
                    raise OSError(28, "No space left on device")
                left -= 1
                return rename(self, target)

            monkeypatch.setattr(Path, "rename", failing)
            with pytest.raises(RetryLater, match="No space left"):
                await archive_and_sign(archiver, log)
            monkeypatch.setattr(Path, "rename", rename)
        await archive_and_sign(archiver, log)
    async with await SqliteLog.open(log_path, (*SPECS, CHECKPOINTS), wall_clock_ms, read_only=True) as reading:
        found = await verify(ArchiveReader.open(str(place)), reading, SPECS, KEYS)
    assert (found.findings, found.uncovered) == ((), 0)


def test_only_a_directory_is_local(tmp_path: Path) -> None:
    """A path and a file URL are the same place."""
    for place in (str(tmp_path), f"file://{tmp_path}"):
        files = open_files(place)
        assert isinstance(files, LocalFiles)
        assert files.root == tmp_path
