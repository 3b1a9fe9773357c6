from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helamem.processors.hebbian.decay import CAP
from helamem.processors.hebbian.packing import Edge, pack, pack_rows, unpack, unpack_rows
from helamem.processors.hebbian.row import Rows, Rule, Touches, pair_hashes, strengthen
from references import hebbian as reference

DAY_MS = 86_400_000
HALF_LIFE_MS = 30 * DAY_MS
NOW = 1_700_000_000_000
ETA = CAP // 50
OWN = b"\xee" * 16


def memory(number: int) -> bytes:
    """Return an id; numbers that differ by 8 share their first eight bytes, as ids may."""
    return (number % 8 << 56).to_bytes(8) + number.to_bytes(8)


def touch(
    row: list[Edge],
    event: str,
    partners: list[bytes],
    time_ms: int,
    *,
    eta: int = ETA,
    neighbours: int = 4,
    newcomers: int = 2,
) -> list[Edge]:
    """Return the edges after one event that names the row's memory and its partners."""
    rows, touches = arranged(row, event, partners, time_ms, eta, neighbours)
    strengthen(rows, touches, Rule(half_life_ms=HALF_LIFE_MS, neighbours=neighbours, newcomers=newcomers))
    return unpack(pack_rows(rows)[0])


def arranged(  # noqa: PLR0917 - as they stand in an event
    row: list[Edge], event: str, partners: list[bytes], time_ms: int, eta: int, neighbours: int
) -> tuple[Rows, Touches]:
    """Return a row and what an event does to it, as arrays."""
    rows = unpack_rows([pack(row)], neighbours)
    ids = np.frombuffer(b"".join([*partners, OWN]), dtype=">u8").astype(np.uint64)
    hashes = pair_hashes(np.full(len(partners) + 1, reference.event_hash(event), dtype=np.uint64), ids[1::2])
    touches = Touches(
        time_ms=np.array([time_ms]),
        eta=np.array([eta], dtype=np.uint64),
        high=ids[None, 0:-2:2],
        low=ids[None, 1:-2:2],
        rank=hashes[None, :-1] ^ hashes[-1],
        present=np.ones((1, len(partners)), dtype=np.bool_),
    )
    return rows, touches


