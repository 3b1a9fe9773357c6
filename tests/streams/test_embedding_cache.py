"""The cache of embeddings: what it computes once, what it forgets, and what it never mixes up."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fakes.directories import directory
from fakes.words import CountingEmbedder, wordllama
from helamem.processors.encoding.content import spoken
from helamem.processors.encoding.reading import Reading, Said, read
from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.streams import embedding_cache
from helamem.streams.embedding_cache import EmbeddingCache, cache_key, forget_vectors

SAID = Said("Mira", "I moved to Quixotropolis in May.", sealed=False)
OLDER = "CREATE TABLE vectors (key BLOB PRIMARY KEY, vector BLOB)"
"""As caches were once kept."""


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


def test_whoever_waits_has_their_turn_while_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recall needs the interpreter ten times, and would wait each time until all are read."""
    paused: list[float] = []
    monkeypatch.setattr("helamem.processors.pauses.time", SimpleNamespace(sleep=paused.append))
    with EmbeddingCache(CountingEmbedder(), tmp_path / "cache.sqlite") as cache:
        vectors, readings = cache.embed_and_read([SAID._replace(text=f"{SAID.text} {n}") for n in range(40)])
    assert (len(vectors), len(readings)) == (40, 40)
    assert paused == [0] * 3


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
        with pytest.raises(RetryLater, match=r"the embedding cache .*/c cannot be written: its disk is full"):
            cache.embed([f"text {n}" for n in range(200)])
        assert np.array_equal(cache.embed(["before"]), wordllama().embed(["before"]))
        file.execute("PRAGMA max_page_count = 1000000")
        cache.embed([f"text {n}" for n in range(200)])
    with closing(sqlite3.connect(tmp_path / "c")) as written:
        assert written.execute("SELECT count(*) FROM contents").fetchone() == (201,)


@pytest.mark.parametrize("statements", [[OLDER], [OLDER, "ALTER TABLE contents RENAME COLUMN content TO vector"]])
def test_an_older_cache_is_refused_so_that_nothing_outlives_an_erasure_in_it(
    tmp_path: Path, statements: list[str]
) -> None:
    """Who erases is told to delete it, since nobody knows any more what is in it; whoever only looks, looks past it."""
    path = tmp_path / "c"
    if len(statements) > 1:
        EmbeddingCache(CountingEmbedder(), path).close()
    with closing(sqlite3.connect(path)) as file:
        for statement in statements:
            file.execute(statement)
    before = path.read_bytes()
    sentence = f"the embedding cache {path} is of another version or something else; delete it: it is filled again"
    with pytest.raises(ConfigurationError, match=sentence):
        EmbeddingCache(CountingEmbedder(), path)
    with pytest.raises(ConfigurationError, match=sentence):
        forget_vectors(path, [cache_key("test", "tent")])
    embedder = CountingEmbedder()
    with EmbeddingCache(embedder, path, read_only=True) as cache:
        assert np.array_equal(cache.embed(["tent"]), wordllama().embed(["tent"]))
    assert embedder.texts == 1
    assert path.read_bytes() == before


def test_what_is_forgotten_is_in_no_file(tmp_path: Path) -> None:
    """Also where only the write-ahead log of a killed process is left of the cache."""
    path, log = tmp_path / "c", tmp_path / "c-wal"
    with EmbeddingCache(CountingEmbedder(), path) as cache:
        vector = cache.embed(["tent", "lake"])[0].tobytes()
        left = log.read_bytes()
        assert vector in left
    assert vector in path.read_bytes()
    forget_vectors(path, [cache_key(CountingEmbedder.name, "tent")])
    assert [one.name for one in tmp_path.iterdir() if vector in one.read_bytes()] == []
    embedder = CountingEmbedder()
    with EmbeddingCache(embedder, path) as cache:
        cache.embed(["tent", "lake"])
    assert embedder.texts == 1
    path.unlink()
    log.write_bytes(left)
    forget_vectors(path, [cache_key(CountingEmbedder.name, "tent")])
    assert [one.name for one in tmp_path.iterdir() if vector in one.read_bytes()] == []


