"""Which embedder a name stands for."""

from __future__ import annotations

import os
from collections.abc import Mapping

from helamem.processors.embedder.model2vec import Model2VecEmbedder
from helamem.processors.embedder.onnx import OnnxEmbedder
from helamem.processors.embedder.openai import OpenAIEmbedder
from helamem.processors.embedder.port import Embedder
from helamem.processors.embedder.sentence_transformers import SentenceTransformersEmbedder
from helamem.processors.embedder.wordllama import WordLlamaEmbedder
from helamem.schemas.errors import ConfigurationError

DEFAULT = WordLlamaEmbedder.name


def is_recorded(name: str) -> bool:
    """Return whether the embedder called so is a service, whose vectors stand in the log once it was asked.

    Models on this machine are not recorded: they give the same vectors again.
    """
    return name.startswith("openai:")


def full_name(name: str) -> str:
    """Return how the embedder called so calls itself, which says which model it is, not only where.

    Raises:
        ConfigurationError: What it needs is not there, or is another one than the name says.
    """
    kind, _, model = name.partition(":")
    return OnnxEmbedder.full_name(model) if kind == "onnx" and model else name


def choose_embedder(name: str, environment: Mapping[str, str] = os.environ) -> Embedder:
    """Return the embedder called `kind:model`, as `Embedder.name` says it.

    Args:
        name: `wordllama:l2_supercat_256`, `onnx:DIR` (or `onnx:DIR@DIGEST`: that very model),
            `sentence-transformers:MODEL`, `model2vec:MODEL` or `openai:MODEL`.
        environment: Where a remote service's address and key are looked up: `HELAMEM_OPENAI_BASE_URL`,
            `HELAMEM_OPENAI_API_KEY`, `HELAMEM_OPENAI_DIMENSION`.

    Raises:
        ConfigurationError: No such kind, or what it needs is not there.
    """
    kind, _, model = name.partition(":")
    if name == DEFAULT:
        return WordLlamaEmbedder()
    if kind == "sentence-transformers" and model:
        return SentenceTransformersEmbedder(model)
    if kind == "onnx" and model:
        return OnnxEmbedder(model)
    if kind == "model2vec" and model:
        return Model2VecEmbedder(model)
    if kind == "openai" and model:
        base_url, dimension = environment.get("HELAMEM_OPENAI_BASE_URL"), environment.get("HELAMEM_OPENAI_DIMENSION")
        if not base_url or not (dimension or "").isdecimal():
            raise ConfigurationError(
                "the embedder openai needs HELAMEM_OPENAI_BASE_URL (up to /v1) and HELAMEM_OPENAI_DIMENSION (a number)"
            )
        return OpenAIEmbedder(
            base_url=base_url,
            model=model,
            dimension=int(dimension or 0),
            api_key=environment.get("HELAMEM_OPENAI_API_KEY"),
        )
    raise ConfigurationError(
        f"there is no embedder {name!r}; use {DEFAULT}, onnx:DIR, sentence-transformers:MODEL, model2vec:MODEL or "
        "openai:MODEL"
    )
