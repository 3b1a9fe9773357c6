"""Any model of sentence-transformers that is on this machine (extra `minilm`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helamem.processors.embedder.port import unit_rows
from helamem.schemas.errors import ConfigurationError


class SentenceTransformersEmbedder:
    """A sentence-transformers model by name or folder.

    Args:
        model: What `SentenceTransformer` takes, such as a folder with the weights.

    Raises:
        ConfigurationError: The package or the model is not there.
    """

    quick = False

    def __init__(self, model: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - an extra, heavy to import
        except ImportError:
            raise ConfigurationError(
                "the embedder sentence-transformers is not installed; run: pip install 'helamem[minilm]'"
            ) from None
        try:
            self._model: Any = SentenceTransformer(model, device="cpu")
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"sentence-transformers cannot load the model {model!r}; give a folder that holds it ({error})"
            ) from None
        self.name = f"sentence-transformers:{model}"
        self.dimension = int(self._model.get_sentence_embedding_dimension())

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector per text, shape (n, dimension)."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        return unit_rows(np.asarray(self._model.encode(list(texts), show_progress_bar=False), dtype=np.float32))
