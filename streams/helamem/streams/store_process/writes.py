"""A batch of writes in pieces of bounded size, encoded once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Raw

from helamem.processors.store.lexical import Lexical
from helamem.processors.store.port import Memory, Writes
from helamem.processors.store.prepared import prepared
from helamem.streams.store_process.protocol import Insert, Write, encode

PIECE_BYTES = 1024**2
"""Of one call: some 400 memories, 20 ms of work; in between, others have their turn."""


def in_pieces(writes: Writes, lexical: Lexical) -> Iterator[Raw]:
    """Yield calls that make the same of a store as `writes` does, in this order.

    Nothing in a store depends on how writes are cut: memories and facts go in where absent, the first of a kind first,
    and edges and marks give way to later positions in whatever order they come.
    """
    yield from _insertions(writes.memories, lexical)
    piece: dict[str, list[Raw]] = {}
    size_bytes = 0
    for kind in Writes.__struct_fields__:
        if kind == "memories":
            continue
        for record in getattr(writes, kind):
            raw = Raw(encode(record))
            if piece and size_bytes + len(raw) > PIECE_BYTES:
                yield _call(piece)
                piece, size_bytes = {}, 0
            piece.setdefault(kind, []).append(raw)
            size_bytes += len(raw)
    if piece:
        yield _call(piece)


def _insertions(memories: Sequence[Memory], lexical: Lexical) -> Iterator[Raw]:
    piece: list[Raw] = []
    size_bytes = 0
    for memory in memories:
        raw = Raw(encode(prepared(memory, lexical)))
        if piece and size_bytes + len(raw) > PIECE_BYTES:
            yield Raw(encode((Insert.__name__, piece)))
            piece, size_bytes = [], 0
        piece.append(raw)
        size_bytes += len(raw)
    if piece:
        yield Raw(encode((Insert.__name__, piece)))


def _call(piece: dict[str, list[Raw]]) -> Raw:
    return Raw(encode((Write.__name__, piece)))  # as a `Write` of `Writes` is encoded
