"""Segments: runs of records that are sealed once, as compressed blocks beside a manifest that is their index."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec
import orjson
from msgspec import Struct

from helamem.schemas.errors import BadInput
from helamem.schemas.records import Record, TopicPartition
from helamem.streams.archive.encoding import decode_record, encode_record, framed, unframed
from helamem.streams.audit.hashes import leaf_hash, link_hash, merkle_root

SEGMENT_RECORDS = 4096
SEGMENT_BYTES = 8 * 2**20
"""A segment is full at so many records or about so many bytes of them, whatever comes first."""
BLOCK_RECORDS = 256
BLOCK_BYTES = 256 * 2**10
"""Likewise a block: what a reader of one record has to decompress."""
_LEVEL = 6
_GZIP_HEADER_BYTES = 10
_GZIP = 16 + zlib.MAX_WBITS
_SLICE = 64


class Gap(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Offsets from `begin` to before `end` of which the archive has no record."""

    begin: int
    end: int
    reason: Literal["retention", "no record"]
    """The log had dropped them before they were archived, or passed over them: Kafka counts marks of transactions."""


class Chain(Struct, frozen=True, kw_only=True):
    """Where a partition's chain stands."""

    begin: int
    """Offset of its first record."""
    head: bytes
    end: int
    """Offset after the last archived record."""


class Content(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a manifest says of the records: all of it follows from them and from the chain before."""

    topic: str
    partition: int
    begin: int
    end: int
    follows: int
    """End of the segment before it; 0 for the first one."""
    records: int
    max_time_ms: int
    """Latest append time, milliseconds since 1970."""
    missing: tuple[Gap, ...]
    """What is not there between `follows` and `end`."""
    root: str
    """Merkle root, hexadecimal."""
    chain_begin: int
    chain_before: str
    chain_head: str


class Block(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One block of a segment: a gzip member of its own."""

    offset: int
    """Of its first record."""
    position: int
    """Of its first byte in the file."""
    records: int


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The index of a segment; the segment counts from when it is there."""

    content: Content
    sha256: str
    """Of the file with the records."""
    size_bytes: int
    blocks: tuple[Block, ...]

    def to_bytes(self) -> bytes:
        """Return it as JSON with sorted keys."""
        return orjson.dumps(msgspec.to_builtins(self), option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Manifest:
        """Return what `to_bytes` wrote.

        Raises:
            BadInput: It is something else.
        """
        try:
            return msgspec.json.decode(raw, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadInput(f"a manifest is damaged: {error}") from None


def is_full(records: int, size_bytes: int) -> bool:
    """Return whether a segment takes no further record."""
    return records >= SEGMENT_RECORDS or size_bytes >= SEGMENT_BYTES


def gaps(follows: int, offsets: Sequence[int], held_from: int) -> tuple[Gap, ...]:
    """Return the gaps before and between consecutive records.

    Args:
        follows: The first offset that should be there.
        offsets: Those that are.
        held_from: What lies before this offset the log no longer held when it was read.
    """
    found = []
    expected = follows
    for offset in offsets:
        if offset > expected:
            cut = min(max(held_from, expected), offset)
            for begin, end, reason in ((expected, cut, "retention"), (cut, offset, "no record")):
                if begin < end:
                    found.append(Gap(begin=begin, end=end, reason=reason))  # type: ignore[arg-type]
        expected = offset + 1
    return tuple(found)


def content_of(at: TopicPartition, records: Sequence[Record], chain: Chain, missing: tuple[Gap, ...]) -> Content:
    """Return what a manifest says of consecutive records of a partition, at least one."""
    leaves = [leaf_hash(encode_record(record)) for record in records]
    head = chain.head
    for leaf in leaves:
        head = link_hash(head, leaf)
    return Content(
        topic=at.topic,
        partition=at.partition,
        begin=records[0].offset,
        end=records[-1].offset + 1,
        follows=chain.end,
        records=len(records),
        max_time_ms=max(record.append_time_ms for record in records),
        missing=missing,
        root=merkle_root(leaves).hex(),
        chain_begin=chain.begin,
        chain_before=chain.head.hex(),
        chain_head=head.hex(),
    )


def seal(content: Content, records: Sequence[Record]) -> tuple[Manifest, bytes]:
    """Return a segment's manifest and the bytes of its file."""
    data = bytearray()
    blocks = []
    for first, encoded in _blocks(records):
        blocks.append(Block(offset=first.offset, position=len(data), records=len(encoded)))
        data += gzip.compress(b"".join(encoded), _LEVEL, mtime=0)
    sha256 = hashlib.sha256(data).hexdigest()
    return Manifest(content=content, sha256=sha256, size_bytes=len(data), blocks=tuple(blocks)), bytes(data)


def describe(content: Content, data: bytes) -> Manifest:
    """Return the manifest of a segment whose file is there already, whatever wrote it.

    Raises:
        BadInput: The file is damaged.
    """
    blocks = []
    position = 0
    for member in members(data):
        records = read_block(member)
        blocks.append(Block(offset=records[0].offset, position=position, records=len(records)))
        position += len(member)
    sha256 = hashlib.sha256(data).hexdigest()
    return Manifest(content=content, sha256=sha256, size_bytes=len(data), blocks=tuple(blocks))


def members(raw: bytes) -> list[bytes]:
    """Return the blocks of a file by their own ends; what cannot be told apart is one block."""
    found: list[bytes] = []
    while raw:
        inflater = zlib.decompressobj(_GZIP)
        try:
            inflater.decompress(raw)
        except zlib.error:
            return [*found, raw]
        if not inflater.eof:
            return [*found, raw]
        used = len(raw) - len(inflater.unused_data)
        found.append(raw[:used])
        raw = raw[used:]
    return found


def read_block(member: bytes) -> list[Record]:
    """Return the records of one block.

    Raises:
        BadInput: It is damaged.
    """
    try:
        inflater = zlib.decompressobj(_GZIP)
        body = inflater.decompress(member)
    except zlib.error as error:
        raise BadInput(f"a block of records is damaged: {error}") from None
    if not inflater.eof or inflater.unused_data:
        raise BadInput("a block of records does not end where it should, so it is damaged")
    return [decode_record(encoded) for encoded in unframed(body)]


def salvage_block(member: bytes) -> Iterator[Record]:
    """Yield the records of a damaged block that come before the damage can be seen; they may be wrong themselves."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    body = b""
    try:
        for at in range(_GZIP_HEADER_BYTES, len(member), _SLICE):
            body += inflater.decompress(member[at : at + _SLICE])
    except zlib.error:  # here is the damage
        pass
    try:
        for encoded in unframed(body):
            yield decode_record(encoded)
    except BadInput:
        return


def _blocks(records: Sequence[Record]) -> Iterator[tuple[Record, list[bytes]]]:
    """Yield the blocks of a segment: the first record of each, and all of its records as bytes."""
    block: list[bytes] = []
    first = records[0]
    size_bytes = 0
    for record in records:
        if len(block) >= BLOCK_RECORDS or size_bytes >= BLOCK_BYTES:
            yield first, block
            block, first, size_bytes = [], record, 0
        encoded = framed(encode_record(record))
        block.append(encoded)
        size_bytes += len(encoded)
    yield first, block
