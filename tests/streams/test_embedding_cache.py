"""The cache of embeddings: what it computes once, what it forgets, and what it never mixes up."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fakes.directories import directory
from fakes.words import CountingEmbedder, wordllama
from helamem.schemas.errors import RetryLater
from helamem.streams.embedding_cache import EmbeddingCache


@settings(max_examples=20, deadline=None)
@given(
    calls=st.lists(st.lists(st.sampled_from(["", "a", "b", "tent", "🙂", "tent "]) | st.text(max_size=5), max_size=6))
)
def test_it_gives_what_the_embedder_gives(calls: list[list[str]]) -> None:
    """To the bit, in the order that was asked, each text computed once, also after it was closed."""
    with directory() as place:
        embedder = CountingEmbedder()
        for texts in calls:
            with EmbeddingCache(embedder, place / "cache.sqlite") as cache:
                assert cache.embed(texts).tobytes() == wordllama().embed(texts).tobytes()
                assert cache.embed(texts).shape == (len(texts), 256)
        assert embedder.texts == len({text for texts in calls for text in texts})


def test_two_embedders_share_a_file_and_no_vector(tmp_path: Path) -> None:
    """The name is part of the key."""

    class Ones(CountingEmbedder):
        name = "test:ones"

        def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return np.ones((len(texts), 256), dtype=np.float32)

    with EmbeddingCache(CountingEmbedder(), tmp_path / "c") as first, EmbeddingCache(Ones(), tmp_path / "c") as second:
        assert not np.array_equal(first.embed(["tent"]), second.embed(["tent"]))
        assert np.array_equal(first.embed(["tent"]), wordllama().embed(["tent"]))


def test_reading_only_it_keeps_nothing(tmp_path: Path) -> None:
    """What is missing is computed each time; a missing file is not made."""
    embedder = CountingEmbedder()
    with EmbeddingCache(embedder, tmp_path / "c", read_only=True) as cache:
        cache.embed(["tent"])
        cache.embed(["tent"])
    assert embedder.texts == 2
    assert list(tmp_path.iterdir()) == []
    with EmbeddingCache(embedder, tmp_path / "c") as cache:
        cache.embed(["tent"])
    with EmbeddingCache(embedder, tmp_path / "c", read_only=True) as cache:
        cache.embed(["tent", "lake"])
        cache.embed(["lake"])
    assert embedder.texts == 5


def test_a_cache_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    """The sentence says what to do; once there is room, the vector is kept."""
    embedder = CountingEmbedder()
    with EmbeddingCache(embedder, tmp_path / "c") as cache:
        cache.embed(["before"])
        file = cache._file.connection
        assert file is not None
        pages = file.execute("PRAGMA page_count").fetchone()[0]
        file.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(RetryLater, match=r"the embedding cache cannot be written: .*full"):
            cache.embed([f"text {n}" for n in range(200)])
        assert np.array_equal(cache.embed(["before"]), wordllama().embed(["before"]))
        file.execute("PRAGMA max_page_count = 1000000")
        cache.embed([f"text {n}" for n in range(200)])
    with closing(sqlite3.connect(tmp_path / "c")) as written:
        assert written.execute("SELECT count(*) FROM contents").fetchone() == (201,)
