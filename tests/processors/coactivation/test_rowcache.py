from __future__ import annotations

from helamem.processors.coactivation.rowcache import RowCache
from helamem.processors.store.port import EdgeRow
from helamem.schemas.records import Position, TopicPartition

HERE, THERE = TopicPartition("t.g1", 0), TopicPartition("t.g1", 1)


def row(memory: str) -> EdgeRow:
    return EdgeRow(space="t/a", memory_id=memory, position=Position(1, 0), neighbours=b"")


def kept(cache: RowCache, memories: str) -> str:
    """Return which of these memories have a row in the cache."""
    return "".join(memory for memory in memories if any(("t/a", memory) in cache.rows(one) for one in (HERE, THERE)))


def test_the_least_recently_stored_rows_go() -> None:
    """Beyond the capacity the oldest are dropped; a row that is stored again is young again."""
    cache = RowCache(3)
    cache.store(HERE, {("t/a", memory): row(memory) for memory in "abc"})
    cache.store(HERE, {("t/a", memory): row(memory) for memory in "ad"})
    assert kept(cache, "abcd") == "acd"
    assert len(cache) == 3


def test_a_batch_larger_than_the_cache_leaves_what_fits() -> None:
    """The capacity also holds against one large batch."""
    cache = RowCache(2)
    cache.store(HERE, {("t/a", memory): row(memory) for memory in "abcd"})
    assert kept(cache, "abcd") == "cd"


def test_a_partition_is_dropped_alone() -> None:
    """Rows of other partitions stay."""
    cache = RowCache(9)
    cache.store(HERE, {("t/a", "a"): row("a")})
    cache.store(THERE, {("t/a", "b"): row("b")})
    cache.drop(HERE)
    assert kept(cache, "ab") == "b"


def test_the_partition_with_the_most_rows_makes_room() -> None:
    """A busy partition does not push out the rows of a quiet one."""
    cache = RowCache(4)
    cache.store(THERE, {("t/a", "x"): row("x")})
    cache.store(HERE, {("t/a", memory): row(memory) for memory in "abcdef"})
    assert kept(cache, "abcdefx") == "defx"
