"""A batch of writes in pieces of bounded size, encoded once."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Raw

from helamem.processors.store.port import Writes
from helamem.streams.store_process.protocol import Write, encode

PIECE_BYTES = 1024**2
"""Of one `Write`: some 400 memories, 20 ms of work; in between, others have their turn."""


def in_pieces(writes: Writes) -> Iterator[Raw]:
    """Yield `Write` calls that make the same of a store as `writes` does, in this order.

    Nothing in a store depends on how writes are cut: memories and facts go in where absent, the first of a kind first,
    and edges and marks give way to later positions in whatever order they come.
    """
    piece: dict[str, list[Raw]] = {}
    size_bytes = 0
    for kind in Writes.__struct_fields__:
        for record in getattr(writes, kind):
            raw = Raw(encode(record))
            if piece and size_bytes + len(raw) > PIECE_BYTES:
                yield _call(piece)
                piece, size_bytes = {}, 0
            piece.setdefault(kind, []).append(raw)
            size_bytes += len(raw)
    if piece:
        yield _call(piece)


def _call(piece: dict[str, list[Raw]]) -> Raw:
    return Raw(encode((Write.__name__, piece)))  # as a `Write` of `Writes` is encoded
