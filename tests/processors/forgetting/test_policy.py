"""Forgetting: only what is weak and old and not recalled lately, at a stated time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.events import SPACE
from fakes.turns import NOON, turn
from helamem.processors.forgetting.policy import Choice, choose, note_use
from helamem.processors.hebbian.decay import CAP, decayed, tick
from helamem.processors.hebbian.packing import Edge, pack, unpack
from helamem.processors.store.port import EdgeRow, FactRecord, Turn
from helamem.schemas.events import ConversationMessage, MemoryRecalled, MemoryReinforced, RecalledResult, RecallSettings
from helamem.schemas.ids import derived_id, id_bytes, memory_id
from helamem.schemas.records import Position
from helamem.schemas.settings import ForgettingPolicy
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


def fact(number: int, *evidence: int, **claims: Any) -> FactRecord:
    """Return a fact whose evidence are these turns."""
    return FactRecord(
        id=derived_id("fact", str(number)),
        space=SPACE,
        kind="fact",
        text=f"Fact {number}.",
        subject="Mira",
        evidence=tuple(memory_id(SPACE, f"m{one}") for one in evidence),
        evidence_hashes=("",) * len(evidence),
        hub="hub",
        distiller="extractive",
        vector_hash="",
        position=Position(1, number),
        **{"valid_from_ms": NOW_MS - 300 * DAY_MS} | claims,
    )


def decided(
    turns: Iterable[Turn],
    rows: Iterable[EdgeRow] = (),
    facts: Iterable[FactRecord] = (),
    uses: Mapping[str, int] = MappingProxyType({}),
    policy: ForgettingPolicy = POLICY,
) -> Choice:
    """Return what the policy does now."""
    return choose(
        SPACE,
        {one.id: one for one in turns},
        {one.memory_id: one for one in rows},
        facts,
        uses,
        policy=policy,
        now_ms=NOW_MS,
        half_life_ms=HALF_LIFE_MS,
    )


def chosen(
    turns: Iterable[Turn],
    rows: Iterable[EdgeRow] = (),
    facts: Iterable[FactRecord] = (),
    uses: Mapping[str, int] = MappingProxyType({}),
    **policy: Any,
) -> list[str]:
    """Return the message ids of what goes."""
    found = decided(turns, rows, facts, uses, msgspec.structs.replace(POLICY, **policy))
    return [one.message_id for one in found.memories]


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
    (one,) = decided([said(0, 400.5)], [row(0, (0.016, 120), (0.01, 150))]).memories
    assert (one.space, one.reason, one.age_days, one.text) == (SPACE, "faded", 400, "Turn 0.")
    assert one.last_recalled_ms == NOW_MS - 120 * DAY_MS
    assert one.strength == pytest.approx(0.016 / 16 + 0.01 / 32, abs=2e-6)


def test_a_memory_that_was_recalled_alone_was_recalled() -> None:
    """Such a recall leaves no edge; also one that returned a fact counts, for what its words are from."""
    turns = [said(n, 400) for n in range(4)]
    confirmed = fact(0, 1, 2, sources=1, hidden=True)
    uses = {turns[0].id: NOW_MS - 89 * DAY_MS, confirmed.id: NOW_MS - 89 * DAY_MS, turns[3].id: NOW_MS - 90 * DAY_MS}
    assert sorted(chosen(turns, [], [confirmed], uses)) == ["m2", "m3"]


def test_what_events_say_of_use() -> None:
    """The latest counts, in whatever order they come; other events say nothing."""
    a, b, c = (derived_id("x", name) for name in "abc")

    def recalled(*ids: str) -> MemoryRecalled:
        results = tuple(RecalledResult(id=id_, kind="memory", path="base", score=1, base=1) for id_ in ids)
        return MemoryRecalled(query="q", as_of=0, results=results, settings=RecallSettings(), applied={})

    events = [
        (recalled(a, b), 5),
        (MemoryReinforced(recall_id="r", memory_ids=(b,)), 7),
        (recalled(a), 3),
        (recalled(c), 0),
        (ConversationMessage(message_id="m", conversation="c", speaker="Mira", text="a"), 9),
    ]
    for order in (events, events[::-1]):
        uses: dict[str, int] = {}
        for data, time_ms in order:
            note_use(uses, data, time_ms)
        assert uses == {a: 5, b: 7, c: 0}


def test_what_facts_are_from_is_protected_while_they_hold() -> None:
    """Not what only confirms one, nor what is from a fact that is over, hidden, or withdrawn with another memory."""
    turns = [*(said(n, 400) for n in range(8)), said(8, 400, hidden=True)]
    home: dict[str, Any] = {"key": "home", "value": "bergen"}
    facts = [
        fact(0, 0, 1, sources=1),
        fact(1, 2, **home),
        fact(2, 3, **home | {"value": "oslo", "valid_from_ms": NOW_MS - 200 * DAY_MS}),
        fact(3, 4, hidden=True),
        fact(4, 5, 8),
        fact(5, 6, valid_until_ms=NOW_MS - 1),
        fact(6, 7, valid_until_ms=NOW_MS + 1),
    ]
    found = decided(turns, [], facts)
    assert sorted(one.message_id for one in found.memories) == ["m1", "m2", "m4", "m5", "m6"]
    assert found.spared == {"facts": 3}
    assert len(chosen(turns, [], facts, protected=())) == 8


def test_hubs_roles_and_speakers_can_be_protected() -> None:
    """The first of the policy's kinds is the one that is named."""
    turns = [said(0, 400), msgspec.structs.replace(said(1, 400), role="agent", speaker="Bot"), said(2, 400)]
    hub = msgspec.structs.replace(row(2), hub_formed_ms=0)
    assert chosen(turns, [hub]) == sorted(["m0", "m1"], key=lambda name: memory_id(SPACE, name))
    assert chosen(turns, [hub], protected=("user",)) == ["m1"]
    assert sorted(chosen(turns, [hub], protected=("agent",))) == ["m0", "m2"]
    assert chosen(turns, [hub], protected=("speaker:Bot", "hubs")) == ["m0"]
    assert chosen(turns, [hub], protected=(f"speaker:{turns[0].speaker}",)) == ["m1"]
    kinds = ForgettingPolicy(protected=("user", "hubs"))
    assert decided(turns, [hub], policy=kinds).spared == {"user": 2}


