"""The audit of a migration: what stands in a later generation is what was copied, all of it, in its order."""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from helamem.schemas.errors import Poison
from helamem.schemas.events import RecordDeadLettered
from helamem.schemas.records import ORIGIN, Record, TopicPartition, base_name_of, generation_of
from helamem.schemas.topics import DEAD_LETTERS
from helamem.schemas.wire import decode
from helamem.streams.audit.findings import Copy, Finding, Kind
from helamem.streams.audit.originals import EVERYWHERE, Originals
from helamem.streams.log.partitioner import partition_of
from helamem.streams.settings_log import settings_of


class Held(Protocol):
    """What is held of some topics, wherever it lies."""

    async def partitions(self, topic: str) -> list[TopicPartition]:
        """Return all partitions of a topic, in order, those without records too."""
        ...

    def read(self, at: TopicPartition) -> AsyncIterator[Record]:
        """Yield the records of a partition that are there, in order."""
        ...

    async def dropped(self, at: TopicPartition) -> Sequence[range]:
        """Return the offsets of which a partition had records that are no longer there, by now."""
        ...


class Migrated(NamedTuple):
    """What the audit of one topic's migration came to."""

    findings: tuple[Finding, ...]
    """The first one of each partition."""
    gone: int
    """Records of which there is no copy: retention took them before they were migrated, or the copies since."""


async def verify_copies(before: str, after: str, held: Held) -> Migrated:
    """Compare a topic in one generation with the copies in the next one.

    Each copy names its original in a header. It has the same key, value, headers and append time; dead letters name
    other positions, and settings stand in every partition. What the log had dropped when it was migrated has no copy.
    What either generation has dropped since is not there to be compared, which is no fault: each partition drops its
    own beginning, so the originals of one partition are gone up to another offset in each partition that they went to.

    Args:
        before: The topic in the earlier generation.
        after: The topic in the later one.
        held: Holds both.
    """
    targets = await held.partitions(after)
    migration = _Migration(before)
    for at in await held.partitions(before):
        await migration.begin(at, held, len(targets))
    told = [await migration.verify(at, held) for at in targets]
    findings = [one for one in told if one is not None] or migration.without_copy(generation_of(after))
    return Migrated(tuple(findings), 0 if findings else migration.gone)


