"""The ONNX embedder, with a model of four words: harbour (1, 0, 0), bread (0, 1, 0), rye (0, 0, 2), any other one 0."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from helamem.processors.embedder.choose import choose_embedder
from helamem.processors.embedder.onnx import MOST_TOKENS
from helamem.schemas.errors import ConfigurationError

TINY = Path(__file__).parent / "tiny_onnx"


def test_a_vector_is_the_mean_of_its_tokens_scaled_to_length_1() -> None:
    embedder = choose_embedder(f"onnx:{TINY}")
    assert (embedder.name, embedder.dimension, embedder.quick) == (f"onnx:{TINY}", 3, False)
    vectors = embedder.embed(["Harbour", "bread harbour", "rye bread", "unknown", ""])
    half = 0.5**0.5
    expected = [[1, 0, 0], [half, half, 0], [0, 0.2**0.5, 0.8**0.5], [0, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert embedder.embed([]).shape == (0, 3)


def test_a_vector_does_not_depend_on_the_texts_beside_it() -> None:
    embedder = choose_embedder(f"onnx:{TINY}")
    together = embedder.embed(["rye bread", "harbour " * 40])
    assert (together[0] == embedder.embed(["rye bread"])[0]).all()


def test_what_is_longer_than_the_model_takes_is_cut() -> None:
    embedder = choose_embedder(f"onnx:{TINY}")
    long = "harbour " * MOST_TOKENS
    assert (embedder.embed([long + "rye " * 1000]) == embedder.embed([long])).all()


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    shutil.copytree(TINY, tmp_path / "model")
    (tmp_path / "model" / name).unlink()
    with pytest.raises(ConfigurationError, match=f"needs the file {name} in that folder; put the ONNX export"):
        choose_embedder(f"onnx:{tmp_path / 'model'}")


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, name: str) -> None:
    shutil.copytree(TINY, tmp_path / "model")
    (tmp_path / "model" / name).write_bytes(b"{}")
    with pytest.raises(ConfigurationError, match="holds no sentence encoder that ONNX can run"):
        choose_embedder(f"onnx:{tmp_path / 'model'}")
