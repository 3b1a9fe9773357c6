"""The archiver: it writes an archive, and is the one owner of its chains.

It reads each partition in order, seals full runs of records as segments, signs what is sealed, and goes on where the
last published segment ended, whatever killed it before. Where a segment begins says what it is called, and what is
there is never written over: a second archiver takes over what the first one has published, or is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct
from msgspec.structs import replace

from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.schemas.records import Record, TopicPartition
from helamem.schemas.topics import CONVERSATIONS, EFFECTS, TopicSpec
from helamem.streams.archive.files import AlreadyThereError, Files
from helamem.streams.archive.layout import (
    Span,
    archive_id_of,
    begin_archive,
    check_partitions,
    manifest_name,
    records_name,
    state_partitions,
)
from helamem.streams.archive.reader import ArchiveReader
from helamem.streams.archive.runs import Counts, Missing, Run, read_range, runs
from helamem.streams.archive.segment import (
    Chain,
    Manifest,
    content_of,
    describe,
    gaps,
    members,
    read_block,
    seal,
)
from helamem.streams.archive.signer import Signer
from helamem.streams.audit.hashes import genesis
from helamem.streams.log.generation import specs_in
from helamem.streams.log.port import Log


class Archived(Struct, frozen=True, kw_only=True):
    """What one run of the archiver came to."""

    records: int
    segments: int
    size_bytes: int
    """Of the segments, compressed."""
    missing: tuple[Missing, ...]
    """Records that this run could not archive, since the log no longer held them."""


class Archiver:
    """Writes one log, in whatever generation, into one archive.

    Args:
        files: Where the archive lies, or is to be made. In a directory only one archiver may write; see `layout.LOCK`.
        key: Signs checkpoints; None leaves the archive unsigned.
        clock: Milliseconds since 1970, for the checkpoints.
    """

    def __init__(self, files: Files, key: Ed25519PrivateKey | None, clock: Callable[[], int]) -> None:
        archive_id = archive_id_of(files) or begin_archive(files)
        self.reader = ArchiveReader(files, archive_id)
        self._key = key
        self._clock = clock
        self._signer: Signer | None = None
        self._chains: dict[TopicPartition, Chain | None] = {}
        self._stated: set[str] = set()

    async def archive(
        self,
        log: Log,
        topics: Sequence[TopicSpec],
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Archived:
        """Archive what the log holds now of some topics.

        Args:
            log: The log; always the same one, or a later generation of it.
            topics: What of it.
            on_progress: Told how many records of how many are archived.

        Raises:
            ConfigurationError: The log is not the one that was archived, or was altered since; or the archive was.
            RetryLater: The log or the archive is away; what was published stays, and the next run goes on there.
        """
        specs = await specs_in(log, topics)
        new = [spec for spec in specs if spec.name not in self._stated]
        for spec in new:
            await asyncio.to_thread(check_partitions, self.reader.files, spec.name, spec.partitions)
        # What a model answered is in the log before what rests on it. So it is looked up later and archived earlier:
        # no archive, however it was cut, holds a fact without the answer that a replay looks it up in.
        answers = [at for spec in specs if _is_of_answers(spec) for at in await log.partitions(spec.name)]
        others = [at for spec in specs if not _is_of_answers(spec) for at in await log.partitions(spec.name)]
        ends = dict(await log.end_offsets(others))
        ends |= await log.end_offsets(answers)
        partitions = [*answers, *others]
        for at in partitions:
            if at not in self._chains:
                self._chains[at] = await self._resume(log, at)
        total = sum(max(0, ends[at] - self._next(at)) for at in partitions)
        counts = Counts()
        for at in partitions:
            try:
                await self._archive(log, at, ends[at], counts, lambda: on_progress(counts.records, total))
            except BaseException:
                del self._chains[at]  # where a write failed, the archive itself is asked again
                raise
        # Which generation an archive holds is told by its conversations, so they come last.
        for spec in sorted(new, key=lambda one: one.base_name == CONVERSATIONS.base_name):
            await asyncio.to_thread(state_partitions, self.reader.files, spec.name, spec.partitions)
            self._stated.add(spec.name)
        return Archived(
            records=counts.records,
            segments=counts.segments,
            size_bytes=counts.size_bytes,
            missing=tuple(counts.missing),
        )

    async def sign(self, log: Log, topics: Sequence[TopicSpec]) -> int:
        """Sign what is sealed and not signed yet of some topics, and return how many checkpoints that took.

        Raises:
            ConfigurationError: A segment that an earlier run sealed is no longer what it was; or another archiver
                signs.
        """
        if self._key is None:
            return 0
        # Where a write failed nobody knows whether it took place: the archive itself is asked again.
        signer, self._signer = self._signer, None
        if signer is None:
            signer = await asyncio.to_thread(Signer, self.reader, self._key, self._clock)
        partitions = [at for spec in topics for at in await log.partitions(spec.name)]
        signed = await asyncio.to_thread(signer.sign, partitions)
        self._signer = signer
        return signed

    @property
    def signs(self) -> bool:
        """Whether it has a key."""
        return self._key is not None

    def _next(self, at: TopicPartition) -> int:
        chain = self._chains.get(at)
        return 0 if chain is None else chain.end

    async def _archive(
        self, log: Log, at: TopicPartition, end: int, counts: Counts, on_progress: Callable[[], None]
    ) -> None:
        """Archive one partition up to an offset."""
        while (begin := self._next(at)) < end:
            async with aclosing(runs(log, at, begin, end, counts)) as some:
                async for run in some:
                    await self._seal(log, at, run, counts)
                    on_progress()
                    if self._next(at) != run.records[-1].offset + 1:  # the segment of another run was taken over
                        break
            if self._next(at) == begin:
                return

    async def _seal(self, log: Log, at: TopicPartition, run: Run, counts: Counts) -> None:
        """Publish a segment: the records first, then the manifest, with which they count."""
        files = self.reader.files
        begin = run.records[0].offset
        manifest, data = await asyncio.to_thread(self._sealed, at, run)
        try:
            await asyncio.to_thread(files.publish, records_name(at, begin), data)
        except AlreadyThereError:
            run, manifest = await self._taken_over(log, at, run)
        content = manifest.content
        name = manifest_name(at, Span(content.begin, content.end))
        try:
            await asyncio.to_thread(files.publish, name, manifest.to_bytes())
        except AlreadyThereError as error:
            there = (await asyncio.to_thread(self.reader.manifest, at, Span(content.begin, content.end))).content
            if replace(there, missing=()) != replace(content, missing=()):
                raise ConfigurationError(f"{error}; it says something else than the log") from None
        else:
            counts.missing += [Missing(partition=at, gap=one) for one in content.missing if one.reason == "no record"]
            counts.segments += 1
            counts.records += content.records
            counts.size_bytes += manifest.size_bytes
        self._chains[at] = Chain(begin=content.chain_begin, head=bytes.fromhex(content.chain_head), end=content.end)

    def _sealed(self, at: TopicPartition, run: Run, data: bytes | None = None) -> tuple[Manifest, bytes]:
        """Return the manifest and the file of a run of records, or the manifest for a file that is there."""
        records = run.records
        begin = records[0].offset
        chain = self._chains[at] or Chain(begin=begin, head=genesis(self.reader.archive_id, at, begin), end=0)
        missing = gaps(chain.end, [record.offset for record in records], run.held_from)
        content = content_of(at, records, chain, missing)
        return seal(content, records) if data is None else (describe(content, data), data)

    async def _taken_over(self, log: Log, at: TopicPartition, run: Run) -> tuple[Run, Manifest]:
        """Return the segment that is there already: of another archiver, or of one that was killed before the manifest.

        Raises:
            ConfigurationError: Its records are not those of the log.
        """
        begin = run.records[0].offset
        name = records_name(at, begin)

        def look() -> tuple[bytes, list[Record]]:
            data = self.reader.files.read(name)
            return data, [record for member in members(data) for record in read_block(member)]

        try:
            data, records = await asyncio.to_thread(look)
        except BadInput as error:
            raise ConfigurationError(f"{name} of the archive {self.reader.files.place} is damaged ({error})") from None
        if not records or await read_range(log, at, begin, records[-1].offset + 1) != records:
            raise ConfigurationError(
                f"{name} of the archive {self.reader.files.place} holds other records than the log: it was altered, or"
                " another log is archived there; look closer with helamem audit verify, or archive to a new place"
            )
        run = Run(tuple(records), run.held_from)
        manifest, _ = await asyncio.to_thread(self._sealed, at, run, data)
        return run, manifest

    async def _resume(self, log: Log, at: TopicPartition) -> Chain | None:
        """Return where the chain of a partition stands, once it is sure that the log is the one that was archived."""
        spans = await asyncio.to_thread(self.reader.spans, at)
        if not spans:
            return None
        content = (await asyncio.to_thread(self.reader.manifest, at, spans[-1])).content
        archived = (await asyncio.to_thread(lambda: list(self.reader.records(at, spans[-1]))))[-1]
        end = (await log.end_offsets([at]))[at]
        if end < content.end:
            raise ConfigurationError(
                f"{at} ends at {end} in the log and at {content.end} in the archive {self.reader.files.place}: the log"
                " was cut, or it is another one; see which with helamem audit verify, or archive it to a new place"
            )
        begin = (await log.begin_offsets([at]))[at]
        if begin < content.end and await log.read(at, archived.offset, end=content.end) != [archived]:
            raise ConfigurationError(
                f"{at} holds another record at {archived.offset} than the archive {self.reader.files.place}: the log"
                " was altered, or it is another one; see which with helamem audit verify, or archive it to a new place"
            )
        return Chain(begin=content.chain_begin, head=bytes.fromhex(content.chain_head), end=content.end)


def _is_of_answers(spec: TopicSpec) -> bool:
    return spec.base_name == EFFECTS.base_name
