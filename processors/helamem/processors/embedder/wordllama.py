"""The default embedder: WordLlama, whose weights come inside its package, so that nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import wordllama
from numpy.typing import NDArray

from helamem.processors.embedder.port import unit_rows

_PADDED_CHARACTERS = 2048
"""Most characters that one call to the model is padded to, unless one text has more: it pads to the longest text.

That bounds its memory, which stays in the processor's caches, and the time for which it holds the GIL.
"""


class WordLlamaEmbedder:
    """Mean of the token embeddings of a distilled language model, 256 numbers a text.

    Source: WordLlama (Miller, 2024), model `l2_supercat`, truncated to 256 dimensions.
    """

    name = "wordllama:l2_supercat_256"
    quick = True
    dimension = 256

    def __init__(self) -> None:
        # The loader looks for the bundled weights in the working directory unless it is told where its package is.
        self._model: Any = wordllama.WordLlama.load(
            config="l2_supercat",
            dim=self.dimension,
            cache_dir=Path(wordllama.__file__).parent,
            disable_download=True,
        )

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector per text, shape (n, 256)."""
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for chunk in _chunks_of_like_length(texts):
            # Without normalisation: the model divides by the norm even where that is 0.
            vectors[chunk] = self._model.embed([texts[i] for i in chunk], norm=False, batch_size=len(chunk))
        return unit_rows(vectors)


def _chunks_of_like_length(texts: Sequence[str]) -> Iterator[list[int]]:
    """Yield the indices of `texts`, short ones first, in chunks that stay below the padding bound."""
    chunk: list[int] = []
    for i in sorted(range(len(texts)), key=lambda i: len(texts[i])):
        if chunk and len(texts[i]) * (len(chunk) + 1) > _PADDED_CHARACTERS:
            yield chunk
            chunk = []
        chunk.append(i)
    if chunk:
        yield chunk
