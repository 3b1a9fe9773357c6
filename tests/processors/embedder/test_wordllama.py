"""The default embedder: a text's vector depends on that text alone."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.words import wordllama
from helamem.processors.embedder.choose import DEFAULT, choose_embedder
from helamem.processors.embedder.port import unit_rows

TEXTS = st.text(max_size=60) | st.sampled_from(
    ("", " ", "🙂", "Anna: The tent is blue.", "x " * 2000, "\x00", "à la carte", "the", "\n" * 50)
)


@given(texts=st.lists(TEXTS, min_size=1, max_size=12), picked=st.integers(0, 11))
def test_a_vector_does_not_depend_on_its_neighbours_in_the_call(texts: list[str], picked: int) -> None:
    """Alone, among others or in another order: the same vector to the bit, since its hash is in the digest."""
    picked %= len(texts)
    together = wordllama().embed(texts)
    alone = wordllama().embed([texts[picked]])
    backwards = wordllama().embed(texts[::-1])[::-1]
    assert together.dtype == np.float32
    assert together.shape == (len(texts), 256)
    assert together[picked].tobytes() == alone[0].tobytes()
    assert together.tobytes() == np.ascontiguousarray(backwards).tobytes()


@given(texts=st.lists(TEXTS, min_size=1, max_size=6))
def test_vectors_have_length_one_or_are_zero(texts: list[str]) -> None:
    """Never NaN, never another length."""
    lengths = np.linalg.norm(wordllama().embed(texts), axis=1)
    assert all(length == 0 or abs(length - 1) < 1e-5 for length in lengths)


def test_a_text_without_tokens_is_zero() -> None:
    """Nothing known, nothing claimed; and a call without texts has its shape."""
    assert not wordllama().embed([""]).any()
    assert wordllama().embed([]).shape == (0, 256)


def test_what_is_alike_is_near() -> None:
    """The weights are the real ones: paraphrases are nearer than strangers."""
    tent, shelter, accounts = wordllama().embed(
        ["We bought a tent for the trip.", "They purchased a shelter for camping.", "The books are kept in a ledger."]
    )
    assert tent @ shelter > tent @ accounts + 0.1


def test_many_texts_beside_a_long_one_need_little_memory() -> None:
    """A call pads to its longest text: unbounded, a thousand short ones beside a long one would need gigabytes."""
    texts = ["short text"] * 1000 + ["word " * 6500]
    tracemalloc.start()
    try:
        wordllama().embed(texts)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The tokens of the long text alone take 256 × 4 bytes each; padded together they would take a thousand times that.
    assert peak_bytes < 200 * 1024**2


def test_it_is_the_default() -> None:
    """Its name is what settings say when nobody says anything."""
    assert choose_embedder(DEFAULT).name == DEFAULT == "wordllama:l2_supercat_256"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_no_vectors_become_zero(bad: float) -> None:
    """What a model could not compute says nothing, rather than spoiling every comparison."""
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [bad, 0.0]], dtype=np.float32)
    assert unit_rows(rows).tolist() == [[np.float32(0.6), np.float32(0.8)], [0.0, 0.0], [0.0, 0.0]]
