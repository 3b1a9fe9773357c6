"""Any static model of model2vec that is on this machine (extra `model2vec`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helamem.processors.embedder.port import unit_rows
from helamem.schemas.errors import ConfigurationError


class Model2VecEmbedder:
    """A model2vec model by folder.

    Args:
        model: What `StaticModel.from_pretrained` takes, such as a folder with the weights.

    Raises:
        ConfigurationError: The package or the model is not there.
    """

    quick = True

    def __init__(self, model: str) -> None:
        try:
            from model2vec import StaticModel  # noqa: PLC0415 - an extra
        except ImportError:
            raise ConfigurationError(
                "the embedder model2vec is not installed; run: pip install 'helamem[model2vec]'"
            ) from None
        try:
            self._model: Any = StaticModel.from_pretrained(model)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"model2vec cannot load the model {model!r}; give a folder that holds it ({error})"
            ) from None
        self.name = f"model2vec:{model}"
        self.dimension = int(self._model.dim)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector per text, shape (n, dimension)."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        return unit_rows(np.asarray(self._model.encode(list(texts)), dtype=np.float32))
