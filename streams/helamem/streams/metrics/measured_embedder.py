"""The same embedder, measured: texts, seconds, and the calls of a service."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from helamem.processors.embedder.port import AsyncEmbedder, Embedder, RemoteEmbedder
from helamem.processors.encoding.reading import Reading, ReadingEmbedder, Said
from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.calls import reason_of, timed
from helamem.streams.metrics.registry import Metrics


class MeasuredEmbedder:
    """An `Embedder` that tells how many texts another one took, and how long.

    Args:
        embedder: What is asked.
        on_embedded: Told the number of texts and the seconds.
    """

    def __init__(self, embedder: Embedder, on_embedded: Callable[[int, float], None]) -> None:
        self._embedder = embedder
        self._on_embedded = on_embedded
        self.name = embedder.name
        self.quick = embedder.quick
        self.dimension = embedder.dimension

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        begin = time.perf_counter()
        vectors = self._embedder.embed(texts)
        self._on_embedded(len(texts), time.perf_counter() - begin)
        return vectors


class MeasuredReadingEmbedder(MeasuredEmbedder):
    """The same for a `ReadingEmbedder`; what is not kept yet is read within the time that is told."""

    def __init__(self, embedder: ReadingEmbedder, on_embedded: Callable[[int, float], None]) -> None:
        super().__init__(embedder, on_embedded)
        self._reading = embedder

    def embed_and_read(self, messages: Sequence[Said]) -> tuple[NDArray[np.float32], list[Reading]]:
        """See `ReadingEmbedder.embed_and_read`."""
        begin = time.perf_counter()
        found = self._reading.embed_and_read(messages)
        self._on_embedded(len(messages), time.perf_counter() - begin)
        return found


class MeasuredRemoteEmbedder(MeasuredEmbedder):
    """The same for a `RemoteEmbedder`, whose calls and failures count by themselves.

    Args:
        embedder: What is asked.
        metrics: Where calls are counted.
        on_embedded: As above.
    """

    def __init__(self, embedder: RemoteEmbedder, metrics: Metrics, on_embedded: Callable[[int, float], None]) -> None:
        super().__init__(embedder, on_embedded)
        self._remote = embedder
        self._metrics = metrics

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        return self.answer(texts)[0]

    def answer(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[str | None]]:
        """See `RemoteEmbedder.answer`."""
        with timed(self._took, self._failed, "answer") as took:
            answered = self._remote.answer(texts)
        self._on_embedded(len(texts), took.seconds)
        return answered

    def _took(self, _: str, seconds: float) -> None:
        self._metrics.observe(c.MODEL_SECONDS, seconds)

    def _failed(self, _: str, error: Exception) -> None:
        self._metrics.add(c.MODEL_ERRORS, reason=reason_of(error))


class MeasuredAsyncEmbedder:
    """The same for an `AsyncEmbedder`."""

    def __init__(self, embedder: AsyncEmbedder, on_embedded: Callable[[int, float], None]) -> None:
        self._embedder = embedder
        self._on_embedded = on_embedded
        self.name = embedder.name
        self.dimension = embedder.dimension

    async def embed_async(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `AsyncEmbedder.embed_async`."""
        begin = time.perf_counter()
        vectors = await self._embedder.embed_async(texts)
        self._on_embedded(len(texts), time.perf_counter() - begin)
        return vectors


def asked_of(embedder: Embedder | AsyncEmbedder, on_embedded: Callable[[int, float], None]) -> Embedder | AsyncEmbedder:
    """Return what a processor asks, measured, as what it is."""
    if isinstance(embedder, AsyncEmbedder):
        return MeasuredAsyncEmbedder(embedder, on_embedded)
    if isinstance(embedder, ReadingEmbedder):
        return MeasuredReadingEmbedder(embedder, on_embedded)
    return MeasuredEmbedder(embedder, on_embedded)
