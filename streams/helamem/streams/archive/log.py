"""`ArchiveLog`: the reading side of a log, over an archive."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.schemas.records import NewRecord, Record, TopicPartition, generation_of
from helamem.schemas.topics import CONVERSATIONS, TOPICS, TopicSpec
from helamem.streams.archive.layout import Span, archived_generations, archived_partitions
from helamem.streams.archive.reader import ArchiveReader
from helamem.streams.log.generation import specs_of
from helamem.streams.log.partitioner import Partitioner

POLL_S = 0.5
"""How often a wait looks whether the archiver has published more."""
MAX_READ_BYTES = 16 * 2**20
"""One read stops after so many bytes of values."""


class ArchiveLog:
    """A `Log` that can only be read: replay, audits and restoring need no more.

    Offsets, keys, values, headers and append times are those of the archived log. Where that had dropped records
    before they were archived, a read goes on after the gap. It knows no groups: nobody has processed an archive.
    """

    def __init__(self, reader: ArchiveReader, topics: Sequence[TopicSpec]) -> None:
        self.reader = reader
        self._partitioner = Partitioner(topics)
        self._spans: dict[TopicPartition, list[Span]] = {}

    @classmethod
    async def open(cls, place: str, topics: Sequence[TopicSpec], *, generation: int | None = None) -> Self:
        """Open an archive as a log.

        Args:
            place: A directory, or a URL such as `s3://bucket/path`.
            topics: Those that are asked for; what was never archived is empty.
            generation: Which one to read; None is the latest that was archived once as a whole.

        Raises:
            BadInput: There is no archive, or it does not hold that generation.
            ConfigurationError: It is damaged, of a newer version, or has a topic with another number of partitions.
            RetryLater: It is away.
        """
        reader = await asyncio.to_thread(ArchiveReader.open, place)
        return cls(reader, await asyncio.to_thread(_specs, reader, topics, generation))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def append(self, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        """Refuse.

        Raises:
            BadInput: Always, unless there is nothing to append.
        """
        for record in records:
            self._partitioner.place(record)
        self._refuse(bool(records))
        return []

    async def read(
        self, partition: TopicPartition, start: int, *, end: int | None = None, limit: int = 1000
    ) -> list[Record]:
        """Return records of one partition in order; fewer than `limit` where they are large.

        Raises:
            BadInput: There is no such partition.
            ConfigurationError: What is there is damaged.
            RetryLater: The archive is away.
        """
        self._partitioner.check(partition)
        known = self._spans.get(partition)
        if not known or known[-1].end <= start:
            known = await self._look(partition)
        return await asyncio.to_thread(self._read, partition, known, max(start, 0), end, limit)

    async def wait_for_append(self, after: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """Wait until the archiver has published a record at or past one of the offsets; looks twice a second."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            ends = await self.end_offsets(list(after))
            if any(ends[partition] > offset for partition, offset in after.items()):
                return True
            left_s = deadline - loop.time()
            if left_s <= 0:
                return False
            await asyncio.sleep(min(left_s, POLL_S))

    async def later(self) -> list[int]:
        """Return the archived generations that came after this one, in order."""
        there = await asyncio.to_thread(archived_generations, self.reader.files, CONVERSATIONS.base_name)
        here = generation_of(self._partitioner.partitions(CONVERSATIONS.name)[0].topic)
        return [number for number in there if number > here]

    async def partitions(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of a topic, in order."""
        return list(self._partitioner.partitions(topic))

    async def begin_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset that each partition holds, and 0 where it holds nothing."""
        self._partitioner.check(*partitions)
        found = await asyncio.gather(*(self._look(at) for at in partitions))
        return {at: known[0].begin if known else 0 for at, known in zip(partitions, found, strict=True)}

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset after the last archived record of each partition."""
        self._partitioner.check(*partitions)
        found = await asyncio.gather(*(self._look(at) for at in partitions))
        return {at: known[-1].end if known else 0 for at, known in zip(partitions, found, strict=True)}

    async def offsets_at(self, partitions: Sequence[TopicPartition], time_ms: int) -> dict[TopicPartition, int]:
        """Return per partition the first offset that was appended after `time_ms`."""
        self._partitioner.check(*partitions)
        found = await asyncio.gather(*(self._look(at) for at in partitions))
        return {
            at: await asyncio.to_thread(self._offset_at, at, known, time_ms)
            for at, known in zip(partitions, found, strict=True)
        }

    async def committed(self, group: str) -> dict[TopicPartition, int]:  # noqa: ARG002 - the port's argument
        """Return nothing: positions are no part of what happened, so they are not archived."""
        return {}

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:  # noqa: ARG002 - likewise
        """Refuse to move a group.

        Raises:
            BadInput: Always, unless there is nothing to commit.
        """
        self._partitioner.check(*offsets)
        self._refuse(bool(offsets))

    async def close(self) -> None:
        """Forget what was read; nothing is held open."""
        self.reader.block.cache_clear()

    async def _look(self, at: TopicPartition) -> list[Span]:
        self._spans[at] = await asyncio.to_thread(self.reader.spans, at)
        return self._spans[at]

    def _refuse(self, something: bool) -> None:  # noqa: FBT001 - one reason for two methods
        if something:
            raise BadInput(
                f"the archive {self.reader.files.place} can only be read; write to the log that it is of, or make one"
                " from it with: helamem restore-log"
            )

    def _read(self, at: TopicPartition, known: list[Span], start: int, end: int | None, limit: int) -> list[Record]:
        records: list[Record] = []
        size_bytes = 0
        first = bisect_right(known, start, key=lambda span: span.end)
        for span in known[first:]:
            if len(records) >= limit or (end is not None and span.begin >= end):
                break
            blocks = self.reader.manifest(at, span).blocks
            block = max(0, bisect_right(blocks, start, key=lambda one: one.offset) - 1)
            for number in range(block, len(blocks)):
                for record in self.reader.block(at, span, number):
                    if record.offset < start:
                        continue
                    if (
                        len(records) >= limit
                        or size_bytes >= MAX_READ_BYTES
                        or (end is not None and record.offset >= end)
                    ):
                        return records
                    records.append(record)
                    size_bytes += len(record.value)
        return records

    def _offset_at(self, at: TopicPartition, known: list[Span], time_ms: int) -> int:
        for span in self._from_time(at, known, time_ms):
            for record in self.reader.records(at, span):
                if record.append_time_ms > time_ms:
                    return record.offset
        return known[-1].end if known else 0

    def _from_time(self, at: TopicPartition, known: list[Span], time_ms: int) -> list[Span]:
        """Return the segments from the first one on that reaches past a time.

        They are not halved to find it: the clock of a broker, or that of its successor, may have gone back.
        """
        first = (n for n, span in enumerate(known) if self.reader.manifest(at, span).content.max_time_ms > time_ms)
        return known[next(first, len(known)) :]


def _specs(reader: ArchiveReader, topics: Sequence[TopicSpec], generation: int | None) -> tuple[TopicSpec, ...]:
    """Return the topics in the generation that is to be read, with the partitions that were archived."""
    files = reader.files
    found = archived_generations(files, CONVERSATIONS.base_name)
    number = generation or max(found, default=CONVERSATIONS.generation)
    if generation not in (None, *found):
        raise BadInput(f"the archive {files.place} does not hold generation {generation} (it has {_listed(found)})")
    if number == CONVERSATIONS.generation:
        specs = tuple(topics)
    else:
        partitions = archived_partitions(files, replace(CONVERSATIONS, generation=number).name) or 1
        resolved = dict(zip(TOPICS, specs_of(number, partitions, TOPICS), strict=True))
        specs = tuple(next((resolved[one] for one in TOPICS if one == spec), spec) for spec in topics)
    for spec in specs:
        there = archived_partitions(files, spec.name)
        if there not in (None, spec.partitions):
            raise ConfigurationError(
                f"the archive {files.place} holds {spec.name} in {there} partitions and {spec.partitions} are"
                " configured; configure as many as it was archived with"
            )
    return specs


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none as a whole"
