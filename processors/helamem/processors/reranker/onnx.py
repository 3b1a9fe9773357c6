"""Any cross-encoder in ONNX that is on this machine, such as ms-marco-MiniLM (extra `onnx`): no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from helamem.processors.onnx_folder import OnnxFolder
from helamem.schemas.errors import ConfigurationError

MOST_TOKENS = 512
"""Of a query and a text together; of the longer one the rest is not looked at. BERT was made for as many."""


class OnnxReranker:
    """The one logit that a cross-encoder gives a pair (Nogueira and Cho, 2019).

    Args:
        folder: Holds `model.onnx` and `tokenizer.json`, as exports of cross-encoders do.

    Raises:
        ConfigurationError: The packages or the files are not there, or the model is no cross-encoder.
    """

    def __init__(self, folder: str) -> None:
        try:
            self._model = OnnxFolder(folder, "reranker", "cross-encoder", MOST_TOKENS)
            self._logit("a", "a " * MOST_TOKENS)  # as long as may be: a model for fewer tokens is told here
        except ConfigurationError:
            raise
        except Exception as error:
            # either package raises types of its own, down to plain Exception, for what it cannot load or run
            raise ConfigurationError(
                f"the folder {folder} holds no cross-encoder that ONNX can run ({type(error).__name__}); it takes "
                f"input_ids of a pair, up to {MOST_TOKENS}, and gives one number"
            ) from error
        self.name = self._model.name

    def score(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the logit of each text with the query, shape (n,)."""
        scores = np.array([self._logit(query, text) for text in texts], dtype=np.float32)
        return np.nan_to_num(scores, nan=-np.inf, posinf=np.inf, neginf=-np.inf)

    def _logit(self, query: str, text: str) -> float:
        logits = self._model.run(query, text)
        if logits.shape not in ((1, 1), (1,)):
            raise ValueError(logits.shape)
        return float(logits.reshape(-1)[0])
