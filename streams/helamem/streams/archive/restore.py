"""Restoring: an archive back into a log, with the same partitions, order, keys and bytes.

So what is sealed stays sealed, by the same keys, and what is readable stays readable: other bytes would be another log,
of which no checkpoint speaks. Keys are not archived; what was destroyed of them opens nothing there either.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import UNSET, Struct

from helamem.schemas.errors import BadInput, ConfigurationError, Poison, RetryLater
from helamem.schemas.events import Wordy
from helamem.schemas.records import NewRecord, Record, TopicPartition
from helamem.schemas.topics import TopicSpec
from helamem.schemas.wire import decode
from helamem.streams.archive.files import sync_folder
from helamem.streams.archive.log import ArchiveLog
from helamem.streams.home import Home
from helamem.streams.log.port import Log
from helamem.streams.log.sqlite_file import SqliteFile

_PAGE = 2000
_UNFINISHED = "log.sqlite.restoring"
_CIPHERTEXT = b'"ciphertext"'


class Restored(Struct, frozen=True, kw_only=True):
    """What a restoration came to."""

    records: int
    renumbered: tuple[TopicPartition, ...]
    """Partitions whose records have other offsets now, since the archive has gaps."""
    times_kept: bool
    """Whether append times are those of the archived log."""
    sealed_tenants: tuple[str, ...]
    """Tenants of whom there are sealed words."""


async def restore_home(
    archive: ArchiveLog,
    topics: Sequence[TopicSpec],
    path: Path,
    *,
    renumber: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Restored:
    """Restore an archive into a new home: offsets, append times, keys, values and headers as they were.

    The log counts once it is whole: what an interrupted run left is thrown away by the next one. Whose words are sealed
    in it, their words are sealed in that home from then on.

    Args:
        archive: What is restored.
        topics: Its topics.
        path: A new or empty directory.
        renumber: Allow gaps in the archive: the records after one get lower offsets than they had.
        on_progress: Told how many records of how many are there.

    Raises:
        BadInput: The directory holds a log already, or something else; the archive is empty, or has gaps and
            `renumber` was not said.
        ConfigurationError: The archive is damaged.
        RetryLater: The archive is away or the disk is full.
    """
    partitions, total, gaps = await _plan(archive, topics, renumber=renumber)
    with Home.open(path) as home:
        if home.log_path.exists() or home.projection_of is not None:
            raise BadInput(f"{path} is a helamem home already; name a new directory to restore into")
        unfinished = home.path / _UNFINISHED
        for suffix in ("", "-wal", "-shm"):
            unfinished.with_name(unfinished.name + suffix).unlink(missing_ok=True)
        done = 0
        sealed: set[str] = set()
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "helamem-restore") as thread:  # a connection belongs to the thread that opened it
            file = await loop.run_in_executor(thread, lambda: SqliteFile(unfinished, topics, read_only=False))
            try:
                for at in partitions:
                    async for records in _pages(archive, at):
                        await loop.run_in_executor(thread, file.restore, at, records)
                        _note_sealed(records, sealed)
                        done += len(records)
                        on_progress(done, total)
            finally:
                await loop.run_in_executor(thread, file.close)
        for tenant in sealed:  # before there is a log, so that nobody ever appends to it what is not sealed
            home.seal_tenant(tenant)
        unfinished.rename(home.log_path)
        sync_folder(home.path)
    return Restored(records=done, renumbered=gaps, times_kept=True, sealed_tenants=tuple(sorted(sealed)))


async def restore_into(
    archive: ArchiveLog,
    topics: Sequence[TopicSpec],
    log: Log,
    *,
    renumber: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Restored:
    """Restore an archive into the empty topics of a running log, Kafka's: it gives append times of its own.

    Raises:
        BadInput: A topic is not empty; the archive is empty, or has gaps and `renumber` was not said.
        ConfigurationError: Somebody else wrote to the topics meanwhile, or the archive is damaged.
        RetryLater: Kafka or the archive went away in the middle; empty the topics and begin anew.
    """
    partitions, total, gaps = await _plan(archive, topics, renumber=renumber)
    ends = await log.end_offsets(partitions)
    if full := [at for at in partitions if ends[at]]:
        raise BadInput(f"{full[0]} is not empty in Kafka; restore into topics that were made just now")
    done = 0
    sealed: set[str] = set()
    for at in partitions:
        expected = 0
        async for records in _pages(archive, at):
            try:
                places = await log.append([_new(record) for record in records])
            except RetryLater as error:
                raise RetryLater(
                    f"{error}; {done} of {total} records are restored, maybe a few more: delete the topics and restore"
                    " anew, which makes them"
                ) from error
            if places != [(at, expected + number) for number in range(len(records))]:
                raise ConfigurationError(
                    f"somebody else writes to {at}; stop all writers, delete the topics and restore anew"
                )
            _note_sealed(records, sealed)
            expected += len(records)
            done += len(records)
            on_progress(done, total)
    return Restored(records=done, renumbered=gaps, times_kept=False, sealed_tenants=tuple(sorted(sealed)))


async def _plan(
    archive: ArchiveLog, topics: Sequence[TopicSpec], *, renumber: bool
) -> tuple[list[TopicPartition], int, tuple[TopicPartition, ...]]:
    """Return the partitions, how many records there are, and the partitions that have gaps.

    Raises:
        BadInput: There is nothing, or there are gaps and nobody allowed them.
    """
    partitions = [at for spec in topics for at in await archive.partitions(spec.name)]
    total = 0
    gaps = []
    for at in partitions:
        for span in await asyncio.to_thread(archive.reader.spans, at):
            content = (await asyncio.to_thread(archive.reader.manifest, at, span)).content
            total += content.records
            if content.missing and at not in gaps:
                gaps.append(at)
    if not total:
        raise BadInput("the archive is empty; there is nothing to restore")
    if gaps and not renumber:
        raise BadInput(
            f"the archive has gaps (in {', '.join(map(str, gaps))}), so records after them would get other offsets than"
            " the ones that dead letters and recalls name; add --renumber if that does not matter to you"
        )
    return partitions, total, tuple(gaps)


async def _pages(archive: ArchiveLog, at: TopicPartition) -> AsyncIterator[list[Record]]:
    offset = 0
    while records := await archive.read(at, offset, limit=_PAGE):
        offset = records[-1].offset + 1
        yield records


def _note_sealed(records: Sequence[Record], tenants: set[str]) -> None:
    """Add the tenants of whom some of these records hold sealed words."""
    for record in records:
        tenant = record.key.decode(errors="replace").partition("/")[0]
        if tenant in tenants or _CIPHERTEXT not in record.value:
            continue
        try:
            event = decode(record.value)
        except Poison:  # whoever processes the log puts it aside
            continue
        data = event.data
        if event.space.encode() == record.key and isinstance(data, Wordy) and data.sealed is not UNSET:
            tenants.add(tenant)


def _new(record: Record) -> NewRecord:
    return NewRecord(
        topic=record.topic, partition=record.partition, key=record.key, value=record.value, headers=record.headers
    )
