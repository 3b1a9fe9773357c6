"""The ONNX embedder, with a model of four words: harbour (1, 0, 0), bread (0, 1, 0), rye (0, 0, 2), any other one 0."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from helamem.processors.embedder.choose import choose_embedder, full_name
from helamem.processors.embedder.onnx import MOST_TOKENS
from helamem.schemas.errors import ConfigurationError

TINY = Path(__file__).parent / "tiny_onnx"


def test_a_vector_is_the_mean_of_its_tokens_scaled_to_length_1() -> None:
    embedder = choose_embedder(f"onnx:{TINY}")
    assert (embedder.dimension, embedder.quick) == (3, False)
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


def test_a_name_says_which_model_it_is_and_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From wherever it was named; without the package it can be told too."""
    name = choose_embedder(f"onnx:{TINY}").name
    assert re.fullmatch(rf"onnx:{re.escape(str(TINY))}@[0-9a-f]{{12}}", name)
    monkeypatch.chdir(TINY.parent)
    for same in (name, f"onnx:{TINY.name}", f"onnx:../{TINY.parent.name}/{TINY.name}@{name[-12:]}"):
        assert choose_embedder(same).name == full_name(same) == name
    shutil.copytree(TINY, tmp_path / "model")
    assert full_name(f"onnx:{tmp_path / 'model'}")[-12:] == name[-12:]
    assert full_name("wordllama:l2_supercat_256") == "wordllama:l2_supercat_256"


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "model.onnx_data"])
def test_another_model_in_the_folder_has_another_name(tmp_path: Path, name: str) -> None:
    """Weights may be in a file of their own. What was embedded by the one before is not mixed with it."""
    shutil.copytree(TINY, tmp_path / "model")
    before = choose_embedder(f"onnx:{tmp_path / 'model'}").name
    with (tmp_path / "model" / name).open("ab") as file:
        file.write(b"\n")
    assert full_name(f"onnx:{tmp_path / 'model'}") != before
    with pytest.raises(ConfigurationError) as told:
        choose_embedder(before)
    assert str(told.value) == (
        f"the folder {tmp_path / 'model'} holds another model than the embedder {before}; put that one back, or use "
        f"the one that is there, onnx:{tmp_path / 'model'}, by helamem replay --embedder, or rebuild --embedder in a "
        "fleet"
    )


def test_a_place_that_no_settings_can_hold_is_refused(tmp_path: Path) -> None:
    long = tmp_path / ("a" * 200) / ("b" * 40)
    shutil.copytree(TINY, long)
    with pytest.raises(ConfigurationError, match="has too long a name; put it where that takes up to 256 characters"):
        choose_embedder(f"onnx:{long}")


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
