"""A transformer in ONNX with its tokenizer, from a folder on this machine (extra `onnx`): no PyTorch."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helamem.schemas.errors import ConfigurationError

_MODEL, _TOKENIZER = "model.onnx", "tokenizer.json"
_DIGEST = re.compile(r"@[0-9a-f]{12}$")
_MOST_CHARACTERS = 256
"""Of a name, as settings and events hold it."""


def full_name(model: str, user: str, export: str) -> str:
    """Return `onnx:FOLDER@DIGEST`, which says where a model is and which one; arguments and errors of `OnnxFolder`."""
    place = _DIGEST.sub("", model)
    folder = Path(place).resolve()
    for name in (_MODEL, _TOKENIZER):
        if not (folder / name).is_file():
            raise ConfigurationError(
                f"the {user} onnx:{place} needs the file {name} in that folder; put the ONNX export of a {export} there"
            )
    found = f"onnx:{folder}@{_digest(folder)}"
    if len(found) > _MOST_CHARACTERS:
        raise ConfigurationError(
            f"the folder of {found} has too long a name; put it where that takes up to {_MOST_CHARACTERS} characters"
        )
    if place != model and not found.endswith(model.removeprefix(place)):
        anew = ", by helamem replay --embedder, or rebuild --embedder in a fleet" if user == "embedder" else ""
        raise ConfigurationError(
            f"the folder {place} holds another model than the {user} onnx:{model}; put that one back, or use the one "
            f"that is there, onnx:{place}{anew}"
        )
    return found


def _digest(folder: Path) -> str:
    """Return what tells models apart: 12 digits of SHA-256, with weights that have a file (`model.onnx_data`)."""
    total = hashlib.sha256()
    for path in sorted([*folder.glob(f"{_MODEL}*"), folder / _TOKENIZER]):
        with path.open("rb") as file:
            total.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()[:12]


class OnnxFolder:
    """What runs the model of a folder, one text or pair of texts at a time and in one thread.

    One by one, since a model with 8-bit weights scales its numbers over a whole batch, so that what a text gets would
    depend on the texts beside it. In one thread, so that sums are always taken in the same order.

    Args:
        model: A folder that holds `model.onnx` and `tokenizer.json`. With `@` and a digest behind it, as names are
            written, it has to hold that very model.
        user: What needs it, as errors say it: `embedder` or `reranker`.
        export: What is to be put there, as errors say it.
        most_tokens: Of a text or pair; the rest is not looked at.

    Raises:
        ConfigurationError: The packages or the files are not there, or they are others than the digest says.
        Exception: Whatever either package raises for files that it cannot load.
    """

    def __init__(self, model: str, user: str, export: str, most_tokens: int) -> None:
        try:
            import onnxruntime  # noqa: PLC0415 - an extra, heavy to import
            from tokenizers import Tokenizer  # noqa: PLC0415 - an extra
        except ImportError:
            raise ConfigurationError(f"the {user} onnx is not installed; run: pip install 'helamem[onnx]'") from None
        self.name = full_name(model, user, export)
        folder = Path(_DIGEST.sub("", model))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(
            str(folder / _MODEL), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer: Any = Tokenizer.from_file(str(folder / _TOKENIZER))
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
