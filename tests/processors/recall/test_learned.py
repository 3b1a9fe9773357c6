"""Learned edges all at once: what `hebbian.spreading` says edge by edge."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from helamem.processors.hebbian.decay import CAP
from helamem.processors.hebbian.packing import Edge, pack
from helamem.processors.hebbian.spreading import spread
from helamem.processors.recall.learned import spread_packed
from helamem.schemas.ids import id_bytes, id_text

NOW = 1_800_000_000_000
HALF_LIFE_MS = 30 * 86_400_000

_ids = st.integers(0, 11).map(lambda number: id_text((number % 3 << 56).to_bytes(8) + number.to_bytes(8)))
_rows = st.dictionaries(
    _ids,
    st.lists(
        st.builds(
            Edge,
            _ids.map(id_bytes),
            st.one_of(st.integers(1, 4), st.integers(1, CAP), st.just(2**28)),
            st.integers(NOW - 40 * HALF_LIFE_MS, NOW + HALF_LIFE_MS),
        ),
        max_size=8,
        unique_by=lambda edge: edge.neighbour,
    ),
)
_seeds = st.dictionaries(_ids, st.one_of(st.just(1.0), st.floats(0.0, 3.0)), max_size=10)


@given(_seeds, _rows, st.sampled_from([0.5, 2.0]), st.integers(0, 12))
def test_it_is_equal_to_the_bit(seeds: dict[str, float], rows: dict[str, list[Edge]], beta: float, limit: int) -> None:
    packed = {id_: pack(edges) for id_, edges in rows.items()}
    result = spread_packed(list(seeds.items()), packed, time_ms=NOW, half_life_ms=HALF_LIFE_MS, beta=beta, limit=limit)
    by_bytes = {id_bytes(id_): edges for id_, edges in rows.items()}
    expected = spread([(id_bytes(id_), base) for id_, base in seeds.items()], by_bytes, NOW, HALF_LIFE_MS, beta)
    assert result == [(id_text(memory), score, id_text(via)) for memory, score, via in expected[:limit]]
