"""The directory of an embedded store: its shards, and the file that says for what it was made."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct
from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    HnswIndexConfig,
    IntegerIndexParams,
    KeywordIndexParams,
    Memory,
    Modifier,
    UpdateOperation,
)

from helamem.processors.store.payload import PLACE, SPACE, TIME, TOPICS, TURN
from helamem.schemas.errors import ConfigurationError, RetryLater

SCHEMA = 3
"""Version of how records are stored; a store of another one is rebuilt from the log."""
DENSE = "dense"
LEXICAL = "lexical"

REWRITING, REWRITTEN = ".rewriting", ".rewritten"
"""Endings of a shard that is being copied, and of one that is whole and takes the place of the old one."""

_DESCRIPTION = "store.json"
_MENDING = "delete it: it is filled again from the log"
_UNUSED = "unused"


class _Description(Struct, frozen=True, kw_only=True):
    schema: int
    dimension: int
    language: str


class Shards(NamedTuple):
    """The open shards."""

    memories: EdgeShard
    facts: EdgeShard
    edges: EdgeShard
    marks: EdgeShard

    def close(self) -> None:
        """Release them; what was not flushed is in the write-ahead log, and not yet surely on disk."""
        for shard in self:
            shard.close()


def open_shards(path: Path, dimension: int, language: str) -> Shards:
    """Open the shards under `path`, or make them there.

    Raises:
        ConfigurationError: The store was made for something else, is damaged, or another process has it open.
    """
    make_store(path, dimension, language)
    opened: list[EdgeShard] = []
    try:
        opened.extend(_load(path, name) for name in Shards._fields)
    except BaseException:
        for shard in opened:
            shard.close()
        raise
    return Shards(*opened)


def make_store(path: Path, dimension: int, language: str, *, logged: bool = True) -> None:
    """Make the shards under `path`, empty, where they are not there yet.

    Args:
        path: The directory.
        dimension: Of the vectors.
        language: Of the keyword index.
        logged: Whether the engine has a write-ahead log, for ever or never. Without one a shard is up to 64 MiB
            smaller, and what was not flushed when its process was killed may be lost: it is to be written again.

    Raises:
        ConfigurationError: It was made for something else, or is damaged.
        RetryLater: The disk is full or fails.
    """
    wanted = _Description(schema=SCHEMA, dimension=dimension, language=language)
    try:
        path.mkdir(parents=True, exist_ok=True)
        put_in_place(path)
        description = path / _DESCRIPTION
        if description.exists():
            _compare(path, description.read_bytes(), wanted)
        else:
            # It is written last, so nothing can have been stored in what a crash left half made.
            for name in Shards._fields:
                _make(path, name, dimension, logged=logged)
            write_durably(description, msgspec.json.encode(wanted))
    except OSError as error:
        raise RetryLater(f"the store at {path} cannot be opened: {error}") from error


def put_in_place(path: Path) -> None:
    """Put shards that were rewritten in the place of the old ones, which go, and remove what was half copied.

    A rewritten shard is whole and holds what the old one holds: nothing is written between its last byte and this.
    """
    for name in Shards._fields:
        if (path / f"{name}{REWRITTEN}").exists():
            shutil.rmtree(path / name, ignore_errors=True)
            (path / f"{name}{REWRITTEN}").rename(path / name)
            sync_directory(path)
        shutil.rmtree(path / f"{name}{REWRITING}", ignore_errors=True)


def write_durably(file: Path, content: bytes) -> None:
    """Replace a file, all or nothing also when the power fails."""
    beside = file.with_name(file.name + ".new")
    with beside.open("wb") as new:
        new.write(content)
        new.flush()
        os.fsync(new.fileno())
    beside.replace(file)
    sync_directory(file.parent)


def sync_directory(directory: Path) -> None:
    """Make durable which files a directory holds."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _compare(path: Path, raw: bytes, wanted: _Description) -> None:
    try:
        made_for = msgspec.json.decode(raw, type=_Description)
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"the store at {path} is damaged ({_DESCRIPTION}); {_MENDING}") from error
    if made_for.schema != SCHEMA:
        raise ConfigurationError(
            f"the store at {path} has layout {made_for.schema}, this version reads {SCHEMA}; "
            + ("install a newer helamem" if made_for.schema > SCHEMA else _MENDING)
        )
    if made_for.dimension != wanted.dimension:
        raise ConfigurationError(
            f"the store at {path} holds vectors of {made_for.dimension} numbers, not of {wanted.dimension}; "
            "choose the embedder that it was made with, or replay the log into another home"
        )
    if made_for.language != wanted.language:
        raise ConfigurationError(
            f"the keyword index at {path} is for {made_for.language}, not for {wanted.language}; "
            "set that language, or replay the log into another home"
        )


