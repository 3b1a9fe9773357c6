"""Verifying: archive, log and checkpoints against each other, until the first record at fault has a name."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from helamem.schemas.errors import ConfigurationError
from helamem.schemas.records import Record, TopicPartition, base_name_of, generation_of
from helamem.schemas.topics import CHECKPOINTS, TopicSpec
from helamem.streams.archive.layout import Span, archived_partitions
from helamem.streams.archive.reader import ArchiveReader
from helamem.streams.audit.checkpoints import in_archive, in_log
from helamem.streams.audit.copies import ArchiveCopy, LogCopy
from helamem.streams.audit.findings import Finding
from helamem.streams.audit.ledger import Source, bring_together
from helamem.streams.audit.migrated import Migrated, steps, verify_copies
from helamem.streams.audit.partition import PartitionAudit
from helamem.streams.log.port import Log

_PAGE = 1000


class Verified(Struct, frozen=True, kw_only=True):
    """What an audit came to."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    """What is no fault and worth knowing, such as records that no checkpoint covers yet."""
    checkpoints: int
    records: int
    """Records in the archive and in the log that were looked at."""
    uncovered: int
    """Records after the last checkpoint of their partition: nobody has vouched for them yet."""

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


async def verify(
    reader: ArchiveReader | None,
    log: Log | None,
    topics: Sequence[TopicSpec],
    keys: Mapping[str, Ed25519PublicKey],
    *,
    earlier: Sequence[Log] = (),
    kept: Sequence[tuple[str, bytes]] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Verified:
    """Compare an archive, a log and checkpoints; at least one of the first two.

    Args:
        reader: The archive, if it is to be looked at.
        log: The log that it is of, if that is to be looked at.
        topics: What is archived.
        keys: Public keys that may have signed, by their hexadecimal form.
        earlier: The generations of the log that were left and are still there.
        kept: Checkpoints that were kept elsewhere, as (place, line).
        on_progress: Told how many partitions of how many were looked at.

    Raises:
        RetryLater: The archive or the log is away.
    """
    sources = await _sources(reader, log, kept)
    ledgers = bring_together(sources, keys, None if reader is None else reader.archive_id)
    findings: list[Finding] = [one for ledger in ledgers.values() for one in ledger.findings]
    notes = [note for ledger in ledgers.values() for note in ledger.notes]
    if not any(ledger.checkpoints for ledger in ledgers.values()):
        words = "no checkpoint was found that one of the keys has signed, so nothing can be proven"
        findings.append(Finding(kind="checkpoint", where="checkpoints", words=words))
    copies = {at: one for one in (*earlier, *([] if log is None else [log])) for at in await _partitions(one, topics)}
    begins: dict[TopicPartition, int] = {}
    ends: dict[TopicPartition, int] = {}
    for at, one in copies.items():
        begins |= await one.begin_offsets([at])
        ends |= await one.end_offsets([at])
    archived = [] if reader is None else await asyncio.to_thread(reader.partitions)
    signed = {at for ledger in ledgers.values() for at in ledger.partitions()}
    here = [] if log is None else await _partitions(log, topics)
    # What an archive did not begin before it was left stands in the next generation as well.
    partitions = sorted({*here, *archived, *signed}, key=lambda at: (generation_of(at.topic), *at))
    records = uncovered = 0
    for done, at in enumerate(partitions, start=1):
        holding = copies.get(at)
        for id_, ledger in ledgers.items():
            stored = None if reader is None else await asyncio.to_thread(ArchiveCopy, reader, at)
            logged = None if holding is None else LogCopy(holding, at, begins[at], ends[at])
            partition = PartitionAudit(at, id_, ledger, stored, logged)
            await partition.verify()
            findings += partition.findings
            records += partition.records
            uncovered += 0 if _is_of_checkpoints(at) else partition.uncovered
        on_progress(done, len(partitions))
    migrated = await _migrations(partitions, _Readers(reader, copies))
    findings += [finding for one in migrated for finding in one.findings]
    if gone := sum(one.gone for one in migrated):
        notes.append(
            f"records without a copy in the next generation, since retention took them before, or it since: {gone}"
        )
    if uncovered:
        notes.append(f"records that no checkpoint covers yet, so that nobody has vouched for them: {uncovered}")
    return Verified(
        findings=tuple(findings),
        notes=tuple(notes),
        checkpoints=sum(len(ledger.checkpoints) for ledger in ledgers.values()),
        records=records,
        uncovered=uncovered,
    )


async def _sources(
    reader: ArchiveReader | None, log: Log | None, kept: Sequence[tuple[str, bytes]] | None
) -> list[Source]:
    # An archiver may be at work. It writes a checkpoint into the archive, then into the log, then into the file: read
    # the other way round, each of them has all that was seen before.
    sources: list[Source] = []
    if kept is not None:
        sources.append(Source(name="the file of checkpoints", lines=kept))
    if log is not None:
        (at,) = await log.partitions(CHECKPOINTS.name)
        # A migration copies what the log still holds.
        late = (await log.begin_offsets([at]))[at] > 0 or generation_of(at.topic) > CHECKPOINTS.generation
        sources.append(Source(name="the log", lines=await in_log(log), begins_late=late))
    if reader is not None:
        sources.append(Source(name="the archive", lines=await asyncio.to_thread(in_archive, reader.files), own=True))
    return sources


async def _partitions(log: Log, topics: Sequence[TopicSpec]) -> list[TopicPartition]:
    return [at for spec in topics for at in await log.partitions(spec.name)]


def _is_of_checkpoints(at: TopicPartition) -> bool:
    return base_name_of(at.topic) == CHECKPOINTS.base_name


class _Readers:
    """Reads each topic where it is held: in the archive, where that has all of its generation, or in a log."""

    def __init__(self, reader: ArchiveReader | None, logs: Mapping[TopicPartition, Log]) -> None:
        self._reader = reader
        self._logs = logs

    def holds(self, topic: str) -> bool:
        """Return whether all that a migration copied there can be read."""
        return self._archived(topic) is not None or any(at.topic == topic for at in self._logs)

    def _archived(self, topic: str) -> int | None:
        return None if self._reader is None else archived_partitions(self._reader.files, topic)

    async def partitions(self, topic: str) -> list[TopicPartition]:
        """Return all partitions of a topic, in order."""
        count = await asyncio.to_thread(self._archived, topic)
        if count is None:
            return sorted(at for at in self._logs if at.topic == topic)
        return [TopicPartition(topic, number) for number in range(count)]

    async def read(self, at: TopicPartition) -> AsyncIterator[Record]:
        """Yield the records of a partition."""
        if self._reader is not None and await asyncio.to_thread(self._archived, at.topic) is not None:
            for span in await asyncio.to_thread(self._reader.spans, at):
                for record in await asyncio.to_thread(lambda span: list(self._records(at, span)), span):
                    yield record
            return
        log = self._logs[at]
        offset = (await log.begin_offsets([at]))[at]
        while records := await log.read(at, offset, limit=_PAGE):
            offset = records[-1].offset + 1
            for record in records:
                yield record

    async def dropped(self, at: TopicPartition) -> list[range]:
        """Return which offsets of a partition retention took."""
        reader = self._reader
        if reader is not None and await asyncio.to_thread(self._archived, at.topic) is not None:
            spans = await asyncio.to_thread(reader.spans, at)
            if spans:
                manifests = [await asyncio.to_thread(reader.manifest, at, span) for span in spans]
                gaps = [gap for one in manifests for gap in one.content.missing if gap.reason == "retention"]
                return [range(gap.begin, gap.end) for gap in gaps]
            if at not in self._logs:
                return [range(sys.maxsize)]  # what it dropped before anything was archived stands nowhere
        return [range((await self._logs[at].begin_offsets([at]))[at])]

    def _records(self, at: TopicPartition, span: Span) -> Iterator[Record]:
        assert self._reader is not None
        return self._reader.records(at, span)


async def _migrations(partitions: Sequence[TopicPartition], readers: _Readers) -> list[Migrated]:
    """Compare each generation with the one before it, where both are there."""
    found = []
    topics = {at.topic: None for at in partitions}
    held = [topic for topic in topics if await asyncio.to_thread(readers.holds, topic)]
    for before, after in steps(held):
        with suppress(ConfigurationError):  # it cannot be read: the audit of its partition says so
            found.append(await verify_copies(before, after, readers))
    return found
