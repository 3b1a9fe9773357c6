"""The ONNX reranker, with a model that adds up words of the second text: rye 1, bread 2, boat -1, any other one 0."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from helamem.processors.reranker.choose import choose_reranker
from helamem.processors.reranker.onnx import MOST_TOKENS
from helamem.schemas.errors import ConfigurationError

TINY = Path(__file__).parent / "tiny_onnx"
ENCODER = Path(__file__).parents[1] / "embedder" / "tiny_onnx"


def test_a_score_is_the_logit_of_the_pair() -> None:
    """The text is the second of the pair: what the query says adds nothing."""
    reranker = choose_reranker(f"onnx:{TINY}")
    assert re.fullmatch(rf"onnx:{re.escape(str(TINY))}@[0-9a-f]{{12}}", reranker.name)
    assert choose_reranker(reranker.name).name == reranker.name
    scores = reranker.score("bread bread", ["Rye bread", "a boat", "", "unknown"])
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, [3, -1, 0, 0])
    assert reranker.score("bread", []).shape == (0,)


def test_what_is_longer_than_the_model_takes_is_cut() -> None:
    """The query and three tokens of the template are whole."""
    reranker = choose_reranker(f"onnx:{TINY}")
    assert reranker.score("bread", ["rye " * (MOST_TOKENS + 100)]).tolist() == [MOST_TOKENS - 4]


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    shutil.copytree(TINY, tmp_path / "model")
    (tmp_path / "model" / name).unlink()
    with pytest.raises(ConfigurationError, match=f"the reranker onnx:.* needs the file {name} in that folder; put"):
        choose_reranker(f"onnx:{tmp_path / 'model'}")


def test_another_model_in_the_folder_is_not_the_one_named(tmp_path: Path) -> None:
    name = choose_reranker(f"onnx:{TINY}").name
    shutil.copytree(ENCODER, tmp_path / "model")
    with pytest.raises(ConfigurationError, match=r"holds another model than the reranker onnx:.* there, onnx:[^,]*$"):
        choose_reranker(f"onnx:{tmp_path / 'model'}@{name[-12:]}")


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, name: str) -> None:
    shutil.copytree(TINY, tmp_path / "model")
    (tmp_path / "model" / name).write_bytes(b"{}")
    with pytest.raises(ConfigurationError, match="holds no cross-encoder that ONNX can run"):
        choose_reranker(f"onnx:{tmp_path / 'model'}")


def test_a_sentence_encoder_is_no_cross_encoder() -> None:
    """It gives a vector for each token, not one number."""
    with pytest.raises(ConfigurationError, match=r"holds no cross-encoder .* gives one number"):
        choose_reranker(f"onnx:{ENCODER}")


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers"])
def test_a_missing_package_names_its_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # what the import system takes for "not there"
    with pytest.raises(ConfigurationError, match=r"the reranker onnx is not installed; run: pip install 'helamem\[o"):
        choose_reranker(f"onnx:{TINY}")


@pytest.mark.parametrize("name", ["", "onnx", "onnx:", "cohere:rerank"])
def test_an_unknown_name_says_which_there_are(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no reranker .*; use onnx:DIR"):
        choose_reranker(name)