def test_a_budget_keeps_what_was_used_most() -> None:
    """Strength counts, and how lately it was used; what has faded goes anyway."""
    turns = [said(0, 400), said(1, 1), said(2, 20), said(3, 20), said(4, 10), said(5, 10)]
    rows = [row(3, (0.9, 1))]
    uses = {turns[2].id: NOW_MS - DAY_MS // 2}
    worth_most = ["m3", "m2", "m1"]
    for budget in range(1, 7):
        found = decided(turns, rows, (), uses, msgspec.structs.replace(POLICY, budget=budget))
        reasons = {one.message_id: one.reason for one in found.memories}
        assert reasons.pop("m0") == "faded"
        assert set(reasons.values()) <= {"over-budget"}
        left = {"m1", "m2", "m3", "m4", "m5"} - reasons.keys()
        assert len(left) == min(budget, 5)
        assert set(worth_most[:budget]) <= left
        assert found.counts == {"faded": 1, "over-budget": 5 - len(left)}


def test_a_budget_yields_to_what_is_protected() -> None:
    """It is said by how much; what is said after the moment neither counts nor goes."""
    turns = [said(n, 1) for n in range(4)] + [said(9, -1)]
    found = decided(turns, [], [fact(0, 0, 1, 2)], {}, msgspec.structs.replace(POLICY, budget=2))
    assert ([one.message_id for one in found.memories], found.visible, found.excess) == (["m3"], 4, 1)


@pytest.mark.parametrize(
    "values",
    [
        {"budget": 0},
        {"older_than_days": -1},
        {"not_recalled_for_days": 40_000},
        {"weaker_than": -0.1},
        {"protected": ["everything"]},
        {"protected": ["speaker:"]},
        {"every_days": 0},
    ],
)
def test_a_policy_that_makes_no_sense_is_none(values: dict[str, Any]) -> None:
    """It is refused wherever it comes from: the log, the command line."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(values, ForgettingPolicy)


class Some(NamedTuple):
    """A space, drawn."""

    turns: list[Turn]
    rows: list[EdgeRow]
    facts: list[FactRecord]
    uses: dict[str, int]


@st.composite
def spaces(draw: st.DrawFn) -> Some:
    """Draw up to a dozen memories with edges, facts and uses."""
    size = draw(st.integers(0, 12))
    days = st.integers(-1, 400)
    turns = [
        msgspec.structs.replace(
            said(n, draw(days), hidden=draw(st.integers(0, 5)) == 0),
            role=draw(st.sampled_from(["user", "agent"])),
            speaker=draw(st.sampled_from(["Mira", "Bot"])),
        )
        for n in range(size)
    ]
    edges = st.lists(st.tuples(st.floats(0.0001, 1), st.integers(-1, 400)), max_size=3)
    rows = [
        msgspec.structs.replace(row(n, *draw(edges)), hub_formed_ms=draw(st.sampled_from([-1, 0])))
        for n in range(size)
        if draw(st.booleans())
    ]
    numbers = st.integers(0, max(0, size - 1))
    facts = [
        fact(n, *draw(st.lists(numbers, min_size=1, max_size=3, unique=True)), hidden=draw(st.booleans()))
        for n in range(draw(st.integers(0, 3)) if size else 0)
    ]
    ids = [one.id for one in turns] + [one.id for one in facts]
    uses = {id_: NOW_MS - draw(days) * DAY_MS for id_ in ids if draw(st.booleans())}
    return Some(turns, rows, facts, uses)


policies = st.builds(
    ForgettingPolicy,
    weaker_than=st.sampled_from([0.0, 0.02, 2.0]),
    older_than_days=st.integers(0, 300),
    not_recalled_for_days=st.integers(0, 300),
    protected=st.lists(st.sampled_from(["facts", "hubs", "agent", "speaker:Mira"]), unique=True).map(tuple),
    budget=st.none() | st.integers(1, 12),
)


@given(some=spaces(), policy=policies, random=st.randoms())
def test_protection_budget_and_order(some: Some, policy: ForgettingPolicy, random: Random) -> None:
    """No protected memory goes, the budget is kept exactly, and the order in which things come changes nothing."""
    found = decided(*some, policy)
    gone = {one.memory_id for one in found.memories}
    rows = {one.memory_id: one for one in some.rows}
    hidden = {one.id for one in some.turns if one.hidden}
    from_facts = {id_ for one in some.facts if not one.hidden and not hidden & {*one.evidence} for id_ in one.evidence}
    protected = {
        one.id
        for one in some.turns
        if ("facts" in policy.protected and one.id in from_facts)
        or ("hubs" in policy.protected and one.id in rows and rows[one.id].hub_formed_ms >= 0)
        or ("agent" in policy.protected and one.role == "agent")
        or ("speaker:Mira" in policy.protected and one.speaker == "Mira")
    }
    visible = {one.id for one in some.turns if not one.hidden and one.time_ms <= NOW_MS}
    assert gone <= visible - protected
    assert found.visible == len(visible)
    left = len(visible - gone)
    if policy.budget is not None:
        assert left <= max(policy.budget, len(visible & protected))
        assert found.excess == max(0, left - policy.budget)
        if found.counts["over-budget"]:
            assert left == max(policy.budget, len(visible & protected))
    for one in found.memories:
        edges = unpack(rows[one.memory_id].neighbours) if one.memory_id in rows else []
        now = tick(NOW_MS, HALF_LIFE_MS)
        strength = sum(decayed(weight, now - tick(as_of, HALF_LIFE_MS)) for _, weight, as_of in edges)
        assert one.strength == round(strength / CAP, 6)
    assert found.counts["faded"] + found.counts["over-budget"] == len(found.memories)
    random.shuffle(some.turns)
    random.shuffle(some.rows)
    random.shuffle(some.facts)
    assert decided(*some, policy) == found


@given(some=spaces(), policy=policies, data=st.data())
def test_a_stricter_policy_never_forgets_more(some: Some, policy: ForgettingPolicy, data: st.DataObject) -> None:
    """Tightening any condition, protecting more or a larger budget only takes memories off the list."""
    stricter = ForgettingPolicy(
        weaker_than=data.draw(st.floats(0, policy.weaker_than)),
        older_than_days=policy.older_than_days + data.draw(st.integers(0, 100)),
        not_recalled_for_days=policy.not_recalled_for_days + data.draw(st.integers(0, 100)),
        protected=policy.protected,
        budget=None,
    )
    looser = msgspec.structs.replace(policy, budget=None)
    before = {one.memory_id for one in decided(*some, looser).memories}
    assert {one.memory_id for one in decided(*some, stricter).memories} <= before
    assert before <= {one.memory_id for one in decided(*some, policy).memories}


def test_nothing_is_forgotten_twice() -> None:
    """Once what was chosen is hidden, the same policy at the same moment chooses nothing more."""
    turns = [said(n, 30 * n) for n in range(12)]
    policy = ForgettingPolicy(older_than_days=200, budget=4)
    gone = {one.memory_id for one in decided(turns, policy=policy).memories}
    assert len(gone) == 8
    after = [msgspec.structs.replace(one, hidden=one.id in gone) for one in turns]
    assert decided(after, policy=policy).memories == ()
