"""Any sentence encoder in ONNX that is on this machine, such as MiniLM (extra `onnx`): no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helamem.processors.embedder.port import unit_rows
from helamem.schemas.errors import ConfigurationError

MOST_TOKENS = 256
"""Of a text; the rest is not looked at. It is what all-MiniLM-L6-v2 was made for."""
_MODEL, _TOKENIZER = "model.onnx", "tokenizer.json"


class OnnxEmbedder:
    """The mean over the tokens of a transformer's last layer, scaled to length 1 (Reimers and Gurevych, 2019).

    Texts are computed one by one: a model with 8-bit weights scales its numbers over a whole batch, so that a text's
    vector would depend on the texts beside it. One thread computes, so that sums are always taken in the same order.

    Args:
        folder: Holds `model.onnx` and `tokenizer.json`, as exports of sentence-transformers models do.

    Raises:
        ConfigurationError: The packages or the files are not there, or the model is no such encoder.
    """

    quick = False

    def __init__(self, folder: str) -> None:
        try:
            import onnxruntime  # noqa: PLC0415 - an extra, heavy to import
            from tokenizers import Tokenizer  # noqa: PLC0415 - an extra
        except ImportError:
            raise ConfigurationError("the embedder onnx is not installed; run: pip install 'helamem[onnx]'") from None
        for name in (_MODEL, _TOKENIZER):
            if not (Path(folder) / name).is_file():
                raise ConfigurationError(
                    f"the embedder onnx:{folder} needs the file {name} in that folder; put the ONNX export of a "
                    "sentence-transformers model there"
                )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(Path(folder) / _MODEL), options, providers=["CPUExecutionProvider"]
            )
            self._tokenizer: Any = Tokenizer.from_file(str(Path(folder) / _TOKENIZER))
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(MOST_TOKENS)
            self._inputs = {one.name for one in self._session.get_inputs()}
            self.dimension = self._tokens("a").shape[1]
        except Exception as error:
            # either package raises types of its own, down to plain Exception, for what it cannot load or run
            raise ConfigurationError(
                f"the folder {folder} holds no sentence encoder that ONNX can run ({type(error).__name__}); it takes "
                "input_ids and gives one vector per token"
            ) from error
        self.name = f"onnx:{folder}"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector per text, shape (n, dimension)."""
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for place, text in enumerate(texts):
            if len(tokens := self._tokens(text)):
                vectors[place] = tokens.mean(axis=0)
        return unit_rows(vectors)

    def _tokens(self, text: str) -> NDArray[np.float32]:
        """Return one vector per token, shape (tokens, dimension)."""
        ids = np.array([self._tokenizer.encode(text).ids], dtype=np.int64)
        every = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        (last, *_) = self._session.run(None, {name: every[name] for name in self._inputs})
        layer = np.asarray(last, dtype=np.float32)
        if layer.ndim != 3:
            raise ValueError(layer.shape)
        return np.asarray(layer[0])
