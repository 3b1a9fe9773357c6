"""Shards written anew without the words that were erased.

Edge keeps what was deleted in its write-ahead log and in the pages of its payloads, also after a flush and after
`optimize`. So the shards that held such words are copied into fresh directories, with tombstones in their place, and
the old directories are removed. Vectors are copied as the engine gives them; the digest knows none of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from qdrant_edge import EdgeShard, Point, ScrollRequest, UpdateOperation

from helamem.processors.store.edge_room import RESERVE_BYTES, Room
from helamem.processors.store.edge_shards import (
    DENSE,
    REWRITING,
    REWRITTEN,
    make_shard,
    open_shards,
    put_in_place,
    sync_directory,
)
from helamem.processors.store.payload import SPACE, Payload, fact_of, fact_payload, space_of, turn_of, turn_payload
from helamem.processors.store.tombstones import erased_fact, erased_turn, no_direction

_PAGE = 256

IsErased = Callable[[str, str], bool]
"""Whether a memory or fact is erased, by space and id."""


def rewrite_shards(
    path: Path, dimension: int, language: str, is_erased: IsErased, *, reserve_bytes: int = RESERVE_BYTES
) -> int:
    """Write memories and facts anew, without the words of what is erased, and return how many tombstones there are.

    Killed at any moment, the store has each shard either as it was or rewritten; do it again to end it.

    Args:
        path: The directory of the store; nobody has it open.
        dimension: Of its vectors.
        language: Of its keyword index.
        is_erased: What is to lose its words.
        reserve_bytes: Free space on the disk below which nothing is written.

    Raises:
        ConfigurationError: It is not such a store, or somebody has it open.
        RetryLater: The disk has no room for a copy.
    """
    shards = open_shards(path, dimension, language)
    count = 0
    try:
        room = Room(path, reserve_bytes)
        room.check_for_copy()
        for name, tombstone in (("memories", _erased_memory), ("facts", _erased_fact)):
            begun = path / f"{name}{REWRITING}"
            shutil.rmtree(begun, ignore_errors=True)
            new = make_shard(begun, name, dimension)
            try:
                count += _copy(getattr(shards, name), new, dimension, partial(_payload, is_erased, tombstone), room)
            finally:
                new.close()
            begun.rename(path / f"{name}{REWRITTEN}")
            sync_directory(path)
    finally:
        shards.close()
    put_in_place(path)
    return count


def _copy(
    old: EdgeShard, new: EdgeShard, dimension: int, payload_of: Callable[[str, Payload], Payload | None], room: Room
) -> int:
    count, offset = 0, None
    while True:
        request = ScrollRequest(limit=_PAGE, offset=offset, with_payload=True, with_vector=True)
        records, offset = old.scroll(request)
        points = []
        for record in records:
            payload, vector = record.payload or {}, record.vector
            tombstone = payload_of(str(record.id), payload)
            if tombstone is not None:
                payload, vector = tombstone, {DENSE: no_direction(dimension).tolist()}
                count += 1
            points.append(Point(id=record.id, vector=vector or {}, payload=payload))
        if points:
            room.check()
            new.update(UpdateOperation.upsert_points(points))
        if offset is None:
            break
    new.optimize()
    new.flush()
    return count


def _payload(
    is_erased: IsErased, tombstone: Callable[[str, Payload], Payload], id_: str, payload: Payload
) -> Payload | None:
    return tombstone(id_, payload) if is_erased(space_of(payload[SPACE]), id_) else None


def _erased_memory(id_: str, payload: dict[str, Any]) -> Payload:
    return turn_payload(erased_turn(turn_of(id_, payload)))


def _erased_fact(id_: str, payload: dict[str, Any]) -> Payload:
    return fact_payload(erased_fact(fact_of(id_, payload)))
