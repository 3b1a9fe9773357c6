"""What is left of a memory or fact whose words were erased: that it was there, where, by whom and when.

A tombstone is the same whether the words were taken out of the store or were gone when the log was folded, so that
the digest is the same. It lies on a shelf of its own (see `payload`), where no search finds it.
"""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from helamem.processors.store.port import FactRecord, Turn, Vector

NOTHING = "0" * 64
"""Stands for a hash that would let somebody try guesses."""


def erased_turn(turn: Turn) -> Turn:
    """Return a memory without its words; a commitment stays, since its key is gone, and a plain hash does not."""
    hash_ = turn.content_hash if turn.data_subjects else NOTHING
    return replace(turn, text="", keywords=(), claims=(), content_hash=hash_, vector_hash=NOTHING)


def erased_fact(fact: FactRecord) -> FactRecord:
    """Return a fact without its words."""
    hashes = fact.evidence_hashes if fact.data_subjects else (NOTHING,) * len(fact.evidence)
    return replace(fact, text="", key="", value="", evidence_hashes=hashes, vector_hash=NOTHING)


def no_direction(dimension: int) -> Vector:
    """Return the vector of every tombstone: engines want one, and it is never searched. Shape (dimension,)."""
    vector = np.zeros(dimension, dtype=np.float32)
    vector[0] = 1.0
    return vector
