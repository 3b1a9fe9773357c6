"""The bytes of a record and of a segment: one encoding each, and readable without us."""

from __future__ import annotations

import gzip
import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helamem.schemas.errors import BadInput
from helamem.schemas.records import Record, TopicPartition
from helamem.streams.archive.encoding import decode_record, encode_record, unframed
from helamem.streams.archive.segment import (
    Chain,
    Manifest,
    content_of,
    gaps,
    read_block,
    seal,
)
from helamem.streams.audit.hashes import inclusion_path, leaf_hash, merkle_root, node_hash

AT = TopicPartition("test.one.g1", 0)
records = st.builds(
    Record,
    topic=st.text(st.characters(codec="utf-8"), max_size=9),
    partition=st.integers(0, 2**32 - 1),
    offset=st.integers(0, 2**64 - 1),
    append_time_ms=st.integers(0, 2**64 - 1),
    key=st.binary(max_size=9),
    value=st.binary(max_size=40),
    headers=st.lists(
        st.tuples(st.text(st.characters(codec="utf-8"), max_size=5), st.binary(max_size=5)), max_size=3
    ).map(tuple),
)


@given(records, records)
def test_a_record_has_one_encoding(one: Record, other: Record) -> None:
    """It comes back whole, and two records have the same bytes only where they are the same."""
    assert decode_record(encode_record(one)) == one
    assert (encode_record(one) == encode_record(other)) == (one == other)


@given(records, st.data())
def test_damaged_records_are_refused(record: Record, data: st.DataObject) -> None:
    """Cut anywhere, or longer than it should be, it is no record."""
    raw = encode_record(record)
    with pytest.raises(BadInput):
        decode_record(raw[: data.draw(st.integers(0, len(raw) - 1))])
    with pytest.raises(BadInput):
        decode_record(raw + b"\0")


def some(count: int, *, begin: int = 0) -> list[Record]:
    rng = random.Random(count)
    return [
        Record(
            topic=AT.topic,
            partition=0,
            offset=begin + n,
            append_time_ms=10 + n,
            key=b"k",
            value=rng.randbytes(20),
            headers=(("trace", b"1"),),
        )
        for n in range(count)
    ]


def test_a_segment_is_read_with_gunzip_alone() -> None:
    """All blocks are one gzip file of records after their lengths; each block is one by itself too."""
    wanted = some(1000)
    content = content_of(AT, wanted, Chain(begin=0, head=b"\0" * 32, end=0), ())
    manifest, data = seal(content, wanted)
    assert [decode_record(raw) for raw in unframed(gzip.decompress(data))] == wanted
    assert len(manifest.blocks) == 4
    second, third = manifest.blocks[1:3]
    assert read_block(data[second.position : third.position]) == wanted[256:512]
    assert manifest.sha256 == hashlib.sha256(data).hexdigest()
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest
    assert seal(content, wanted)[1] == data


@pytest.mark.parametrize("count", [*range(1, 20), 255, 256, 257])
def test_the_tree_is_that_of_rfc_6962(count: int) -> None:
    """The root is the recursive one of section 2.1, and each leaf's path leads to it."""

    def recursive(leaves: list[bytes]) -> bytes:
        if len(leaves) == 1:
            return leaves[0]
        half = 1 << (len(leaves) - 1).bit_length() - 1
        return node_hash(recursive(leaves[:half]), recursive(leaves[half:]))

    leaves = [leaf_hash(b"%d" % n) for n in range(count)]
    root = merkle_root(leaves)
    assert root == recursive(leaves)
    for index, leaf in enumerate(leaves):
        found = leaf
        for left, beside in inclusion_path(leaves, index):
            found = node_hash(beside, found) if left else node_hash(found, beside)
        assert found == root


def test_the_empty_strings_leaf_is_the_published_one() -> None:
    """A test vector of Certificate Transparency."""
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


def test_gaps_are_told_apart() -> None:
    """What retention took is one thing, what the log passed over another."""
    found = gaps(3, [7, 8, 11], held_from=5)
    assert [(gap.begin, gap.end, gap.reason) for gap in found] == [
        (3, 5, "retention"),
        (5, 7, "no record"),
        (9, 11, "no record"),
    ]
    assert gaps(3, [3, 4], held_from=0) == ()
