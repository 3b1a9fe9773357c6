"""An archive over a migration: the log goes on in another generation, and so do its archive and every audit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from helamem.schemas.records import ORIGIN, NewRecord, Record, TopicPartition
from helamem.schemas.topics import CHECKPOINTS, CONVERSATIONS, FACTS, TOPICS
from helamem.streams.archive.archiver import Archiver
from helamem.streams.archive.files import Files, LocalFiles
from helamem.streams.archive.log import ArchiveLog
from helamem.streams.archive.reader import ArchiveReader
from helamem.streams.archive.restore import restore_home
from helamem.streams.archive.run import Round, archive_round
from helamem.streams.audit.checkpoints import publish
from helamem.streams.audit.verify import Verified, verify
from helamem.streams.home import wall_clock_ms
from helamem.streams.log.generation import specs_in, specs_of
from helamem.streams.log.partitioner import partition_of
from helamem.streams.log.sqlite import SqliteLog
from streams.audit.world import KEY, KEYS, small_segments

LATER = specs_of(2, 3, TOPICS)
OLD, NEW = TopicPartition(CONVERSATIONS.name, 1), TopicPartition(LATER[0].name, 2)


@pytest.fixture(autouse=True, scope="module")
def _small() -> Iterator[None]:
    with small_segments():
        yield


class Logs:
    """A log in two generations, and its archive."""

    def __init__(self, root: Path, old: SqliteLog, new: SqliteLog) -> None:
        self.root = root
        self.old = old
        self.new = new
        self.place = root / "archive"

    async def archive(self, log: SqliteLog, *earlier: SqliteLog) -> Round:
        """Archive a generation, and what is left of those before it."""

        async def to_log(files: Files, archive_id: str) -> int:
            return await publish(log, files, archive_id)

        archiver = Archiver(LocalFiles(self.place), KEY, wall_clock_ms)
        return await archive_round(archiver, log, TOPICS, to_log, earlier=earlier, kept=self.root / "kept")

    async def verify(self, log: SqliteLog | None, *earlier: SqliteLog, archive: bool = True) -> Verified:
        """Audit what is there."""
        reader = ArchiveReader.open(str(self.place)) if archive else None
        return await verify(reader, log, TOPICS, KEYS, earlier=earlier)

    async def migrate(self, change: Change = lambda copies: copies, *, without: int = 0) -> None:
        """Copy what is in the first generation as `topics migrate` does, which is tried on Kafka.

        Args:
            change: What somebody makes of the copies in one partition of the conversations.
            without: So many records at the beginning of each partition the log no longer holds.
        """
        for spec in LATER:
            copies: dict[int, list[Record]] = {number: [] for number in range(spec.partitions)}
            old = [one for at in await self.old.partitions(spec.name) for one in (await self.old.read(at, 0))[without:]]
            for one in sorted(old, key=lambda one: (one.append_time_ms, one.partition, one.offset)):
                number = partition_of(one.key, spec.partitions)
                origin = (ORIGIN, f"{one.topic}/{one.partition}@{one.offset}".encode())
                copies[number].append(replace(one, headers=(*one.headers, origin)))
            if spec.name == NEW.topic:
                copies[NEW.partition] = change(copies[NEW.partition])
            file, loop = self.new._writer_file, asyncio.get_running_loop()
            assert file is not None
            for at in await self.new.partitions(spec.name):
                await loop.run_in_executor(self.new._writer_thread, file.restore, at, copies[at.partition])


def said(count: int) -> list[NewRecord]:
    return [NewRecord(topic=CONVERSATIONS.name, key=b"acme/%d" % (n % 9), value=b"said %d" % n) for n in range(count)]


@pytest.fixture
async def logs(tmp_path: Path) -> AsyncIterator[Logs]:
    async with (
        await SqliteLog.open(tmp_path / "old.sqlite", TOPICS, wall_clock_ms) as old,
        await SqliteLog.open(tmp_path / "new.sqlite", LATER, wall_clock_ms) as new,
    ):
        yield Logs(tmp_path, old, new)


async def everything(log: Any, topics: Sequence[Any] = TOPICS) -> Mapping[TopicPartition, Any]:
    return {at: await log.read(at, 0) for spec in topics for at in await log.partitions(spec.name)}


async def test_archived_on_both_sides_of_a_migration(logs: Logs, tmp_path: Path) -> None:
    """All of both generations is archived, signed and verified, and the later one is what is read and restored."""
    await logs.old.append(said(40))
    await logs.archive(logs.old)
    await logs.old.append(said(30))
    await logs.migrate()
    await logs.new.append(said(20))
    unsigned = await logs.verify(logs.new, logs.old)
    assert unsigned.findings == ()
    assert unsigned.uncovered == 30 + 90, "what nobody has signed yet is counted, in both generations"
    done = await logs.archive(logs.new, logs.old)
    assert done.published == done.checkpoints > 0
    for log, *earlier in ((logs.new, logs.old), (logs.new,)):
        found = await logs.verify(log, *earlier)
        assert (found.findings, found.notes, found.uncovered) == ((), (), 0)
    assert (await logs.verify(None)).findings == ()
    assert (await logs.verify(logs.new, logs.old, archive=False)).findings == ()
    again = await logs.archive(logs.new, logs.old)
    assert (again.records, again.checkpoints) == (0, 0)

    async with await ArchiveLog.open(str(logs.place), TOPICS) as archived:
        assert await specs_in(archived, TOPICS) == LATER
        assert await everything(archived) == await everything(logs.new)
        restored = await restore_home(archived, LATER, tmp_path / "home")
        assert restored.times_kept
    async with await SqliteLog.open(tmp_path / "home" / "log.sqlite", TOPICS, wall_clock_ms) as home:
        assert await everything(home) == await everything(logs.new)
        ((at, offset),) = await home.append(said(1))
        assert (at.topic, offset) == (NEW.topic, len(await logs.new.read(at, 0)))
    async with await ArchiveLog.open(str(logs.place), TOPICS, generation=1) as before:
        assert {at: records for at, records in (await everything(before)).items() if at.topic != CHECKPOINTS.name} == {
            at: records for at, records in (await everything(logs.old)).items() if at.topic != CHECKPOINTS.name
        }


async def test_an_alteration_is_found_in_each_generation(logs: Logs) -> None:
    """Also where its folder was taken away as a whole: the checkpoints know of it."""
    await logs.old.append(said(40))
    await logs.archive(logs.old)
    await logs.migrate()
    await logs.archive(logs.new, logs.old)
    for at in (OLD, NEW):
        folder = logs.place / "topics" / at.topic
        folder.rename(logs.root / "aside")
        findings = (await logs.verify(logs.new)).findings
        assert {(one.where, one.partition) for one in findings if one.partition == str(at)} == {("archive", str(at))}
        (logs.root / "aside").rename(folder)
        file = min((folder / str(at.partition)).glob("*.records.gz"))
        raw = file.read_bytes()
        file.write_bytes(raw[:-4])
        findings = (await logs.verify(logs.new, logs.old)).findings
        assert [(one.where, one.partition) for one in findings] == [("archive", str(at))]
        file.write_bytes(raw)
    assert (await logs.verify(logs.new, logs.old)).findings == ()


async def test_until_all_of_a_generation_is_archived_the_one_before_is_read(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archiver that is killed in its first run over a generation leaves nobody with half of it."""
    await logs.old.append([*said(40), NewRecord(topic=FACTS.name, key=b"acme/1", value=b"a fact")])
    await logs.archive(logs.old)
    await logs.migrate()
    with monkeypatch.context() as patch:
        publish_ = LocalFiles.publish

        def killed(self: LocalFiles, name: str, content: bytes) -> None:
            if LATER[3].name in name:
                raise KeyboardInterrupt
            publish_(self, name, content)

        patch.setattr(LocalFiles, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            await logs.archive(logs.new)
    assert (logs.place / "topics" / NEW.topic).exists()
    async with await ArchiveLog.open(str(logs.place), TOPICS) as archived:
        assert await specs_in(archived, TOPICS) == TOPICS
    assert (await logs.verify(logs.new, logs.old)).findings == ()
    await logs.archive(logs.new)
    async with await ArchiveLog.open(str(logs.place), TOPICS) as archived:
        assert await everything(archived) == await everything(logs.new)


async def test_checkpoints_that_a_migration_found_gone(logs: Logs) -> None:
    """What retention took of the first generation's checkpoints is not in the second, and is no finding there."""
    await logs.old.append(said(40))
    await logs.archive(logs.old)
    await logs.migrate(without=2)
    await logs.new.append(said(10))
    await logs.archive(logs.new)
    found = await logs.verify(logs.new)
    assert found.findings == ()
    assert [note for note in found.notes if "without a copy in the next generation" in note]


async def test_a_generation_that_was_never_archived(logs: Logs) -> None:
    """An archive that begins after a migration is whole by itself: copies of all stand in what it archives."""
    await logs.old.append(said(40))
    await logs.migrate()
    await logs.archive(logs.new)
    found = await logs.verify(logs.new, logs.old)
    assert (found.findings, found.uncovered) == ((), 0)
    async with await ArchiveLog.open(str(logs.place), TOPICS) as archived:
        assert await everything(archived) == await everything(logs.new)


Change = Callable[[list[Record]], list[Record]]
ODD = (
    (lambda copies: [*copies[:3], replace(copies[3], value=b"never said"), *copies[4:]], "changed", 3),
    (
        lambda copies: [*copies[:3], replace(copies[3], append_time_ms=copies[-1].append_time_ms + 1), *copies[4:]],
        "changed",
        3,
    ),
    (lambda copies: [*copies[:3], replace(copies[3], headers=copies[4].headers), *copies[4:]], "changed", 3),
    (lambda copies: [*copies[:3], copies[0], *copies[3:]], "inserted", 3),
    (lambda copies: [replace(copies[0], headers=((ORIGIN, b"nowhere"),)), *copies], "inserted", 0),
    (lambda copies: [*copies[:3], *copies[4:]], "removed", None),
    (lambda copies: copies[:-1], "removed", None),
    (lambda copies: sorted(copies, key=lambda one: (one.key, -one.offset)), "reordered", None),
)


@pytest.mark.parametrize(("change", "kind", "offset"), ODD)
async def test_a_migration_that_copied_something_else(
    logs: Logs, change: Change, kind: str, offset: int | None
) -> None:
    """Before anybody had signed the copies: the audit compares them with what had been signed."""
    await logs.old.append(said(60))
    await logs.archive(logs.old)
    await logs.migrate(change)
    await logs.archive(logs.new, logs.old)
    for log, earlier, archive in ((logs.new, [logs.old], True), (logs.new, [logs.old], False), (None, [], True)):
        findings = (await logs.verify(log, *earlier, archive=archive)).findings
        assert {one.kind for one in findings} == {kind}, findings
        if offset is not None:
            assert [(one.partition, one.offset) for one in findings] == [(str(NEW), offset)]
    await logs.new.append(said(5))
    assert len((await logs.verify(logs.new)).findings) == len(findings)
