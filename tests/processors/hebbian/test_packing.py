from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helamem.processors.hebbian.packing import EDGE_BYTES, Edge, pack, pack_rows, unpack, unpack_rows
from helamem.schemas.errors import ConfigurationError

EDGES = st.builds(Edge, st.binary(min_size=16, max_size=16), st.integers(1, 2**32), st.integers(0, 253_402_300_799_999))
ROWS = st.lists(EDGES, max_size=12)


@given(ROWS)
def test_a_row_comes_back_as_it_was(edges: list[Edge]) -> None:
    """Packing and unpacking a row is the identity, at 27 bytes an edge."""
    packed = pack(edges)
    assert len(packed) == len(edges) * EDGE_BYTES
    assert unpack(packed) == edges


@given(st.lists(ROWS, max_size=8), st.integers(1, 20))
def test_many_rows_come_back_as_they_were(rows: list[list[Edge]], neighbours: int) -> None:
    """Arrays are another view of the same bytes, wide enough for the settings and for the longest row."""
    packed = [pack(edges) for edges in rows]
    block = unpack_rows(packed, neighbours)
    assert block.weights.shape == (len(rows), max([neighbours, *map(len, rows)]))
    assert pack_rows(block) == packed


def test_the_bytes_are_stated_ones() -> None:
    """The layout is big-endian: 16 of id, 5 of weight, 6 of milliseconds."""
    packed = pack([Edge(bytes(range(16)), 2**32, 0x0102_0304_0506)])
    assert packed.hex() == "000102030405060708090a0b0c0d0e0f" + "0100000000" + "010203040506"


@pytest.mark.parametrize("read", [unpack, lambda packed: unpack_rows([bytes(27), packed], 4)])
def test_bytes_of_another_size_are_refused(read: Callable[[bytes], object]) -> None:
    """A row that is no multiple of 27 bytes says so, and what to do."""
    with pytest.raises(ConfigurationError, match="rebuild it with"):
        read(bytes(28))