class _Migration:
    """What was there to copy, what of it was found again, and what cannot be found any more."""

    def __init__(self, before: str) -> None:
        self._before = before
        self._originals: dict[TopicPartition, Originals] = {}
        self._dropped: dict[TopicPartition, Sequence[range]] = {}
        self._excused: dict[tuple[TopicPartition, int], list[range]] = defaultdict(list)
        """By partition of the originals and of the copies: offsets of originals whose copies may have been dropped."""
        self.gone = 0

    async def begin(self, at: TopicPartition, held: Held, targets: int) -> None:
        """Read what there was to copy of a partition into so many others."""
        originals = self._originals[at] = Originals()
        async for record in held.read(at):
            target = EVERYWHERE if settings_of(record.value) is not None else partition_of(record.key, targets)
            originals.add(record.offset, _hash(record), target)
        self._dropped[at] = await held.dropped(at)  # afterwards: meanwhile there may have become more of it

    async def verify(self, at: TopicPartition, held: Held) -> Finding | None:
        """Return the first copy in a partition that is not what it should be."""
        reached: dict[TopicPartition, int] = {}
        lost: dict[TopicPartition, int] = {}  # of each partition the first original whose copy may have been dropped

        async def lose(begin: int, end: int) -> None:
            if any(max(one.start, begin) < min(one.stop, end) for one in await held.dropped(at)):
                lost.update({one: reached.get(one, -1) + 1 for one in self._originals if one not in lost})

        end = 0
        async for record in held.read(at):
            if record.offset > end:
                await lose(end, record.offset)
            end = record.offset + 1
            origin = next((value for name, value in record.headers if name == ORIGIN), None)
            if origin is None:
                break  # copies come first
            place = _place(origin)
            kind = "inserted" if place is None else self._take(*place, record, reached)
            if place is None or kind is not None:
                return _fault(kind or "inserted", at, record.offset, origin)
            source, offset = place
            reached[source] = offset
            if source in lost:
                self._excused[source, at.partition].append(range(lost.pop(source), offset))
        else:
            await lose(end, sys.maxsize)
        for source, offset in lost.items():
            self._excused[source, at.partition].append(range(offset, sys.maxsize))
        return None

    def _take(
        self, at: TopicPartition, offset: int, record: Record, reached: Mapping[TopicPartition, int]
    ) -> Kind | None:
        """Take a copy for found, and return what is wrong with it."""
        before = reached.get(at, -1)
        if (originals := self._originals.get(at)) is not None:
            taken = originals.take(offset, _hash(record))
            if taken == "another":
                return "changed"
            if taken == "again" or (taken == "of none" and self._knows(at, offset)):
                return "inserted"
        elif at.topic == self._before:
            return "inserted"
        return "inserted" if offset == before else "reordered" if offset < before else None

    def _knows(self, at: TopicPartition, offset: int) -> bool:
        """Return whether this audit can say what stood at a place: an archive may lack the end of a generation."""
        return offset < self._originals[at].end and not any(offset in one for one in self._dropped[at])

    def without_copy(self, generation: int) -> list[Finding]:
        """Return the first record of each partition that should have a copy and has none."""
        findings = []
        for at, originals in self._originals.items():
            missing: int | None = None
            for offset, target in originals.without_copy():
                excused = self._excused.get((at, target), ())
                if offset < originals.first_copied or any(offset in one for one in excused):
                    self.gone += 1
                else:
                    missing = offset if missing is None else missing
            if missing is not None:
                words = f"record {missing} of {at} has no copy in generation {generation}, though later ones have"
                findings.append(_finding("removed", at, missing, words))
        return findings


def _fault(kind: Kind, at: TopicPartition, offset: int, origin: bytes) -> Finding:
    verb = {"changed": "is not what it is a copy of", "inserted": "is a copy of nothing, or the second one"}
    said = verb.get(kind, "stands behind the copy of a later record of the same partition")
    words = f"record {offset} of {at} {said} ({origin.decode(errors='replace')}): it was {kind} in the"
    return _finding(kind, at, offset, f"{words} migration, or after it")


def _place(origin: bytes) -> tuple[TopicPartition, int] | None:
    where, _, offset = origin.decode(errors="replace").rpartition("@")
    topic, _, partition = where.rpartition("/")
    if not (topic and partition.isdecimal() and offset.isdecimal()):
        return None
    return TopicPartition(topic, int(partition)), int(offset)


def _hash(record: Record) -> bytes:
    """Return a hash over what a migration keeps of a record."""
    parts: list[bytes] = [record.key, *_said(record), record.append_time_ms.to_bytes(8)]
    parts += [part for name, value in record.headers if name != ORIGIN for part in (name.encode(), value)]
    return hashlib.sha256(b"".join(len(part).to_bytes(8) + part for part in parts)).digest()


def _said(record: Record) -> list[bytes]:
    if base_name_of(record.topic) != DEAD_LETTERS.base_name:
        return [record.value]
    try:
        data = decode(record.value).data
    except Poison:
        return [record.value]
    if not isinstance(data, RecordDeadLettered):
        return [record.value]
    said = (data.group, data.reason, data.field or "", data.key_base64, data.value_base64)
    return [part.encode() for part in said]


def _finding(kind: Kind, at: TopicPartition, offset: int, words: str) -> Finding:
    where: Copy = "archive or log"
    return Finding(kind=kind, where=where, partition=str(at), offset=offset, words=words)


def steps(topics: Iterable[str]) -> list[tuple[str, str]]:
    """Return each two consecutive generations of a topic, among some."""
    found: dict[str, set[str]] = {}
    for topic in topics:
        found.setdefault(base_name_of(topic), set()).add(topic)
    return [pair for held in found.values() for pair in itertools.pairwise(sorted(held, key=generation_of))]
