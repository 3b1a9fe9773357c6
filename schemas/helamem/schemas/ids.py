"""Deterministic ids: the same words always name the same thing, so writing twice is writing once."""

from __future__ import annotations

import hashlib
import uuid

_NAMESPACE = uuid.UUID("6f0b4c9e-6d1a-5f0e-9a35-3f2d54b6f7a1").bytes


def derived_id(*parts: str) -> str:
    """Return the UUIDv5 (RFC 9562) of `parts` under helamem's own namespace.

    Parts are joined by the unit separator, so ("a", "bc") and ("ab", "c") differ. Only the last part
    may hold text of strangers: what they write could contain the separator too.
    """
    digest = hashlib.sha1(_NAMESPACE + "\x1f".join(parts).encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def tenant_of(space: str) -> str:
    """Return the first part of a space's name."""
    return space.partition("/")[0]


def memory_id(space: str, message_id: str) -> str:
    """Return the id of the memory that a message becomes in its space."""
    return derived_id("memory", space, message_id)


def fact_id(space: str, kind: str, text: str) -> str:
    """Return the id of a fact: the same statement in the same space is the same fact."""
    return derived_id("fact", space, kind, text)


def edge_row_id(space: str, memory: str) -> str:
    """Return the id under which the neighbours of a memory are stored.

    It is derived from the record's own space once more, so that an event which names a
    foreign memory writes a row that nobody reads.
    """
    return derived_id("edges", space, memory)


def answer_id(kind: str, model: str, prompt_hash: str | None, input_hash: str) -> str:
    """Return the id of what a model answered: it is derived from all that it was asked, and not from the answer."""
    return derived_id("answer", kind, prompt_hash or "", input_hash, model)


def mark_id(space: str, target: str) -> str:
    """Return the id under which the visibility of a memory or fact is stored."""
    return derived_id("mark", space, target)


def space_hash(space: str) -> str:
    """Return what stands for a space in logs and traces: the first 16 digits of the SHA-256 of its name."""
    return hashlib.sha256(space.encode()).hexdigest()[:16]


def id_bytes(uuid_text: str) -> bytes:
    """Return the 16 bytes of a UUID written in its usual form."""
    return bytes.fromhex(uuid_text.replace("-", ""))


def id_text(raw: bytes) -> str:
    """Return the usual form of a UUID's 16 bytes."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
