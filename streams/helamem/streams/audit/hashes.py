"""The hashes that everything rests on: leaves, trees and chains, each with a prefix of its own.

Leaves and trees are those of RFC 6962 (section 2.1): what a verifier of Certificate Transparency knows. The prefixes
keep a leaf from being taken for a node, and either for a link of a chain.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence

from helamem.schemas.records import TopicPartition

_LEAF, _NODE, _LINK, _GENESIS, _CHECKPOINT = (bytes([number]) for number in range(5))


def leaf_hash(record: bytes) -> bytes:
    """Return the hash of a record: SHA-256(00 ‖ record), of its encoding in `archive/encoding.py`."""
    return hashlib.sha256(_LEAF + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash over two subtrees: SHA-256(01 ‖ left ‖ right)."""
    return hashlib.sha256(_NODE + left + right).digest()


def link_hash(head: bytes, leaf: bytes) -> bytes:
    """Return the next head of a chain: SHA-256(02 ‖ head ‖ leaf)."""
    return hashlib.sha256(_LINK + head + leaf).digest()


def genesis(archive_id: str, partition: TopicPartition, begin: int) -> bytes:
    """Return the head of a chain without records: SHA-256(03 ‖ archive ‖ partition ‖ begin).

    Args:
        archive_id: A UUID, 16 bytes of the hashed text.
        partition: The topic's name after its length (4 bytes), and the partition (4 bytes), big end first.
        begin: Offset of the first record that will be in it, 8 bytes.
    """
    topic = partition.topic.encode()
    place = len(topic).to_bytes(4) + topic + partition.partition.to_bytes(4) + begin.to_bytes(8)
    return hashlib.sha256(_GENESIS + uuid.UUID(archive_id).bytes + place).digest()


def checkpoint_hash(message: bytes) -> bytes:
    """Return the hash by which the next checkpoint names this one: SHA-256(04 ‖ what was signed)."""
    return hashlib.sha256(_CHECKPOINT + message).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the Merkle tree hash of at least one leaf hash (RFC 6962, section 2.1)."""
    level = list(leaves)
    while len(level) > 1:
        # Pairing from the left and carrying an odd last one up gives the same tree as splitting at a power of two.
        paired = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) & ~1 :]
    return level[0]


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[tuple[bool, bytes]]:
    """Return what a verifier needs from one leaf to the root, from below: (whether it stands left, hash)."""
    path = []
    level = list(leaves)
    while len(level) > 1:
        beside = index ^ 1
        if beside < len(level):
            path.append((beside < index, level[beside]))
        paired = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) & ~1 :]
        index //= 2
    return path
