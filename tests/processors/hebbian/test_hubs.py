from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from helamem.processors.hebbian.decay import CAP
from helamem.processors.hebbian.hubs import NEVER, Hub, HubRule, find_hubs
from helamem.processors.hebbian.packing import Edge, pack, unpack_rows
from helamem.schemas.ids import id_text
from references import hebbian as reference

HALF_LIFE_MS = 86_400_000
NOW = 1_700_000_000_000
RULE = HubRule(half_life_ms=HALF_LIFE_MS, strength=CAP // 4, degree=3, cluster=4, rest_ms=1000)


def memory(number: int) -> bytes:
    """Return an id; numbers that differ by 4 share their first eight bytes, as ids may."""
    return (number % 4).to_bytes(8) + number.to_bytes(8)


def edges(*weights: int) -> list[Edge]:
    """Return edges with these weights and rising ids."""
    return [Edge(memory(number), weight, NOW) for number, weight in enumerate(weights)]


def find(*rows: list[Edge], time_ms: int = NOW, formed_ms: int = NEVER) -> list[Hub]:
    """Return the hubs among rows that were touched at one time."""
    many = len(rows)
    return find_hubs(unpack_rows(list(map(pack, rows)), 8), np.full(many, time_ms), np.full(many, formed_ms), RULE)


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, CAP // 3), st.integers(-5, 1)), max_size=8),
        max_size=6,
    )
)
def test_hubs_equal_the_slow_reference(rows: list[list[tuple[int, int]]]) -> None:
    """Who forms a hub, how strong, with which cluster: as the formula says, edge by edge."""
    packed = [
        [Edge(memory(number), weight, NOW + days * HALF_LIFE_MS) for number, (weight, days) in enumerate(row)]
        for row in rows
    ]
    expected = []
    for number, row in enumerate(packed):
        slow = reference.Row(b"", [reference.Edge(*edge) for edge in row])
        hub = slow.hub(NOW, half_life_ms=HALF_LIFE_MS, strength=CAP // 4, degree=3, cluster=4, rest_ms=1000)
        if hub is not None:
            expected.append((number, hub[0], hub[1], tuple((id_text(one), weight) for one, weight in hub[2])))
    assert [(hub.row, hub.strength, hub.degree, hub.cluster) for hub in find(*packed)] == expected


def test_strength_and_degree_both_count() -> None:
    """δ is reached by equality; two neighbours are too few however strong."""
    enough, weak, few = (
        edges(CAP // 8, CAP // 16, CAP // 16),
        edges(CAP // 8, CAP // 16, CAP // 16 - 1),
        edges(CAP, CAP),
    )
    assert [hub.row for hub in find(weak, enough, few)] == [1]


def test_a_weight_counts_for_what_is_left_of_it() -> None:
    """A strength of the past does not make a hub."""
    assert find(edges(CAP // 8, CAP // 8, CAP // 8), time_ms=NOW + HALF_LIFE_MS) == []


def test_a_hub_rests() -> None:
    """The same memory forms no hub again until it has rested, and not when time runs backwards."""
    row = edges(CAP, CAP, CAP)
    assert find(row, formed_ms=NOW - 999) == []
    assert find(row, formed_ms=NOW + 5000) == []
    assert len(find(row, formed_ms=NOW - 1000)) == 1


def test_the_cluster_is_the_strongest_by_weight_then_id() -> None:
    """The hub is counted in the size; equal weights are ordered by all 16 bytes of the id."""
    row = [
        Edge(memory(number), weight, NOW) for number, weight in [(5, CAP // 8), (1, CAP // 8), (0, 9), (2, CAP // 4)]
    ]
    (hub,) = find(row)
    assert hub.cluster == (
        (id_text(memory(2)), CAP // 4),
        (id_text(memory(1)), CAP // 8),
        (id_text(memory(5)), CAP // 8),
    )
    assert (hub.degree, hub.strength) == (4, CAP // 2 + 9)
