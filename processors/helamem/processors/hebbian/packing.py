"""A row of neighbours as bytes: 27 per edge, big-endian: 16 of id, 5 of weight, 6 of as-of in milliseconds.

27 is divisible by 3, so in base64 every edge is 36 characters and stands at a multiple of them. Slots stand in
the row's own order. One row is read as tuples; many rows at once are arrays (see `row.Rows`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from helamem.processors.hebbian.row import Numbers, Rows
from helamem.schemas.errors import ConfigurationError

EDGE_BYTES = 27

_ONE = struct.Struct(">16sBIHI")
_MANY = np.dtype(
    [
        ("high", ">u8"),
        ("low", ">u8"),
        ("weight_high", "u1"),
        ("weight_low", ">u4"),
        ("as_of_high", ">u2"),
        ("as_of_low", ">u4"),
    ]
)


class Edge(NamedTuple):
    """One learned neighbour."""

    neighbour: bytes
    """The 16 bytes of its memory id."""
    weight: int
    """In units of 2⁻³²."""
    as_of_ms: int


def pack(edges: Iterable[Edge]) -> bytes:
    """Return a row as bytes."""
    return b"".join(
        _ONE.pack(neighbour, weight >> 32, weight & 0xFFFFFFFF, as_of_ms >> 32, as_of_ms & 0xFFFFFFFF)
        for neighbour, weight, as_of_ms in edges
    )


def unpack(packed: bytes) -> list[Edge]:
    """Return the edges of a row, slot by slot."""
    _check(len(packed))
    return [
        Edge(neighbour, weight_high << 32 | weight_low, as_of_high << 32 | as_of_low)
        for neighbour, weight_high, weight_low, as_of_high, as_of_low in _ONE.iter_unpack(packed)
    ]


def pack_rows(rows: Rows) -> list[bytes]:
    """Return each row as bytes; free slots take no room."""
    used = rows.weights > 0
    weights, as_of = rows.weights[used], rows.as_of[used]
    flat = np.empty(len(weights), dtype=_MANY)
    flat["high"], flat["low"] = rows.high[used], rows.low[used]
    flat["weight_high"], flat["weight_low"] = weights >> np.uint64(32), weights & np.uint64(0xFFFFFFFF)
    flat["as_of_high"], flat["as_of_low"] = as_of >> 32, as_of & 0xFFFFFFFF
    packed = flat.tobytes()
    ends = (np.cumsum(np.count_nonzero(used, axis=1)) * EDGE_BYTES).tolist()
    return [packed[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def unpack_rows(packed: Sequence[bytes], neighbours: int) -> Rows:
    """Return packed rows as arrays that are wide enough for `neighbours` edges and for the longest row."""
    sizes: Numbers = np.fromiter(map(len, packed), dtype=np.int64, count=len(packed))
    _check(int(np.gcd.reduce(sizes, initial=0)))
    counts = sizes // EDGE_BYTES
    width = max(neighbours, int(counts.max(initial=0)))
    used = np.arange(width) < counts[:, None]
    flat = np.frombuffer(b"".join(packed), dtype=_MANY)
    rows = Rows(
        high=np.zeros(used.shape, dtype=np.uint64),
        low=np.zeros(used.shape, dtype=np.uint64),
        weights=np.zeros(used.shape, dtype=np.uint64),
        as_of=np.zeros(used.shape, dtype=np.int64),
    )
    rows.high[used], rows.low[used] = flat["high"], flat["low"]
    rows.weights[used] = flat["weight_high"].astype(np.uint64) << np.uint64(32) | flat["weight_low"]
    rows.as_of[used] = flat["as_of_high"].astype(np.int64) << 32 | flat["as_of_low"]
    return rows


def _check(size: int) -> None:
    if size % EDGE_BYTES:
        raise ConfigurationError(
            f"a row of edges has a size that is no multiple of {EDGE_BYTES} bytes; another version wrote this store: "
            "rebuild it with `helamem replay`"
        )
