"""What an audit says where it cannot name a record, and what it can never see."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fakes.directories import directory
from helamem.schemas.records import Record, TopicPartition
from helamem.schemas.topics import CHECKPOINTS
from helamem.streams.archive.files import LocalFiles
from helamem.streams.archive.reader import ArchiveReader
from helamem.streams.audit.checkpoints import checkpoint_from, in_archive, in_file, line_of, sign
from helamem.streams.audit.keys import key_text
from helamem.streams.audit.verify import Verified, verify
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.log.sqlite_schema import OFFSET_BITS
from streams.audit.world import ALL, KEYS, ONE, OTHER_KEY, World, small_segments

AT = TopicPartition(ONE.name, 0)


@pytest.fixture(autouse=True, scope="module")
def _small() -> Iterator[None]:
    with small_segments():
        yield


@pytest.fixture(scope="module")
def template() -> Iterator[World]:
    with directory() as path:
        world = World(path / "world")
        world.root.mkdir()
        world.live(seed=3, rounds=3, records=20)
        yield world


@pytest.fixture
def world(template: World, tmp_path: Path) -> World:
    return template.copy(tmp_path / "world")


def change_log(world: World, statement: str, at: TopicPartition, offset: int) -> None:
    """Run a statement over a partition's rows from an offset on; `?1` is the first row, `?2` the one after the last."""
    with closing(sqlite3.connect(world.log_path)) as file, file:
        (number,) = file.execute("SELECT partition_id FROM partitions WHERE topic = ? AND partition = ?", at).fetchone()
        file.execute(statement, ((number << OFFSET_BITS) + offset, (number + 1) << OFFSET_BITS))


def test_the_log_alone_gives_the_interval(world: World) -> None:
    """Without a second copy the segment is named in which a record was changed, and the checkpoint that says so."""
    change_log(world, "UPDATE records SET value = x'7b7d' WHERE id = ?1 AND ?2", AT, 21)
    (finding,) = world.verify(archive=False).findings
    assert (finding.kind, finding.where, finding.partition, finding.offset) == ("altered", "log", str(AT), None)
    assert finding.begin is not None
    assert finding.end is not None
    assert finding.begin <= 21 < finding.end <= finding.begin + 8
    assert "no good copy is at hand" in finding.words


def test_the_archive_alone_gives_the_interval(world: World) -> None:
    """Likewise for an archive whose log is gone."""
    files = sorted((world.archive_path / "topics" / ONE.name / "0").glob("*.records.gz"))
    files[1].write_bytes(files[0].read_bytes())
    begin, end = (int(one.name.partition(".")[0]) for one in files[1:3])
    (finding,) = world.verify(log=False).findings
    assert (finding.kind, finding.where, finding.begin, finding.end) == ("altered", "archive", begin, end)


def test_both_copies_altered_alike(world: World) -> None:
    """Whoever changes log and archive in the same way is still found: neither is what was signed."""
    change_log(world, "UPDATE records SET value = x'7b7d' WHERE id = ?1 AND ?2", AT, 3)
    shutil.rmtree(world.archive_path / "topics" / ONE.name / "0")
    findings = world.verify().findings
    assert {(one.where, one.partition) for one in findings} == {("log", str(AT)), ("archive", str(AT))}


def test_a_cut_tail_that_a_checkpoint_knew(world: World) -> None:
    """The log by itself ends before a checkpoint does: it was truncated, and that is what is said."""
    end = len(world.log_records(AT))
    change_log(world, "DELETE FROM records WHERE id >= ?1 AND id < ?2", AT, end - 5)
    (finding,) = world.verify(archive=False).findings
    assert (finding.kind, finding.where, finding.offset) == ("truncated", "log", end - 5)
    assert f"the log ends at {end - 5}" in finding.words
    (finding,) = world.verify().findings
    assert (finding.kind, finding.where, finding.offset) == ("truncated", "log", end - 5)


