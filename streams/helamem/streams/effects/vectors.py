"""Where the vectors of a log's texts come from: computed here and cached, or answered by a service and recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from helamem.processors.embedder.choose import is_recorded
from helamem.processors.embedder.port import AsyncEmbedder, Embedder
from helamem.processors.embedder.recorded import RecordedEmbedder
from helamem.streams.effects.index import AnswerIndex
from helamem.streams.effects.recorded import RecordedAnswers
from helamem.streams.embedding_cache import EmbeddingCache
from helamem.streams.log.port import Log


@contextmanager
def recording(
    embedder: Embedder, log: Log, clock: Callable[[], int], *, cache: Path | None, index: Path
) -> Iterator[Embedder | AsyncEmbedder]:
    """Yield what gives the vectors of what is processed live.

    Args:
        embedder: What is asked for vectors that nobody has yet.
        log: Where the answers of a service are recorded.
        clock: Milliseconds since 1970.
        cache: File that keeps the vectors of a model on this machine, or None.
        index: File that finds recorded answers.
    """
    if is_recorded(embedder.name):
        with AnswerIndex(index) as found:
            yield RecordedEmbedder(embedder.name, embedder.dimension, RecordedAnswers(log, found, clock), embedder)
    elif cache is not None:
        with EmbeddingCache(embedder, cache) as cached:
            yield cached
    else:
        yield embedder
