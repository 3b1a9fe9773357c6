"""A cache that is no good stops whoever uses it with a sentence that says so: no record is put aside for it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fakes.directories import directory
from fakes.events import message
from fakes.machine import machine
from fakes.words import wordllama
from helamem.processors.encoding.processor import Encoding
from helamem.schemas.errors import ConfigurationError
from helamem.schemas.topics import DEAD_LETTERS
from helamem.streams.effects.index import AnswerIndex
from helamem.streams.embedding_cache import EmbeddingCache
from helamem.streams.keyed_file import KeyedFile

Spoil = Callable[[Path], object]


def replaced_by_text(path: Path) -> None:
    """Put something else there."""
    path.write_text("not a database at all " * 400)


def replaced_by_anothers(path: Path) -> None:
    """Put another program's file there."""
    path.unlink()
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE contents (page TEXT)")


def torn(path: Path) -> None:
    """Overwrite all but the first page, as a failing disk does."""
    raw = path.read_bytes()
    path.write_bytes(raw[:4096] + b"\xff" * (len(raw) - 4096))


def fill(path: Path) -> None:
    """Make a cache with more than a page of contents."""
    with EmbeddingCache(wordllama(), path) as cache:
        cache.embed([f"text {n}" for n in range(100)])


@pytest.mark.parametrize("spoil", [replaced_by_text, replaced_by_anothers])
def test_another_file_is_refused_and_left_as_it_is(tmp_path: Path, spoil: Spoil) -> None:
    """Before the first record is taken; the sentence names the file and says that it may be deleted."""
    path = tmp_path / "c?%20"
    fill(path)
    spoil(path)
    before = path.read_bytes()
    for what, opening in (
        ("the embedding cache", lambda: EmbeddingCache(wordllama(), path)),
        ("the index of what models answered", lambda: AnswerIndex(path)),
    ):
        with pytest.raises(ConfigurationError) as told:
            opening()
        assert str(told.value).startswith(f"{what} {path} is ")
        assert str(told.value).endswith("; delete it: it is filled again")
    assert path.read_bytes() == before
    assert not path.with_name(f"{path.name}-wal").exists()


def test_a_cache_is_no_index(tmp_path: Path) -> None:
    """Each has tables of its own."""
    fill(tmp_path / "c")
    with pytest.raises(ConfigurationError, match=r"the index of what models answered .* is of another version or some"):
        AnswerIndex(tmp_path / "c")


def test_to_a_reader_a_file_without_contents_is_none(tmp_path: Path) -> None:
    """A damaged one is told."""
    path = tmp_path / "c?%20"
    fill(path)
    keys = KeyedFile(path, "it", read_only=True).rows("SELECT key FROM contents")
    assert len(KeyedFile(path, "it", read_only=True).look_up([key for (key,) in keys])) == 100
    replaced_by_anothers(path)
    assert KeyedFile(path, "it", read_only=True).look_up([key for (key,) in keys]) == {}
    replaced_by_text(path)
    with pytest.raises(ConfigurationError, match=r"is damaged or something else .*; delete it: it is filled again"):
        KeyedFile(path, "it", read_only=True)


@pytest.mark.parametrize("spoil", ["DROP TABLE contents", torn])
async def test_a_cache_that_spoils_under_a_pump_puts_nothing_aside(spoil: str | Spoil) -> None:
    """What was said is good: the pump stops, and once the cache is deleted it goes on from there."""
    with directory() as place:
        path = place / "embeddings.sqlite"
        async with machine(place) as one:
            await one.append(*(message(f"m{n}", f"text {n}") for n in range(100)))
            ends = await one.ends()
            fill(path)
            if callable(spoil):
                spoil(path)
            with EmbeddingCache(wordllama(), path) as cache:
                if isinstance(spoil, str):
                    assert cache._file.connection is not None
                    cache._file.connection.execute(spoil)
                with pytest.raises(ConfigurationError, match=r"is damaged or something else .*; delete it: it is"):
                    await one.pump(Encoding(one.store, cache, one.settings)).run(until=ends)
            assert await one.records(DEAD_LETTERS.name) == []
            assert await one.store.spaces() == {}
            path.unlink()
            with EmbeddingCache(wordllama(), path) as cache:
                await one.pump(Encoding(one.store, cache, one.settings)).run(until=ends)
            assert await one.store.spaces() == {"acme/anna": 100}


def test_closing_waits_for_whoever_uses_the_file() -> None:
    """A cancelled task leaves its thread behind: SQLite ends the process when a file in use is closed."""
    with directory() as place:
        path = place / "it.sqlite"
        fill(path)
        file = KeyedFile(path, "it")
        assert file.connection is not None
        begun, go_on = threading.Event(), threading.Event()
        steps: list[str] = []

        def slow() -> int:
            begun.set()
            go_on.wait()
            steps.append("read")
            return 1

        def close() -> None:
            file.close()
            steps.append("closed")

        file.connection.create_function("slow", 0, slow)
        reading = threading.Thread(target=file.rows, args=("SELECT slow()",))
        closing = threading.Thread(target=close)
        reading.start()
        begun.wait()
        closing.start()
        closing.join(0.1)
        go_on.set()
        reading.join()
        closing.join()
        assert steps == ["read", "closed"]
        for use in (lambda: file.look_up([b"key"]), lambda: file.keep({b"key": b""}), lambda: file.rows("SELECT 1")):
            with pytest.raises(ConfigurationError, match=r"^it .*it\.sqlite is closed; open it again$"):
                use()
        file.close()
