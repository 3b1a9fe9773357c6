"""A home with files that another version wrote: one sentence in every command, and no byte of them is changed."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from helamem.processors.store.edge_shards import SCHEMA
from streams.cli.shell import Ran, logged

Call = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _ingested(call: Call, chat: Path) -> None:
    assert call("ingest", chat).code == 0


def change(file: Path, statement: str) -> bytes:
    """Change a file of SQLite, and return what it holds then."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(statement)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file.read_bytes()


def sentence(ran: Ran) -> str:
    """Return the one sentence of a command that refuses: what runs long logs it."""
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    return logged(ran.err) if ran.err.startswith("{") else ran.err.removeprefix("helamem: ").rstrip()


def test_an_older_log_is_told_in_one_sentence(call: Call, home: Path, chat: Path, tmp_path: Path) -> None:
    """Whether a command writes to it or looks at it, it says what it is, where, and what to do."""
    log = home / "log.sqlite"
    before = change(log, "ALTER TABLE records DROP COLUMN headers")
    for command in (
        ("ingest", chat),
        ("recall", "Who moved?", "--space", "acme/mira"),
        ("recall", "Who moved?", "--space", "acme/mira", "--as-of", "2099-01-01T00:00:00Z", "--state"),
        ("run",),
        ("digest",),
        ("replay", "--into", tmp_path / "rebuilt"),
        ("diff", "2025-01-01T00:00:00Z", "2099-01-01T00:00:00Z"),
        ("snapshot",),
        ("archive", "--to", tmp_path / "archive"),
        ("spaces",),
        ("facts",),
        ("edges", "--space", "acme/mira"),
        ("why", "m1", "--space", "acme/mira"),
        ("trace", "m1", "--space", "acme/mira"),
        ("settings",),
        ("forget", "--space", "acme/mira", "--dry-run"),
        ("erase", "Mira", "--space", "acme/mira"),
        ("dead-letters", "list"),
    ):
        assert sentence(call(*command)) == (
            f"the log {log} was written by an older helamem (its table records has other columns); read it with that "
            "version, or name a new home and ingest the messages again"
        ), command
    assert log.read_bytes() == before


def test_an_older_cache_is_told_in_one_sentence(call: Call, home: Path) -> None:
    """It stops what would fill it, looks like no cache to what only reads, and once deleted it is filled again."""
    cache = home / "embeddings.sqlite"
    digest = call("digest").json["digest"]
    before = change(cache, "ALTER TABLE contents RENAME TO vectors")
    for command in (("digest",), ("recall", "Who moved?", "--space", "acme/mira"), ("run",)):
        assert sentence(call(*command)) == (
            f"the embedding cache {cache} is of another version or something else; delete it: it is filled again"
        )
    assert cache.read_bytes() == before
    replayed = call("replay", "--into", home.with_name("rebuilt"))
    assert (replayed.code, replayed.json["digest"], replayed.json["dead_letters"]) == (0, digest, 0)
    cache.unlink()
    assert call("digest").json["digest"] == digest
    assert call("dead-letters", "list").json["count"] == 0


def test_an_older_store_is_told_in_one_sentence(call: Call, home: Path) -> None:
    """Deleted, it is filled again."""
    digest = call("digest").json["digest"]
    description = home / "store" / "store.json"
    description.write_text(description.read_text().replace(f'"schema":{SCHEMA}', '"schema":0'))
    for command in (("digest",), ("recall", "Who moved?", "--space", "acme/mira"), ("run",), ("store",)):
        assert sentence(call(*command)) == (
            f"the store at {home / 'store'} has layout 0, this version reads {SCHEMA}; "
            "delete it: it is filled again from the log"
        )
    shutil.rmtree(home / "store")
    assert call("digest").json["digest"] == digest


def test_what_a_replay_filled_does_not_begin_with_nothing(
    call: Call, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log is elsewhere: without its store it is not taken for a home in which nothing was ever said."""
    rebuilt = home.with_name("rebuilt")
    assert call("replay", "--into", rebuilt).code == 0
    shutil.rmtree(rebuilt / "store")
    monkeypatch.setenv("HELAMEM_HOME", str(rebuilt))
    assert sentence(call("digest")) == (
        f"the store of {rebuilt} is gone, which a replay filled; delete the rest of it and replay again"
    )
