"""What a message says, as bytes and as words."""

from __future__ import annotations

import hashlib

import numpy as np
import orjson
from msgspec import UNSET
from numpy.typing import NDArray

from helamem.schemas.events import ConversationMessage, KnowledgeDistilled
from helamem.schemas.ids import fact_id


def spoken(speaker: str, text: str) -> str:
    """Return what is embedded and indexed of a message: who speaks is part of what is said."""
    return f"{speaker}: {text}"


def canonical(message: ConversationMessage, time_ms: int) -> bytes:
    """Return everything that a message says as bytes: where, who, what and when."""
    return orjson.dumps([message.conversation, message.speaker, message.role, message.text, time_ms])


def content_hash(message: ConversationMessage, time_ms: int) -> str:
    """Return the SHA-256 (hex) of everything that a message says, or the commitment to it where it is sealed."""
    if message.sealed is not UNSET:
        return message.sealed.commitment
    return hashlib.sha256(canonical(message, time_ms)).hexdigest()


def statement_id(space: str, fact: KnowledgeDistilled) -> str:
    """Return the id that a fact must have: that of its statement, or of the commitment to it where it is sealed."""
    return fact_id(space, fact.kind, fact.text if fact.sealed is UNSET else fact.sealed.commitment)


def vector_hash(vector: NDArray[np.float32]) -> str:
    """Return the SHA-256 (hex) of a vector as the embedder gave it, little-endian float32."""
    return hashlib.sha256(np.ascontiguousarray(vector, dtype="<f4").tobytes()).hexdigest()