EVENT = st.tuples(
    st.lists(st.integers(0, 11).map(memory), min_size=1, max_size=8, unique=True),
    st.integers(-40, 400).map(lambda days: NOW + days * DAY_MS // 3),
    st.sampled_from([1, 2, ETA, CAP // 3, CAP]),
    st.integers(2, 7),
    st.integers(1, 3),
)


@settings(deadline=None)
@given(st.lists(EVENT, max_size=25))
def test_a_row_equals_the_slow_reference(events: list[tuple[list[bytes], int, int, int, int]]) -> None:
    """Weights, times, admission, eviction and slots are those of the rule applied one edge at a time."""
    row: list[Edge] = []
    slow = reference.Row(OWN)
    for number, (partners, time_ms, eta, neighbours, newcomers) in enumerate(events):
        rule = {"eta": eta, "neighbours": neighbours, "newcomers": newcomers}
        row = touch(row, f"e{number}", partners, time_ms, **rule)
        slow.strengthen(
            partners, reference.event_hash(f"e{number}"), time_ms=time_ms, half_life_ms=HALF_LIFE_MS, **rule
        )
        assert row == [Edge(edge.neighbour, edge.weight, edge.as_of_ms) for edge in slow.edges]
        assert len(row) <= neighbours
        assert all(0 < edge.weight <= CAP for edge in row)


@settings(deadline=None)
@given(st.lists(EVENT, max_size=25))
def test_what_an_event_did_is_counted(events: list[tuple[list[bytes], int, int, int, int]]) -> None:
    """Edges that gained are the partners that were there; those that came in are the partners that are new."""
    row: list[Edge] = []
    for number, (partners, time_ms, eta, neighbours, newcomers) in enumerate(events):
        rule = Rule(half_life_ms=HALF_LIFE_MS, neighbours=neighbours, newcomers=newcomers)
        rows, touches = arranged(row, f"e{number}", partners, time_ms, eta, neighbours)
        done = strengthen(rows, touches, rule)
        after = unpack(pack_rows(rows)[0])
        gained = {edge.neighbour for edge in after} & set(partners)
        assert done.updated + done.created == len(gained)
        assert done.created >= len(gained - {edge.neighbour for edge in row})
        assert len(row) > neighbours or done.created == len(gained - {edge.neighbour for edge in row})
        row = after


def test_weights_stop_at_the_cap() -> None:
    """However often a pair is touched, its weight is at most 1."""
    row: list[Edge] = []
    for number in range(80):
        row = touch(row, f"e{number}", [memory(1)], NOW)
    assert row == [Edge(memory(1), CAP, NOW)]


def test_time_never_runs_backwards_on_an_edge() -> None:
    """An event from the past adds its η, decays nothing and leaves as-of alone."""
    row = touch([Edge(memory(1), ETA, NOW)], "late", [memory(1)], NOW - 90 * DAY_MS)
    assert row == [Edge(memory(1), 2 * ETA, NOW)]


def test_newcomers_take_free_slots_in_event_order() -> None:
    """While there is room, everybody gets in, in the order of the event."""
    partners = [memory(3), memory(1), memory(2)]
    assert [edge.neighbour for edge in touch([], "e", partners, NOW)] == partners


STRONG = [Edge(memory(number), CAP // 2 + number, NOW) for number in range(4)]


def test_one_time_newcomers_do_not_displace_strong_edges() -> None:
    """Thousands of partners that come once cost a row its P weakest edges and no more."""
    row = STRONG
    for number in range(500):
        row = touch(row, f"e{number}", [memory(100 + 3 * number + one) for one in range(3)], NOW + number)
    assert row[2:] == STRONG[2:]
    assert all(edge.weight == ETA for edge in row[:2])


def test_a_newcomer_that_comes_again_and_again_displaces_stale_neighbours() -> None:
    """A new partner beside ever other ones gets its turn, stays, and outgrows what it found."""
    row, regular = STRONG, memory(50)
    for number in range(60):
        others = [memory(100 + 7 * number + one) for one in range(7)]
        row = touch(row, f"e{number}", [*others, regular], NOW + number * DAY_MS)
    weights = {edge.neighbour: edge.weight for edge in row}
    assert weights[regular] == max(weights.values())
    assert memory(0) not in weights


def test_a_strong_stale_edge_outlives_a_weak_recent_one() -> None:
    """What fades first goes: the recent edge here has less left at every later moment."""
    stale, recent = Edge(memory(1), CAP, NOW - 2 * HALF_LIFE_MS), Edge(memory(2), CAP // 5, NOW)
    row = touch([stale, recent], "e", [memory(3)], NOW, neighbours=2, newcomers=1)
    assert [edge.neighbour for edge in row] == [memory(1), memory(3)]


def test_what_was_touched_in_an_event_is_not_replaced_in_it() -> None:
    """A weak partner that the event names keeps its slot against the event's newcomers."""
    row = [Edge(memory(1), 1, NOW), *STRONG[2:]]
    row = touch(row, "e", [memory(1), memory(8), memory(9)], NOW, eta=1, neighbours=3, newcomers=1)
    assert row[0] == Edge(memory(1), 2, NOW)
    assert row[1].neighbour in {memory(8), memory(9)}


def test_everybody_has_the_same_chance_of_getting_in() -> None:
    """Over many events the place in the event does not matter for who replaces."""
    partners = [memory(100 + number) for number in range(14)]
    admitted = dict.fromkeys(partners, 0)
    for number in range(700):
        for edge in touch(STRONG, f"e{number}", partners, NOW):
            if edge.neighbour in admitted:
                admitted[edge.neighbour] += 1
    # two of fourteen each time: 100 expected, and 5 standard deviations are 46
    assert all(54 < times < 146 for times in admitted.values())


@pytest.mark.parametrize("neighbours", [2, 3])
def test_a_row_that_is_too_long_is_shortened_when_touched(neighbours: int) -> None:
    """After the settings shrank, the edges that fade first go and the others keep their order."""
    row = touch(STRONG, "e", [STRONG[3].neighbour], NOW, neighbours=neighbours)
    assert [edge.neighbour for edge in row] == [edge.neighbour for edge in STRONG[-neighbours:]]
