"""A small log with its archive and its signed checkpoints, copied for each tampering."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from helamem.schemas.records import NewRecord, Record, TopicPartition
from helamem.schemas.topics import CHECKPOINTS, TopicSpec
from helamem.streams.archive import segment
from helamem.streams.archive.archiver import Archiver
from helamem.streams.archive.files import Files, LocalFiles
from helamem.streams.archive.reader import ArchiveReader
from helamem.streams.archive.run import archive_round
from helamem.streams.audit.checkpoints import in_file, publish
from helamem.streams.audit.keys import key_text
from helamem.streams.audit.verify import Verified, verify
from helamem.streams.log.sqlite import SqliteLog

MANY = TopicSpec(base_name="test.many", key="anything", events=(), partitions=2)
ONE = TopicSpec(base_name="test.one", key="anything", events=(), partitions=1)
SPECS = (MANY, ONE)
ALL = (*SPECS, CHECKPOINTS)
PARTITIONS = [TopicPartition(spec.name, number) for spec in SPECS for number in range(spec.partitions)]
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
KEYS = {key_text(KEY.public_key()): KEY.public_key()}
SEGMENT, BLOCK = 8, 3


@contextmanager
def small_segments() -> Iterator[None]:
    """Let segments and blocks be full after a few records, so that a small archive has many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment, "SEGMENT_RECORDS", SEGMENT)
        patch.setattr(segment, "BLOCK_RECORDS", BLOCK)
        yield


class World:
    """A log, an archive and a file of checkpoints in one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log_path = root / "log.sqlite"
        self.archive_path = root / "archive"
        self.kept_path = root / "checkpoints.jsonl"

    def copy(self, root: Path) -> World:
        """Return the same again, to be tampered with."""
        shutil.copytree(self.root, root)
        return World(root)

    def live(self, seed: int, rounds: int, records: int = 12, *, signed: bool = True) -> None:
        """Append some records and archive them, several times."""
        asyncio.run(self.live_on(seed, rounds, records, signed=signed))

    async def live_on(self, seed: int, rounds: int, records: int = 12, *, signed: bool = True) -> None:
        """Do the same within a running loop."""
        rng = random.Random(seed)
        clock = iter(range(1_750_000_000_000, 10**13))
        async with await SqliteLog.open(self.log_path, ALL, lambda: next(clock)) as log:
            for round_ in range(rounds):
                for at in PARTITIONS:
                    count = rng.randint(1, 2 * records)
                    await log.append([new_record(at, rng, f"{seed}-{round_}-{n}") for n in range(count)])
                await self.archive(log, KEY if signed else None)

    async def archive(self, log: SqliteLog, key: Ed25519PrivateKey | None) -> Archiver:
        """Archive, sign, publish and keep, as the command does."""
        archiver = Archiver(LocalFiles(self.archive_path), key, lambda: 1_760_000_000_000)

        async def to_log(files: Files, archive_id: str) -> int:
            return await publish(log, files, archive_id)

        await archive_round(archiver, log, ALL, to_log, kept=self.kept_path)
        return archiver

    def verify(self, *, archive: bool = True, log: bool = True, kept: bool = True) -> Verified:
        """Verify what is there of it."""

        async def run() -> Verified:
            reader = ArchiveReader.open(str(self.archive_path)) if archive else None
            lines = in_file(self.kept_path) if kept else None
            if not log:
                return await verify(reader, None, ALL, KEYS, kept=lines)
            async with await SqliteLog.open(self.log_path, ALL, lambda: 0, read_only=True) as opened:
                return await verify(reader, opened, ALL, KEYS, kept=lines)

        return asyncio.run(run())

    def log_records(self, at: TopicPartition) -> list[Record]:
        """Return what the log holds of a partition."""

        async def run() -> list[Record]:
            async with await SqliteLog.open(self.log_path, ALL, lambda: 0, read_only=True) as opened:
                return await opened.read(at, 0, limit=10_000)

        return asyncio.run(run())

    def archived_records(self, at: TopicPartition) -> list[Record]:
        """Return what the archive holds of a partition."""
        reader = ArchiveReader.open(str(self.archive_path))
        return [record for span in reader.spans(at) for record in reader.records(at, span)]

    def archive_files(self) -> list[Path]:
        """Return every file of the archive that checkpoints cover, and the checkpoints.

        Their own topic is not covered: each of its records is signed by itself.
        """
        return sorted(
            path
            for path in self.archive_path.rglob("*")
            if path.is_file()
            and path.name not in {"FORMAT.txt", "archive.json", "topic.json"}
            and CHECKPOINTS.name not in path.parts
        )


def new_record(at: TopicPartition, rng: random.Random, name: str) -> NewRecord:
    """Return a record that looks like an event."""
    value = json.dumps({"id": name, "text": " ".join(rng.choices(WORDS, k=rng.randint(1, 12)))})
    return NewRecord(topic=at.topic, partition=at.partition, key=rng.choice(WORDS).encode(), value=value.encode())


WORDS: Sequence[str] = "tent map stove ferry harbour rye bread piano Bergen Lisbon Tromsø lights".split()
