"""The real default embedder, loaded once, and a count of what it was asked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from helamem.processors.embedder.wordllama import WordLlamaEmbedder


@cache
def wordllama() -> WordLlamaEmbedder:
    """Return the default embedder; it takes 0.2 s to load."""
    return WordLlamaEmbedder()


class CountingEmbedder:
    """The default embedder; counts the texts that it computes."""

    name = WordLlamaEmbedder.name
    quick = WordLlamaEmbedder.quick
    dimension = WordLlamaEmbedder.dimension

    def __init__(self) -> None:
        self.texts = 0

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector per text."""
        self.texts += len(texts)
        return wordllama().embed(texts)