def test_a_tail_that_nobody_has_signed(world: World) -> None:
    """Records after the last checkpoint are counted as uncovered; cut off, only an archive of them still tells."""
    world.live(seed=9, rounds=1, signed=False)
    found = world.verify()
    assert found.findings == ()
    assert found.uncovered > 0
    assert "no checkpoint covers yet" in found.notes[-1]
    end = len(world.log_records(AT))
    change_log(world, "DELETE FROM records WHERE id >= ?1 AND id < ?2", AT, end - 1)
    (finding,) = world.verify().findings
    assert (finding.kind, finding.where, finding.offset) == ("truncated", "log", end - 1)
    assert world.verify(archive=False).findings == ()  # what was never signed and has no copy is lost without a trace


def test_unsigned_copies_that_differ(world: World) -> None:
    """Where nobody has vouched for either, the record is named and the verdict is left open."""
    world.live(seed=9, rounds=1, signed=False)
    end = len(world.log_records(AT))
    change_log(world, "UPDATE records SET value = x'7b7d' WHERE id = ?1 AND ?2", AT, end - 1)
    (finding,) = world.verify().findings
    assert (finding.kind, finding.where, finding.offset) == ("changed", "archive or log", end - 1)
    assert "nobody can tell which of the two is right" in finding.words


def test_without_checkpoints_nothing_is_clean(world: World) -> None:
    """Checkpoints that are all gone are no reason for trust."""
    shutil.rmtree(world.archive_path / "checkpoints")
    found = world.verify(log=False, kept=False)
    assert [one.kind for one in found.findings] == ["checkpoint"]
    assert "nothing can be proven" in found.findings[0].words


def test_the_last_checkpoints_taken_away(world: World) -> None:
    """Removed from archive and log, the copy that was kept elsewhere tells what more there was."""
    names = sorted((world.archive_path / "checkpoints").iterdir())
    names[-1].unlink()
    change_log(world, "DELETE FROM records WHERE id >= ?1 AND id < ?2", TopicPartition(CHECKPOINTS.name, 0), 8)
    found = world.verify()
    assert any("gone from the archive" in one.words for one in found.findings)
    assert any("the log does not have checkpoint" in note for note in found.notes)


def test_the_log_gets_its_checkpoints_later(world: World) -> None:
    """An archiver that could not write to the log leaves a note, no finding."""
    at = TopicPartition(CHECKPOINTS.name, 0)
    change_log(world, "DELETE FROM records WHERE id >= ?1 AND id < ?2", at, 6)
    shutil.rmtree(world.archive_path / "topics" / CHECKPOINTS.name / "0")
    found = world.verify()
    assert found.findings == ()
    assert any("the log does not have checkpoints 6, 7, 8" in note for note in found.notes)


