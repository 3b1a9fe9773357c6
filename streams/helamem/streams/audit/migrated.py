"""The audit of a migration: what stands in a later generation is what was copied, all of it, in its order."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

from helamem.schemas.errors import Poison
from helamem.schemas.events import RecordDeadLettered
from helamem.schemas.records import ORIGIN, Record, TopicPartition, base_name_of, generation_of
from helamem.schemas.topics import DEAD_LETTERS
from helamem.schemas.wire import decode
from helamem.streams.audit.findings import Copy, Finding, Kind
from helamem.streams.settings_log import settings_of

Read = Callable[[TopicPartition], AsyncIterator[Record]]
"""Yields the records of a partition, in order."""


class Migrated(NamedTuple):
    """What the audit of one topic's migration came to."""

    findings: tuple[Finding, ...]
    """The first one of each partition."""
    gone: int
    """Records of which there is no copy, since the log no longer held them when it was migrated."""


async def verify_copies(before: Sequence[TopicPartition], after: Sequence[TopicPartition], read: Read) -> Migrated:
    """Compare a topic in one generation with the copies in the next one.

    Each copy names its original in a header. It has the same key, value, headers and append time; dead letters name
    other positions, and settings stand in every partition. What the log had dropped at the beginning of a partition
    when it was migrated has no copy.

    Args:
        before: The partitions of the earlier generation, as far as there are records of them.
        after: The partitions of the later one.
        read: Reads both.
    """
    topic = _Originals()
    for at in before:
        async for record in read(at):
            topic.add(at, record)
    told = [await _verify(at, topic, read) for at in after]
    findings = [one for one in told if one is not None] or topic.without_copy(after)
    return Migrated(tuple(findings), 0 if findings else topic.gone)


class _Originals:
    """What was there to copy, and what of it was found again."""

    def __init__(self) -> None:
        self._hashes: dict[TopicPartition, dict[int, bytes]] = {}
        self._settings: dict[tuple[TopicPartition, int], bytes] = {}
        self._copied: dict[TopicPartition, set[int]] = {}
        self.gone = 0

    def add(self, at: TopicPartition, record: Record) -> None:
        if settings_of(record.value) is None:
            self._hashes.setdefault(at, {})[record.offset] = _hash(record)
        else:
            self._settings[at, record.offset] = _hash(record)

    def knows(self, at: TopicPartition, offset: int) -> bool:
        """Return whether this audit can say anything of a place: an archive may lack the end of a generation."""
        known = self._hashes.get(at, {})
        return bool(known) and offset <= max(known)

    def take(self, at: TopicPartition, offset: int, record: Record) -> Kind | None:
        """Take a copy for found, and return what is wrong with it."""
        if (settings := self._settings.get((at, offset))) is not None:
            return None if settings == _hash(record) else "changed"
        known = self._hashes.get(at, {})
        copied = self._copied.setdefault(at, set())
        if offset in copied or (offset not in known and self.knows(at, offset)):
            return "inserted"
        copied.add(offset)
        return "changed" if offset in known and known[offset] != _hash(record) else None

    def without_copy(self, after: Sequence[TopicPartition]) -> list[Finding]:
        """Return the first record of each partition that should have a copy and has none."""
        findings = []
        for at, known in self._hashes.items():
            copied = self._copied.get(at, set())
            first = min(copied, default=max(known) + 1)
            self.gone += sum(offset < first for offset in known)
            missing = [offset for offset in known if offset > first and offset not in copied]
            if missing:
                number = generation_of(after[0].topic)
                words = f"record {missing[0]} of {at} has no copy in generation {number}, though later ones have"
                findings.append(_finding("removed", at, missing[0], words))
        return findings


async def _verify(at: TopicPartition, originals: _Originals, read: Read) -> Finding | None:
    """Return the first copy in a partition that is not what it should be."""
    reached: dict[tuple[TopicPartition, bytes], int] = {}
    async for record in read(at):
        origin = next((value for name, value in record.headers if name == ORIGIN), None)
        if origin is None:
            return None  # copies come first
        place = _place(origin)
        kind = "inserted" if place is None else originals.take(*place, record)
        if kind is None and place is not None:
            before = reached.get((place[0], record.key), -1)
            reached[place[0], record.key] = place[1]
            kind = "reordered" if before > place[1] else None
        if kind is not None:
            verb = {"changed": "is not what it is a copy of", "inserted": "is a copy of nothing, or the second one"}
            said = verb.get(kind, "stands before the copy of an earlier record with its key")
            words = f"record {record.offset} of {at} {said} ({origin.decode(errors='replace')}): it was {kind} in the"
            return _finding(kind, at, record.offset, f"{words} migration, or after it")
    return None


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


def steps(partitions: Sequence[TopicPartition]) -> list[tuple[list[TopicPartition], list[TopicPartition]]]:
    """Return the partitions of each two consecutive generations of a topic, among some."""
    found: dict[str, dict[int, list[TopicPartition]]] = {}
    for at in partitions:
        found.setdefault(base_name_of(at.topic), {}).setdefault(generation_of(at.topic), []).append(at)
    return [(held[one], held[other]) for held in found.values() for one, other in itertools.pairwise(sorted(held))]
