"""The `Embedder` port: texts in, unit vectors out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

TEXTS_PER_CALL = 128
"""Texts that one call to a service carries."""


class Embedder(Protocol):
    """What turns texts into vectors. It blocks while it computes; callers put it in a thread."""

    @property
    def name(self) -> str:
        """Name and version: equal names give equal vectors for equal texts."""
        ...

    @property
    def quick(self) -> bool:
        """Whether a short text takes less time than a change of thread, so that a caller may as well wait for it."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector per text, shape (len(texts), dimension).

        Each has length 1, or is all zeros where a text holds nothing that the model knows. A text's vector
        does not depend on the other texts of the call.

        Raises:
            RetryLater: A remote model is away.
            Poison: A remote model refuses one of the texts for good.
        """
        ...


@runtime_checkable
class RemoteEmbedder(Embedder, Protocol):
    """A model elsewhere, which says what answered."""

    def answer(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[str | None]]:
        """Return what `embed` does, and for each text what the service called the model, where it said so."""
        ...


@runtime_checkable
class AsyncEmbedder(Protocol):
    """What has vectors to wait for without a thread."""

    @property
    def name(self) -> str:
        """See `Embedder.name`."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    async def embed_async(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector per text; see `Embedder.embed`."""
        ...


async def embedded(embedder: Embedder | AsyncEmbedder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return one vector per text without blocking the event loop; see `Embedder.embed`."""
    if isinstance(embedder, AsyncEmbedder):
        return await embedder.embed_async(texts)
    return await asyncio.to_thread(embedder.embed, texts)


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `vectors`, shape (n, d), with each row scaled to length 1; rows of zeros or NaN become zeros."""
    clean = np.nan_to_num(vectors.astype(np.float32, copy=False), nan=0.0, posinf=0.0, neginf=0.0)
    norms = np.linalg.norm(clean, axis=1, keepdims=True)
    return np.asarray(np.divide(clean, norms, out=np.zeros_like(clean), where=norms > 0), dtype=np.float32)
