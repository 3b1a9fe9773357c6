"""The copies of a partition that an audit compares: in an archive and in a log, read whatever state they are in."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

from msgspec import Struct

from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.schemas.records import Record, TopicPartition
from helamem.streams.archive.layout import Span, manifest_name, records_name
from helamem.streams.archive.reader import ArchiveReader
from helamem.streams.archive.segment import (
    Chain,
    Content,
    Manifest,
    content_of,
    gaps,
    members,
    read_block,
    salvage_block,
)
from helamem.streams.audit.hashes import genesis
from helamem.streams.log.port import Log

_PAGE = 4096


class Held(Struct, frozen=True, kw_only=True):
    """What a copy holds of an interval."""

    records: tuple[Record, ...]
    complaint: str = ""
    """Why it is not all that should be there, where the copy itself tells."""


class ArchiveCopy:
    """The records of one partition as an archive holds them, damage included."""

    def __init__(self, reader: ArchiveReader, at: TopicPartition) -> None:
        self._reader = reader
        self._at = at
        self.spans = reader.spans(at)

    async def held(self, begin: int, end: int) -> Held:
        """Return the records of all segments that begin in an interval."""
        return await asyncio.to_thread(self._held, begin, end)

    async def manifest_complaints(self, begin: int, end: int, chain: Chain | None) -> tuple[list[str], Chain | None]:
        """Return what is wrong with the manifests of the segments that begin in an interval.

        Args:
            begin: Of the interval.
            end: Of the interval.
            chain: Where the partition's chain stands before; None at its beginning.

        Returns:
            The complaints, and where the chain stands after.
        """
        return await asyncio.to_thread(self._manifest_complaints, begin, end, chain)

    def _held(self, begin: int, end: int) -> Held:
        records: list[Record] = []
        complaint = ""
        for span in self.spans:
            if begin <= span.begin < end:
                found, why = self._salvage(span)
                records += found
                complaint = complaint or why
        return Held(records=tuple(records), complaint=complaint)

    def _salvage(self, span: Span) -> tuple[list[Record], str]:
        """Return the records of a segment, up to where they can be read, and why not further."""
        name = records_name(self._at, span.begin)
        try:
            raw = self._reader.files.read(name)
        except BadInput:
            return [], f"{name} is missing"
        try:
            manifest = self._reader.manifest(self._at, span)
        except ConfigurationError:
            manifest = None
        if manifest is None or hashlib.sha256(raw).hexdigest() != manifest.sha256:
            return self._read_on(name, raw)
        records: list[Record] = []
        try:
            for member in _members(raw, manifest):
                records += read_block(member)
        except BadInput:
            return self._read_on(name, raw)
        return records, ""

    def _read_on(self, name: str, raw: bytes) -> tuple[list[Record], str]:
        """Return the records of a file by itself, whatever its manifest says."""
        records: list[Record] = []
        for member in members(raw):
            try:
                records += read_block(member)
            except BadInput:
                records += salvage_block(member)
                return records, f"{name} is damaged after {len(records)} records"
        return records, ""

    def _manifest_complaints(self, begin: int, end: int, chain: Chain | None) -> tuple[list[str], Chain | None]:
        complaints = []
        for span in self.spans:
            if not begin <= span.begin < end:
                continue
            name = manifest_name(self._at, span)
            records, why = self._salvage(span)
            if why or not records:
                complaints.append(why or f"{records_name(self._at, span.begin)} holds no records")
                continue
            chain = chain or self._genesis(records[0].offset)
            try:
                manifest = self._reader.manifest(self._at, span)
            except ConfigurationError:
                manifest = None
            content = self._content(records, chain, manifest)
            if manifest is None:
                complaints.append(f"{name} is damaged")
            elif content != manifest.content or span != Span(content.begin, content.end):
                complaints.append(f"{name} does not fit the records that it is about")
            elif not self._fits(span, manifest, records):
                complaints.append(f"{name} does not fit the file that it is about")
            chain = Chain(begin=chain.begin, head=bytes.fromhex(content.chain_head), end=content.end)
        return complaints, chain

    def _genesis(self, offset: int) -> Chain:
        return Chain(begin=offset, head=genesis(self._reader.archive_id, self._at, offset), end=0)

    def _content(self, records: Sequence[Record], chain: Chain, manifest: Manifest | None) -> Content:
        """Return what the manifest should say; why something is missing only the manifest itself knows."""
        retained = [gap.end for gap in manifest.content.missing if gap.reason == "retention"] if manifest else []
        missing = gaps(chain.end, [record.offset for record in records], max(retained, default=0))
        return content_of(self._at, records, chain, missing)

    def _fits(self, span: Span, manifest: Manifest, records: Sequence[Record]) -> bool:
        raw = self._reader.files.read(records_name(self._at, span.begin))
        if (len(raw), hashlib.sha256(raw).hexdigest()) != (manifest.size_bytes, manifest.sha256):
            return False
        try:
            blocks = [read_block(member) for member in _members(raw, manifest)]
        except BadInput:
            return False
        described = [(block.offset, block.records) for block in manifest.blocks]
        return described == [(block[0].offset, len(block)) for block in blocks if block] and [
            record for block in blocks for record in block
        ] == list(records)


class LogCopy:
    """The records of one partition as a log holds them."""

    def __init__(self, log: Log, at: TopicPartition, begin: int, end: int) -> None:
        self._log = log
        self._at = at
        self.begin = begin
        """The first offset that it still holds."""
        self.end = end

    async def held(self, begin: int, end: int) -> Held:
        """Return the records of an interval."""
        records: list[Record] = []
        start = max(begin, self.begin)
        while start < end and (found := await self._log.read(self._at, start, end=end, limit=_PAGE)):
            records += found
            start = found[-1].offset + 1
        return Held(records=tuple(records))


def _members(raw: bytes, manifest: Manifest) -> list[bytes]:
    """Return the blocks of a file where its manifest says that they are."""
    positions = [block.position for block in manifest.blocks]
    if positions[:1] != [0] or positions != sorted(set(positions)):
        raise BadInput("the blocks do not follow each other")
    return [raw[begin:end] for begin, end in zip(positions, [*positions[1:], len(raw)], strict=True)]
