"""Which reranker a name stands for."""

from __future__ import annotations

from helamem.processors.reranker.onnx import OnnxReranker
from helamem.processors.reranker.port import Reranker
from helamem.schemas.errors import ConfigurationError


def choose_reranker(name: str) -> Reranker:
    """Return the reranker called `onnx:DIR`.

    Raises:
        ConfigurationError: No such kind, or what it needs is not there.
    """
    kind, _, model = name.partition(":")
    if kind == "onnx" and model:
        return OnnxReranker(model)
    raise ConfigurationError(f"there is no reranker {name!r}; use onnx:DIR, the folder of a cross-encoder in ONNX")
