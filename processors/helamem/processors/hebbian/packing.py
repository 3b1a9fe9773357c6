"""A row of neighbours as bytes: 27 per edge, big-endian: 16 of id, 5 of weight, 6 of as-of in milliseconds.

27 is divisible by 3, so in base64 every edge is 36 characters and stands at a multiple of them. Slots stand in
the row's own order. One row is read as tuples; many rows at once are arrays (see `row.Rows`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from helamem.processors.hebbian.decay import Weights
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


class Edges(NamedTuple):
    """The edges of several rows one after another; arrays have shape (n,)."""

    row: Numbers
    """The index of its row."""
    high: Weights
    """First eight bytes of the neighbour's id."""
    low: Weights
    """Last eight bytes of the neighbour's id."""
    weights: Weights
    """In units of 2⁻³²."""
    as_of: Numbers
    """Milliseconds since 1970."""


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


def unpack_edges(packed: Sequence[bytes]) -> Edges:
    """Return the edges of packed rows as arrays, row by row and slot by slot."""
    flat = np.frombuffer(b"".join(packed), dtype=_MANY)
    return Edges(
        row=np.repeat(np.arange(len(packed)), _counts(packed)),
        high=flat["high"].astype(np.uint64),
        low=flat["low"].astype(np.uint64),
        weights=flat["weight_high"].astype(np.uint64) << np.uint64(32) | flat["weight_low"],
        as_of=flat["as_of_high"].astype(np.int64) << 32 | flat["as_of_low"],
    )


def unpack_rows(packed: Sequence[bytes], neighbours: int) -> Rows:
    """Return packed rows as arrays that are wide enough for `neighbours` edges and for the longest row."""
    counts = _counts(packed)
    edges = unpack_edges(packed)
    used = np.arange(max(neighbours, int(counts.max(initial=0)))) < counts[:, None]
    rows = Rows(
        high=np.zeros(used.shape, dtype=np.uint64),
        low=np.zeros(used.shape, dtype=np.uint64),
        weights=np.zeros(used.shape, dtype=np.uint64),
        as_of=np.zeros(used.shape, dtype=np.int64),
    )
    rows.high[used], rows.low[used] = edges.high, edges.low
    rows.weights[used], rows.as_of[used] = edges.weights, edges.as_of
    return rows


def _counts(packed: Sequence[bytes]) -> Numbers:
    """Return how many edges each row has."""
    sizes: Numbers = np.fromiter(map(len, packed), dtype=np.int64, count=len(packed))
    _check(int(np.gcd.reduce(sizes, initial=0)))
    return sizes // EDGE_BYTES


def _check(size: int) -> None:
    if size % EDGE_BYTES:
        raise ConfigurationError(
            f"a row of edges has a size that is no multiple of {EDGE_BYTES} bytes; another version wrote this store: "
            "rebuild it with `helamem replay`"
        )
