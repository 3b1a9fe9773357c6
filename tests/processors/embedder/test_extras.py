"""Embedders that need an extra: a missing one names the command that installs it."""

from __future__ import annotations

import sys

import pytest

from helamem.processors.embedder.choose import choose_embedder
from helamem.schemas.errors import ConfigurationError


@pytest.mark.parametrize(
    ("name", "package", "command"),
    [
        ("sentence-transformers:all-MiniLM-L6-v2", "sentence_transformers", "pip install 'helamem[minilm]'"),
        ("onnx:minilm", "onnxruntime", "pip install 'helamem[onnx]'"),
        ("model2vec:potion-base-8M", "model2vec", "pip install 'helamem[model2vec]'"),
        ("openai:text-embedding-3-small", "httpx", "pip install 'helamem[openai]'"),
    ],
)
def test_a_missing_package_names_its_extra(
    name: str, package: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence is one that can be copied into a shell."""
    monkeypatch.setitem(sys.modules, package, None)  # what the import system takes for "not there"
    environment = {"HELAMEM_OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "HELAMEM_OPENAI_DIMENSION": "3"}
    with pytest.raises(ConfigurationError) as told:
        choose_embedder(name, environment)
    assert command in str(told.value)
    assert name.partition(":")[0] in str(told.value)


@pytest.mark.parametrize(
    "name", ["", "wordllama", "wordllama:other", "onnx:", "openai:", "model2vec:", "word2vec:x", "openai"]
)
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    """A kind without its model is unknown too."""
    with pytest.raises(
        ConfigurationError, match=r"there is no embedder .*; use wordllama:l2_supercat_256, onnx:DIR, sentence-"
    ):
        choose_embedder(name, {})
