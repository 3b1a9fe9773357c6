"""What an archiver reads: a partition in runs of records, each of which becomes a segment."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple

from msgspec import Struct

from helamem.schemas.errors import ConfigurationError
from helamem.schemas.records import Record, TopicPartition
from helamem.streams.archive.segment import Gap, is_full
from helamem.streams.log.port import Log

_PAGE = 1000


class Missing(Struct, frozen=True, kw_only=True):
    """A gap, and the partition it is in."""

    partition: TopicPartition
    gap: Gap


class Counts:
    """What a run has done so far."""

    def __init__(self) -> None:
        self.records = 0
        self.segments = 0
        self.size_bytes = 0
        self.missing: list[Missing] = []


class Run(NamedTuple):
    """Consecutive records that become a segment."""

    records: tuple[Record, ...]
    held_from: int
    """What lies before this offset the log no longer held when they were read."""


async def runs(log: Log, at: TopicPartition, offset: int, end: int, counts: Counts) -> AsyncGenerator[Run]:
    """Yield the records of a partition between two offsets in runs, of which each but the last fills a segment."""
    held_from = 0
    pending: list[Record] = []
    size_bytes = 0
    while offset < end:
        begin = (await log.begin_offsets([at]))[at]
        if begin > offset:  # retention was faster; what it took is named as missing
            held_from = begin
            gap = Gap(begin=offset, end=min(begin, end), reason="retention")
            counts.missing.append(Missing(partition=at, gap=gap))
            offset = begin
            continue
        try:
            records = await log.read(at, offset, end=end, limit=_PAGE)
        except ConfigurationError:
            if (await log.begin_offsets([at]))[at] > offset:
                continue
            raise
        if not records:
            break
        offset = records[-1].offset + 1
        for record in records:
            pending.append(record)
            size_bytes += len(record.key) + len(record.value)
            if is_full(len(pending), size_bytes):
                yield Run(tuple(pending), held_from)
                pending, size_bytes = [], 0
    if pending:
        yield Run(tuple(pending), held_from)


async def read_range(log: Log, at: TopicPartition, begin: int, end: int) -> list[Record]:
    """Return the records of a partition between two offsets, as far as they are there."""
    records: list[Record] = []
    while begin < end and (some := await log.read(at, begin, end=end, limit=_PAGE)):
        records += some
        begin = some[-1].offset + 1
    return records
