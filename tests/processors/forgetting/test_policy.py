"""Forgetting: only what is weak and old and not recalled lately, at a stated time."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.events import SPACE
from fakes.turns import NOON, turn
from helamem.processors.forgetting.policy import ForgettingPolicy, forgettable
from helamem.processors.hebbian.decay import CAP
from helamem.processors.hebbian.packing import Edge, pack
from helamem.processors.store.port import EdgeRow, Turn
from helamem.schemas.ids import id_bytes, memory_id
from helamem.schemas.records import Position
from helamem.schemas.times import to_ms

DAY_MS = 86_400_000
NOW_MS = to_ms(NOON)
HALF_LIFE_MS = 30 * DAY_MS
POLICY = ForgettingPolicy(weaker_than=0.02, older_than_days=180, not_recalled_for_days=90)


def said(number: int, days_ago: float, *, hidden: bool = False) -> Turn:
    """Return a turn that was said so many days ago."""
    made = turn(number, f"Turn {number}.")
    return msgspec.structs.replace(made, time_ms=NOW_MS - int(days_ago * DAY_MS), hidden=hidden)


def row(number: int, *edges: tuple[float, float]) -> EdgeRow:
    """Return an edge row with edges as weight (fraction of the cap) and days since they were touched."""
    packed = pack(
        [
            Edge(id_bytes(memory_id(SPACE, f"n{n}")), int(weight * CAP), NOW_MS - int(days * DAY_MS))
            for n, (weight, days) in enumerate(edges)
        ]
    )
    return EdgeRow(space=SPACE, memory_id=memory_id(SPACE, f"m{number}"), position=Position(1, 1), neighbours=packed)


def chosen(turns: list[Turn], rows: list[EdgeRow], policy: ForgettingPolicy = POLICY) -> list[str]:
    """Return the message ids of what may be forgotten."""
    by_id = {one.id: one for one in turns}
    found = forgettable(by_id, {one.memory_id: one for one in rows}, policy, NOW_MS, HALF_LIFE_MS)
    return [one.message_id for one in found]


@pytest.mark.parametrize(
    ("days_ago", "edges", "goes"),
    [
        (180, [], True),  # exactly as old as it must be
        (179.99, [], False),  # not old
        (400, [], True),  # never recalled with another
        (400, [(0.01, 100)], True),
        (400, [(0.5, 100)], False),  # still strong: 0.5 · 2^(−100/30) = 0.0496
        (400, [(0.15, 100)], True),  # faded: 0.15 · 2^(−100/30) = 0.0149
        (400, [(0.01, 100), (0.001, 89)], False),  # recalled lately, however weakly
        (400, [(0.01, 100), (0.001, 90)], True),
        (400, [(0.15, 100), (0.15, 100)], False),  # strong together
        (400, [(0.001, -5)], False),  # recalled in what is now the future
    ],
)
def test_all_three_conditions_must_hold(days_ago: float, edges: list[tuple[float, float]], goes: bool) -> None:  # noqa: FBT001 - a table's column
    """Weak now, old, and not recalled lately."""
    assert (chosen([said(0, days_ago)], [row(0, *edges)] if edges else []) == ["m0"]) is goes


def test_hidden_memories_are_passed_over() -> None:
    """What is forgotten is not forgotten again."""
    assert chosen([said(0, 400, hidden=True), said(1, 400)], []) == ["m1"]


def test_the_oldest_comes_first() -> None:
    """Ties go by id."""
    turns = [said(0, 200), said(1, 400), said(2, 300), said(3, 300)]
    tied = sorted(["m2", "m3"], key=lambda name: memory_id(SPACE, name))
    assert chosen(turns, []) == ["m1", *tied, "m0"]


def test_each_says_why() -> None:
    """Age, strength now and when it was last recalled are what a person decides by."""
    (one,) = forgettable(
        {memory_id(SPACE, "m0"): said(0, 400.5)},
        {memory_id(SPACE, "m0"): row(0, (0.016, 120), (0.01, 150))},
        POLICY,
        NOW_MS,
        HALF_LIFE_MS,
    )
    assert (one.age_days, one.text, one.last_recalled_ms) == (400, "Turn 0.", NOW_MS - 120 * DAY_MS)
    assert one.strength == pytest.approx(0.016 / 16 + 0.01 / 32, abs=2e-6)


@given(
    days=st.lists(st.floats(0, 500), min_size=1, max_size=8),
    edges=st.lists(st.lists(st.tuples(st.floats(0.0001, 1), st.floats(0, 500)), max_size=4), min_size=8, max_size=8),
    stricter=st.tuples(st.floats(0, 0.02), st.integers(180, 400), st.integers(90, 400)),
)
def test_a_stricter_policy_never_forgets_more(
    days: list[float], edges: list[list[tuple[float, float]]], stricter: tuple[float, int, int]
) -> None:
    """Tightening any condition only takes memories off the list."""
    turns = [said(n, age) for n, age in enumerate(days)]
    rows = [row(n, *some) for n, some in enumerate(edges[: len(turns)]) if some]
    policy = ForgettingPolicy(weaker_than=stricter[0], older_than_days=stricter[1], not_recalled_for_days=stricter[2])
    assert set(chosen(turns, rows, policy)) <= set(chosen(turns, rows))