def test_who_reads_meanwhile_is_waited_for_and_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is forgotten is in the file for as long as a replay looks something up there: it is not said to be gone."""
    monkeypatch.setattr("helamem.streams.keyed_file._BUSY_S", 0.05)
    path, key = tmp_path / "c", cache_key(CountingEmbedder.name, "tent")
    with EmbeddingCache(CountingEmbedder(), path) as cache:
        vector = cache.embed(["tent", "lake"])[0].tobytes()
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM contents").fetchone() == (2,)
        with pytest.raises(RetryLater, match="cannot be cleared while another program reads it; end that, and try"):
            forget_vectors(path, [key])
        assert vector in path.read_bytes()
        reader.execute("COMMIT")
        forget_vectors(path, [key])
        assert [one.name for one in tmp_path.iterdir() if vector in one.read_bytes()] == []


def test_a_vector_of_another_length_is_damage(tmp_path: Path) -> None:
    """It is not the text's fault."""
    with EmbeddingCache(CountingEmbedder(), tmp_path / "c") as cache:
        cache.embed(["tent"])
        file = cache._file.connection
        assert file is not None
        file.execute("UPDATE contents SET content = x'00000000'")
        with pytest.raises(ConfigurationError, match=r"damaged .*a vector of 4 bytes, not 1024.*; delete it: it is"):
            cache.embed(["tent"])


@settings(max_examples=20, deadline=None)
@given(
    calls=st.lists(
        st.lists(
            st.builds(Said, st.sampled_from(["A", "A: b"]), st.sampled_from(["b: c", "c", SAID.text]), st.booleans())
        )
    )
)
def test_it_reads_what_the_rules_read(calls: list[list[Said]]) -> None:
    """Whatever was kept before, by whomever it was said, and the vectors are those of the embedder."""
    with directory() as place, EmbeddingCache(CountingEmbedder(), place / "cache.sqlite") as cache:
        for messages in calls:
            vectors, readings = cache.embed_and_read(messages)
            assert readings == [read(one) for one in messages]
            texts = [spoken(one.speaker, one.text) for one in messages]
            assert vectors.tobytes() == wordllama().embed(texts).tobytes() == cache.embed(texts).tobytes()


def test_what_was_read_is_read_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by whoever only looks; for a vector that was kept alone it is read each time."""
    with EmbeddingCache(CountingEmbedder(), tmp_path / "c") as cache:
        cache.embed(["Mira: kept alone"])
        cache.embed_and_read([SAID])
    texts: list[str] = []

    def noted(said: Said) -> Reading:
        texts.append(said.text)
        return read(said)

    monkeypatch.setattr(embedding_cache, "read", noted)
    for read_only in (False, True):
        with EmbeddingCache(CountingEmbedder(), tmp_path / "c", read_only=read_only) as cache:
            _, readings = cache.embed_and_read([SAID, Said("Mira", "kept alone", sealed=False)])
            assert readings[0] == read(SAID)
    assert texts == ["kept alone", "kept alone"]


def test_what_was_read_goes_with_the_vector_and_of_sealed_words_nothing_is_kept(tmp_path: Path) -> None:
    """A vector says what a text is about, but these are its very words."""
    path = tmp_path / "c"

    def words() -> list[str]:
        return [one.name for one in tmp_path.iterdir() if b"quixotropolis" in one.read_bytes()]

    for sealed in (True, False):
        with EmbeddingCache(CountingEmbedder(), path) as cache:
            _, (reading,) = cache.embed_and_read([SAID._replace(sealed=sealed)])
            assert "quixotropolis" in reading.keywords
        assert words() == ([] if sealed else ["c"])
        forget_vectors(path, [cache_key(CountingEmbedder.name, spoken(SAID.speaker, SAID.text))])
        assert words() == []
