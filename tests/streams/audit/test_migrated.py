"""The audit of a migration, where each partition of both generations has lost what it has lost."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from random import Random

from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from fakes.events import applied, record
from helamem.schemas.records import ORIGIN, Record, TopicPartition
from helamem.schemas.settings import Settings
from helamem.schemas.topics import CONVERSATIONS
from helamem.streams.audit.migrated import Migrated, steps, verify_copies
from helamem.streams.audit.originals import Originals
from helamem.streams.log.partitioner import partition_of

BEFORE, AFTER = CONVERSATIONS.name, CONVERSATIONS.name.replace(".g1", ".g2")
SOURCES, TARGETS = 2, 3


class Topics:
    """Both generations of a topic: all records that were ever there, and which of them have been dropped since."""

    def __init__(self, keys: Sequence[int], begins: Sequence[int]) -> None:
        """Append one record a key, and migrate what the partitions still hold, which is from these offsets on."""
        self.records: dict[TopicPartition, list[Record]] = {
            TopicPartition(topic, number): []
            for topic, count in ((BEFORE, SOURCES), (AFTER, TARGETS))
            for number in range(count)
        }
        self.lost: dict[TopicPartition, list[range]] = {at: [] for at in self.records}
        settings = record(applied("s", Settings())).value
        for number in range(SOURCES):
            self.append(TopicPartition(BEFORE, number), b"settings", settings)
        for n, key in enumerate(keys):
            name = b"acme/%d" % key
            self.append(TopicPartition(BEFORE, partition_of(name, SOURCES)), name, b"said %d" % n)
        held = {TopicPartition(BEFORE, n): self.of(n)[begin:] for n, begin in enumerate(begins)}
        for at, found in held.items():
            self.drop(at, 0, len(self.of(at.partition)) - len(found))
        for one in sorted((one for found in held.values() for one in found), key=lambda one: one.append_time_ms):
            everywhere = one.value == settings
            if everywhere and one.partition > 0:
                continue  # settings are copied once into every partition, from the first one
            for number in range(TARGETS) if everywhere else (partition_of(one.key, TARGETS),):
                self.copy(one, TopicPartition(AFTER, number))

    def of(self, number: int) -> list[Record]:
        return self.records[TopicPartition(BEFORE, number)]

    def append(self, at: TopicPartition, key: bytes, value: bytes) -> None:
        there = self.records[at]
        time_ms = sum(map(len, self.records.values()))
        there.append(
            Record(
                topic=at.topic, partition=at.partition, offset=len(there), append_time_ms=time_ms, key=key, value=value
            )
        )

    def copy(self, one: Record, at: TopicPartition) -> None:
        origin = (ORIGIN, f"{one.topic}/{one.partition}@{one.offset}".encode())
        there = self.records[at]
        there.append(
            replace(one, topic=at.topic, partition=at.partition, offset=len(there), headers=(*one.headers, origin))
        )

    def drop(self, at: TopicPartition, begin: int, end: int) -> None:
        """Do what a retention does, or one that is faster than an archiver."""
        self.lost[at].append(range(begin, min(end, len(self.records[at]))))

    async def partitions(self, topic: str) -> list[TopicPartition]:
        return [at for at in self.records if at.topic == topic]

    async def read(self, at: TopicPartition) -> AsyncIterator[Record]:
        for one in self.records[at]:
            if not self.is_lost(at, one.offset):
                yield one

    def is_lost(self, at: TopicPartition, offset: int) -> bool:
        return any(offset in lost for lost in self.lost[at])

    async def dropped(self, at: TopicPartition) -> list[range]:
        return self.lost[at]

    def verify(self) -> Migrated:
        return asyncio.run(verify_copies(BEFORE, AFTER, self))

    def kinds(self) -> list[tuple[str, int | None]]:
        return [(one.kind, one.offset) for one in self.verify().findings]


KEYS = st.lists(st.integers(0, 8), min_size=1, max_size=40)
OFFSETS = st.integers(0, 12)
DROPS = st.lists(st.tuples(st.integers(0, SOURCES + TARGETS - 1), st.booleans(), OFFSETS, OFFSETS), max_size=6)


def lived(keys: list[int], begins: tuple[int, int], drops: list[tuple[int, bool, int, int]]) -> Topics:
    """Return topics of which each partition has dropped something, from the beginning or in the middle."""
    topics = Topics(keys, begins)
    places = list(topics.records)
    for number, in_the_middle, one, other in drops:
        topics.drop(places[number], min(one, other) if in_the_middle else 0, max(one, other))
    return topics


@given(KEYS, st.tuples(OFFSETS, OFFSETS), DROPS)
def test_retention_is_no_fault(
    keys: list[int], begins: tuple[int, int], drops: list[tuple[int, bool, int, int]]
) -> None:
    """Whatever it takes of either generation, before the migration or after it, in whichever partition."""
    assert lived(keys, begins, drops).verify().findings == ()


@given(KEYS, st.tuples(OFFSETS, OFFSETS), DROPS, st.randoms(use_true_random=False))
def test_a_fault_is_found_beside_what_retention_took(
    keys: list[int], begins: tuple[int, int], drops: list[tuple[int, bool, int, int]], random: Random
) -> None:
    """A copy whose original is there is changed, put there twice or, between two others, taken away."""
    topics = lived(keys, begins, drops)
    there = [
        one
        for at, records in topics.records.items()
        for one in records
        if at.topic == AFTER and not topics.is_lost(at, one.offset) and one.key != b"settings"
    ]
    whole = [one for one in there if not topics.is_lost(*source_of(one))]
    assume(whole)
    one = random.choice(whole)
    at = TopicPartition(one.topic, one.partition)
    records = topics.records[at]
    what = random.choice(["changed", "inserted", "removed"])
    if what == "changed":
        records[one.offset] = replace(one, value=b"never said")
        assert topics.kinds() == [("changed", one.offset)]
    elif what == "inserted":
        records.append(replace(one, offset=len(records)))
        assert topics.kinds() == [("inserted", len(records) - 1)]
    else:
        between = [
            other for other in there if (other.partition, source_of(other)[0]) == (one.partition, source_of(one)[0])
        ]
        around = range(between[0].offset, between[-1].offset + 1)
        assume(one.offset not in (around[0], around[-1]) and not any(topics.is_lost(at, offset) for offset in around))
        records[one.offset :] = [replace(late, offset=late.offset - 1) for late in records[one.offset + 1 :]]
        topics.lost[at] = [shifted(lost, one.offset) for lost in topics.lost[at]]
        assert topics.kinds() == [("removed", source_of(one)[1])]


def shifted(lost: range, offset: int) -> range:
    return range(lost.start - (lost.start > offset), lost.stop - (lost.stop > offset))


def source_of(one: Record) -> tuple[TopicPartition, int]:
    place, _, offset = one.headers[-1][1].decode().rpartition("@")
    topic, _, partition = place.rpartition("/")
    return TopicPartition(topic, int(partition)), int(offset)


def test_what_has_no_copy_is_counted() -> None:
    """Each record once, whether it was gone when the log was migrated or its copy is gone since."""
    topics = Topics(list(range(9)) * 3, (3, 0))
    topics.lost[TopicPartition(BEFORE, 0)].clear()  # the archive has what the log no longer had
    topics.drop(TopicPartition(AFTER, 1), 0, 4)
    went = [one for one in topics.records[TopicPartition(AFTER, 1)][:4] if one.key != b"settings"]
    assert topics.verify() == Migrated((), 2 + len(went)), "the first of the three that were gone are settings"


def test_a_partition_without_any_copy() -> None:
    """It is a fault where nothing was dropped there, and none where everything was."""
    topics = Topics(list(range(9)) * 3, (0, 0))
    at = TopicPartition(AFTER, 2)
    records, topics.records[at] = topics.records[at], []
    missed = sorted(offset for source, offset in map(source_of, records) if offset > 0)
    assert topics.kinds() == [("removed", missed[0])]
    topics.records[at] = records
    topics.drop(at, 0, len(records))
    assert topics.kinds() == []


def test_a_copy_that_names_a_partition_which_there_is_not() -> None:
    """It is a copy of nothing."""
    topics = Topics([1, 2, 3], (0, 0))
    one = topics.of(0)[0]
    topics.copy(replace(one, topic=BEFORE, partition=SOURCES), TopicPartition(AFTER, 0))
    assert [kind for kind, _ in topics.kinds()] == ["inserted"]


def test_generations_that_follow_each_other() -> None:
    """A number may be left out, where a migration was given up."""
    names = [f"a.g{n}" for n in (10, 2, 1)]
    assert steps([*names, "b.g1"]) == [("a.g1", "a.g2"), ("a.g2", "a.g10")]


def test_what_an_audit_keeps_of_a_record() -> None:
    """Little: a topic may have a hundred million of them. What docs/audit.md says of it is true."""
    many = 200_000
    hash_ = bytes(32)
    gc.collect()
    tracemalloc.start()
    try:
        originals = Originals()
        for offset in range(many):
            originals.add(offset, hash_, 1)
            originals.take(offset, hash_)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(originals) == many
    assert kept / many < 24, "20 bytes and what is set aside for more"
