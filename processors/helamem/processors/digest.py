"""The digest: SHA-256 over what a log became, so that two projections can be compared by one line.

It covers memories (with the hash of each vector as the embedder gave it), learned edges and facts. Positions, scores
and vectors read back from an engine are left out: they differ between logs and engines that hold the same memory.
Nor is what a turn claims in it: that follows from its words and its speaker, and a version that reads more of them
makes no other memory of the same log.
Of what is sealed only the commitment counts, not words or vectors: a digest may be published, and must not let anybody
try guesses. So it is also the same before and after the words of a moment were erased.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Literal, TypeVar

import orjson
from msgspec import Struct
from msgspec.structs import replace

from helamem.processors.hebbian.packing import unpack
from helamem.processors.store.port import EdgeRow, FactRecord, MemoryStore, Turn

T = TypeVar("T", Turn, FactRecord, EdgeRow)
Part = Literal["memories", "edges", "facts"]


class SpaceDigest(Struct, frozen=True, kw_only=True):
    """The digest of one space, whole and by part; each is `sha256:` and 64 hexadecimal digits."""

    digest: str
    memories: str
    edges: str
    facts: str
    counts: dict[Part, int]


class Digest(Struct, frozen=True, kw_only=True):
    """The digest of all spaces together and of each."""

    digest: str
    spaces: dict[str, SpaceDigest]


async def digest(store: MemoryStore, space: str | None = None) -> Digest:
    """Return the digest of a store that nobody is writing to.

    Args:
        store: What to read; one pass over each collection.
        space: Only this space, or None for all.
    """
    memories = await _leaves(store.scan_turns(space), lambda turn: turn.id, _turn)
    edges = await _leaves(store.scan_edges(space), lambda row: row.memory_id, _edges)
    facts = await _leaves(store.scan_facts(space), lambda fact: fact.id, _fact)
    spaces = {
        name: _space_digest(memories.get(name, []), edges.get(name, []), facts.get(name, []))
        for name in sorted({*memories, *edges, *facts})
    }
    return Digest(digest=_sha256(orjson.dumps([[name, d.digest] for name, d in spaces.items()])), spaces=spaces)


Leaves = dict[str, list[tuple[str, bytes]]]


async def _leaves(items: AsyncIterator[T], key: Callable[[T], str], canonical: Callable[[T], bytes]) -> Leaves:
    """Return per space the key and hash of each item; 32 bytes stand for a text, so that millions fit."""
    leaves: Leaves = {}
    async for item in items:
        leaves.setdefault(item.space, []).append((key(item), hashlib.sha256(canonical(item)).digest()))
    return leaves


def _space_digest(
    memories: list[tuple[str, bytes]], edges: list[tuple[str, bytes]], facts: list[tuple[str, bytes]]
) -> SpaceDigest:
    parts = [_sha256(b"".join(hash_ for _, hash_ in sorted(leaves))) for leaves in (memories, edges, facts)]
    return SpaceDigest(
        digest=_sha256("\n".join(parts).encode()),
        memories=parts[0],
        edges=parts[1],
        facts=parts[2],
        counts={"memories": len(memories), "edges": len(edges), "facts": len(facts)},
    )


def _turn(turn: Turn) -> bytes:
    if turn.data_subjects:  # nothing that a guess could be tried on, and nothing that an erasure changes
        sealed = [turn.id, turn.message_id, turn.conversation, turn.turn, turn.previous, turn.speaker, turn.role]
        return orjson.dumps([*sealed, turn.time_ms, turn.content_hash, turn.hidden])
    return orjson.dumps(
        [
            turn.id,
            turn.message_id,
            turn.conversation,
            turn.turn,
            turn.previous,
            turn.speaker,
            turn.role,
            turn.text,
            turn.time_ms,
            turn.keywords,
            turn.content_hash,
            turn.vector_hash,
            turn.hidden,
        ]
    )


def _fact(fact: FactRecord) -> bytes:
    if fact.data_subjects:  # its id is derived from the commitment
        sealed = [fact.id, fact.kind, fact.subject, fact.valid_from_ms, fact.evidence, fact.evidence_hashes, fact.hub]
        return orjson.dumps([*sealed, fact.distiller, fact.hidden, *_claimed(replace(fact, key="", value=""))])
    return orjson.dumps(
        [
            fact.id,
            fact.kind,
            fact.text,
            fact.subject,
            fact.valid_from_ms,
            fact.evidence,
            fact.evidence_hashes,
            fact.hub,
            fact.distiller,
            fact.vector_hash,
            fact.hidden,
            *_claimed(fact),
        ]
    )


def _claimed(fact: FactRecord) -> list[object]:
    """Return what a fact claims, where there is anything: the digests of facts without stay what they were."""
    claimed: list[object] = [fact.key, fact.value, fact.valid_until_ms, fact.supersedes, fact.sources]
    return claimed if any(claimed) else []


def _edges(row: EdgeRow) -> bytes:
    neighbours = sorted(unpack(row.neighbours))
    return orjson.dumps(
        [row.memory_id, row.hub_formed_ms, [[id_.hex(), weight, as_of] for id_, weight, as_of in neighbours]]
    )


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