def _make(path: Path, name: str, dimension: int, *, logged: bool) -> None:
    """Make an empty shard, so that its directory is there complete or not at all."""
    final, begun = path / name, path / f"{name}.new"
    if final.exists():
        return
    shutil.rmtree(begun, ignore_errors=True)
    shard = make_shard(begun, name, dimension, logged=logged)
    shard.flush()
    shard.close()
    begun.rename(final)
    sync_directory(path)


def make_shard(begun: Path, name: str, dimension: int, *, logged: bool = True) -> EdgeShard:
    """Return a new, empty shard in a new directory, to be flushed and closed by the caller."""
    begun.mkdir()
    with_vectors = name in {"memories", "facts"}
    shard = EdgeShard.create(
        str(begun), _searchable(dimension, logged=logged) if with_vectors else _plain(logged=logged)
    )
    # Only the space gets graphs of its own: with them on every index, `optimize` took 93 s at 100,000 memories, not 3.
    shard.update(UpdateOperation.create_field_index(SPACE, KeywordIndexParams(is_tenant=True)))
    numbers = IntegerIndexParams(lookup=False, range=True, enable_hnsw=False)
    if with_vectors:
        shard.update(UpdateOperation.create_field_index(TIME, numbers))
    if name == "facts":
        shard.update(UpdateOperation.create_field_index(TOPICS, KeywordIndexParams(enable_hnsw=False)))
    if name == "memories":
        places = KeywordIndexParams(prefix=True, enable_hnsw=False)
        shard.update(UpdateOperation.create_field_index(PLACE, places))
        shard.update(UpdateOperation.create_field_index(TURN, numbers))
    return shard


def _searchable(dimension: int, *, logged: bool) -> EdgeConfig:
    return EdgeConfig(
        vectors={DENSE: EdgeVectorParams(size=dimension, distance=Distance.Cosine)},
        sparse_vectors={LEXICAL: EdgeSparseVectorParams(modifier=Modifier.Idf)},
        # No graph over everything, one within each space: nobody may search across spaces.
        hnsw_config=HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000, payload_m=16),
        payload_memory=Memory.Cached,
        wal_enabled=logged,
    )


def _plain(*, logged: bool) -> EdgeConfig:
    """Return the configuration of a shard without vectors; the engine insists on naming one."""
    unused = {_UNUSED: EdgeSparseVectorParams()}
    return EdgeConfig(sparse_vectors=unused, payload_memory=Memory.Cached, wal_enabled=logged)


def _load(path: Path, name: str) -> EdgeShard:
    if not (path / name).is_dir():
        raise ConfigurationError(f"the store at {path} has lost its directory {name}; {_MENDING}")
    try:
        return EdgeShard.load(str(path / name))
    except Exception as error:
        if "WouldBlock" in str(error):
            raise ConfigurationError(
                f"another process has the store at {path} open; stop it, or ask it instead"
            ) from error
        raise ConfigurationError(f"the store at {path} cannot be read ({name}: {error}); {_MENDING}") from error
