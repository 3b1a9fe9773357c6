"""What a vector must be before any engine sees it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helamem.processors.store.port import Vector, Writes
from helamem.schemas.errors import ConfigurationError


def check_vectors(writes: Writes, dimension: int) -> None:
    """Refuse writes whose vectors are not what the store was made for.

    Edge would take a NaN without a word, and put a vector of another length into its log before it refuses it.

    Raises:
        ConfigurationError: Says what is wrong; nothing was written.
    """
    check_all([memory.dense for memory in writes.memories] + [fact.dense for fact in writes.facts], dimension)


def check_all(vectors: Sequence[Vector], dimension: int) -> None:
    """Refuse vectors that are not what a store was made for, as `check_vectors` does."""
    for vector in vectors:
        if vector.shape != (dimension,):
            raise ConfigurationError(
                f"the store holds vectors of {dimension} numbers, this one has the shape {vector.shape}; "
                "use the embedder that the store was made with"
            )
    if vectors and not np.isfinite(np.stack(vectors)).all():
        raise ConfigurationError("the embedder gave a vector with a number that is not finite; use another one")