def test_keys_change(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints of an old and a new key verify where both are named, and not where one is missing."""
    for path in sorted((world.archive_path / "checkpoints").iterdir())[-1:]:
        checkpoint = checkpoint_from(path.read_bytes())
        fields = {name: getattr(checkpoint, name) for name in checkpoint.__struct_fields__}
        del fields["public_key"], fields["signature"]
        path.write_bytes(line_of(sign(OTHER_KEY, **fields)))
    old = world.verify(log=False, kept=False)
    assert [one.kind for one in old.findings] == ["checkpoint"]
    assert "signed by another key" in old.findings[0].words
    monkeypatch.setitem(KEYS, key_text(OTHER_KEY.public_key()), OTHER_KEY.public_key())
    assert world.verify(log=False, kept=False).findings == ()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda raw: raw.replace(b'"number":1,', b'"number":2,'), "was changed after it was signed"),
        (lambda raw: raw.replace(b'"number"', b'"nummer"'), "is no checkpoint"),
        (lambda raw: raw[:-1] + b" \n", "is no checkpoint"),
        (lambda raw: b"", "is no checkpoint"),
    ],
)
def test_a_spoiled_checkpoint(world: World, spoil: Callable[[bytes], bytes], words: str) -> None:
    """It is named by file or number; the others still vouch for their part."""
    path = world.archive_path / "checkpoints" / f"{1:020}.json"
    path.write_bytes(spoil(path.read_bytes()))
    findings = world.verify().findings
    assert any(words in one.words for one in findings)
    assert {one.kind for one in findings} == {"checkpoint"}


def test_a_foreign_archives_checkpoints_in_the_log(world: World, tmp_path: Path) -> None:
    """Two archives of one log do not disturb each other: each is verified by its own checkpoints."""
    first = world.archive_path
    world.archive_path = tmp_path / "second"
    world.live(seed=11, rounds=1)
    assert world.verify(kept=False).findings == ()
    assert world.verify(archive=False, kept=False).findings == ()
    world.archive_path = first
    world.live(seed=12, rounds=1)
    assert world.verify(kept=False).findings == ()


class Forgetful:
    """A log of which retention has taken the first checkpoints, and nothing else."""

    def __init__(self, log: SqliteLog, begin: int) -> None:
        self._log = log
        self._begin = begin

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def begin_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset that is left."""
        return {at: self._begin if at.topic == CHECKPOINTS.name else 0 for at in partitions}


async def test_the_first_checkpoints_are_gone(world: World) -> None:
    """What the others signed is verified from where the first of them begins; what lay before is uncovered."""

    async def look(left: int) -> Verified:
        async with await SqliteLog.open(world.log_path, ALL, lambda: 0, read_only=True) as log:
            lost: Any = Forgetful(log, left)
            return await verify(None, lost, ALL, KEYS)

    whole, rest = await look(0), await look(5)
    assert (whole.findings, whole.uncovered, whole.checkpoints) == ((), 0, 9)
    assert (rest.findings, rest.checkpoints) == ((), 4)
    lost = {at: one for at, one in signed_from(world).items() if one}
    assert rest.uncovered == sum(lost.values())
    (at, begin), *_ = lost.items()
    change_log(world, "UPDATE records SET value = x'7b7d' WHERE id = ?1 AND ?2", at, begin - 1)
    assert (await look(5)).findings == (), "no checkpoint is left that says anything of it"
    change_log(world, "UPDATE records SET value = x'7b7d' WHERE id = ?1 AND ?2", at, begin)
    (finding,) = (await look(5)).findings
    assert (finding.kind, finding.partition, finding.begin) == ("altered", str(at), begin)


def signed_from(world: World) -> dict[TopicPartition, int]:
    """Return where the first checkpoint from number 5 on begins, by partition."""
    begins: dict[TopicPartition, int] = {}
    for _, line in in_archive(LocalFiles(world.archive_path))[5:]:
        one = checkpoint_from(line)
        begins.setdefault(TopicPartition(one.topic, one.partition), one.begin)
    return begins


class Busy:
    """A log into which an archiver publishes while it is audited: right before or after its checkpoints are read."""

    def __init__(self, log: SqliteLog, work: Callable[[], Awaitable[None]], *, before: bool) -> None:
        self._log = log
        self._work = work
        self._before = before
        self._worked = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def read(self, partition: TopicPartition, start: int, **options: Any) -> list[Record]:
        """Return records."""
        busy = partition.topic == CHECKPOINTS.name and not self._worked
        self._worked |= busy
        if busy and self._before:
            await self._work()
        records = await self._log.read(partition, start, **options)
        if busy and not self._before:
            await self._work()
        return records


@pytest.mark.parametrize("before", [True, False])
async def test_beside_an_archiver(world: World, before: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """An archiver that signs in the middle of an audit is no finding; each copy is read when the one after it wrote."""

    async def work() -> None:
        await world.live_on(seed=5, rounds=1)

    kept = in_file(world.kept_path)
    reader = ArchiveReader.open(str(world.archive_path))
    async with await SqliteLog.open(world.log_path, ALL, lambda: 0, read_only=True) as log:
        busy: Any = Busy(log, work, before=before)
        found = await verify(reader, busy, ALL, KEYS, kept=kept)
    assert found.findings == ()
    assert found.checkpoints == 12
