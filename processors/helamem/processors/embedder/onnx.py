"""Any sentence encoder in ONNX that is on this machine, such as MiniLM (extra `onnx`): no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from helamem.processors.embedder.port import unit_rows
from helamem.processors.onnx_folder import OnnxFolder, full_name
from helamem.schemas.errors import ConfigurationError

MOST_TOKENS = 256
"""Of a text; the rest is not looked at. It is what all-MiniLM-L6-v2 was made for."""
_WHAT = "embedder", "sentence-transformers model"


class OnnxEmbedder:
    """The mean over the tokens of a transformer's last layer, scaled to length 1 (Reimers and Gurevych, 2019).

    Args:
        folder: Holds `model.onnx` and `tokenizer.json`, as exports of sentence-transformers models do.

    Raises:
        ConfigurationError: The packages or the files are not there, or the model is no such encoder.
    """

    quick = False

    def __init__(self, folder: str) -> None:
        try:
            self._model = OnnxFolder(folder, *_WHAT, MOST_TOKENS)
            self.dimension = self._tokens("a").shape[1]
        except ConfigurationError:
            raise
        except Exception as error:
            # either package raises types of its own, down to plain Exception, for what it cannot load or run
            raise ConfigurationError(
                f"the folder {folder} holds no sentence encoder that ONNX can run ({type(error).__name__}); it takes "
                "input_ids and gives one vector per token"
            ) from error
        self.name = self._model.name

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector per text, shape (n, dimension)."""
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for place, text in enumerate(texts):
            if len(tokens := self._tokens(text)):
                vectors[place] = tokens.mean(axis=0)
        return unit_rows(vectors)

    @staticmethod
    def full_name(folder: str) -> str:
        """Return the name that the embedder of a folder has, for which no package is needed.

        Raises:
            ConfigurationError: The files are not there, or they are others than the digest behind `folder` says.
        """
        return full_name(folder, *_WHAT)

    def _tokens(self, text: str) -> NDArray[np.float32]:
        """Return one vector per token, shape (tokens, dimension)."""
        layer = self._model.run(text)
        if layer.ndim != 3:
            raise ValueError(layer.shape)
        return np.asarray(layer[0])
