"""A transformer in ONNX with its tokenizer, from a folder on this machine (extra `onnx`): no PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helamem.schemas.errors import ConfigurationError

_MODEL, _TOKENIZER = "model.onnx", "tokenizer.json"


class OnnxFolder:
    """What runs the model of a folder, one text or pair of texts at a time and in one thread.

    One by one, since a model with 8-bit weights scales its numbers over a whole batch, so that what a text gets would
    depend on the texts beside it. In one thread, so that sums are always taken in the same order.

    Args:
        folder: Holds `model.onnx` and `tokenizer.json`.
        user: What needs it, as errors say it: `embedder` or `reranker`.
        export: What is to be put there, as errors say it.
        most_tokens: Of a text or pair; the rest is not looked at.

    Raises:
        ConfigurationError: The packages or the files are not there.
        Exception: Whatever either package raises for files that it cannot load.
    """

    def __init__(self, folder: str, user: str, export: str, most_tokens: int) -> None:
        try:
            import onnxruntime  # noqa: PLC0415 - an extra, heavy to import
            from tokenizers import Tokenizer  # noqa: PLC0415 - an extra
        except ImportError:
            raise ConfigurationError(f"the {user} onnx is not installed; run: pip install 'helamem[onnx]'") from None
        for name in (_MODEL, _TOKENIZER):
            if not (Path(folder) / name).is_file():
                raise ConfigurationError(
                    f"the {user} onnx:{folder} needs the file {name} in that folder; put the ONNX export of a "
                    f"{export} there"
                )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(
            str(Path(folder) / _MODEL), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer: Any = Tokenizer.from_file(str(Path(folder) / _TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(most_tokens)
        self._inputs = {one.name for one in self._session.get_inputs()}

    def run(self, text: str, second: str | None = None) -> NDArray[np.float32]:
        """Return the model's first output for a text, or for a pair put together by the tokenizer's template."""
        encoded = self._tokenizer.encode(text, second)
        ids = np.array([encoded.ids], dtype=np.int64)
        every = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.array([encoded.type_ids], dtype=np.int64),
        }
        (first, *_) = self._session.run(None, {name: every[name] for name in self._inputs})
        return np.asarray(first, dtype=np.float32)
