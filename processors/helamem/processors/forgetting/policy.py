"""Forgetting: what is weak AND old AND not recalled lately may go, then the least used beyond a budget.

HeLa-Mem (arXiv 2604.16839) prunes weak memories; its reference code never calls that. Here it is a pure decision over
what the log became, taken at a stated moment of event time; the caller writes it to the log as `memory.forgotten`.

- The **strength** of a memory is the sum of the weights of its learned edges, each decayed to the moment
  (`Σ decayed(w, t − as-of)`, module `hebbian.decay`). It is what makes a hub.
- It was **used** when it was said, and whenever a recall returned it, an agent said that it used it, or a recall
  returned a fact whose words are from it.
- Its **worth** is its strength and what an edge of the full weight of 1 would be now, had it been made when the memory
  was last used. So of two memories without edges the one used later is worth more, and an edge outweighs that only
  while it is strong. Ties go by the time of last use, then by id.

All of it is whole numbers: the same memories, edges, facts and uses choose the same, in whatever order they come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Literal, NamedTuple, get_args

import numpy as np
from msgspec import Struct

from helamem.processors.consolidation.standing import ended, sources
from helamem.processors.hebbian.decay import CAP, decayed, decayed_array, tick, ticks
from helamem.processors.hebbian.hubs import NEVER
from helamem.processors.hebbian.packing import unpack_rows
from helamem.processors.store.port import EdgeRow, FactRecord, Turn
from helamem.schemas.events import EventData, MemoryRecalled, MemoryReinforced
from helamem.schemas.settings import ForgettingPolicy

Reason = Literal["faded", "over-budget"]
REASONS: tuple[Reason, ...] = get_args(Reason)
_DAY_MS = 86_400_000
_ROWS_AT_ONCE = 4096
_SPEAKER = "speaker:"


class Forgettable(Struct, frozen=True, kw_only=True):
    """A memory that the policy would hide, with its reasons."""

    space: str
    memory_id: str
    message_id: str
    text: str
    reason: Reason
    """faded: all three conditions hold. over-budget: the space holds too many, and the others are worth more."""
    age_days: int
    strength: float
    """A fraction of the cap, so 1 is one edge of the full weight."""
    last_recalled_ms: int | None


class Choice(Struct, frozen=True, kw_only=True):
    """What a policy does to one space at one moment."""

    space: str
    policy: ForgettingPolicy
    memories: tuple[Forgettable, ...]
    """What goes, oldest first, ties by id."""
    visible: int
    """Memories before, of those that were said by then."""
    spared: dict[str, int]
    """Memories that have faded and are protected, by the first of the policy's kinds that protects them."""
    excess: int
    """By how many memories the budget is still exceeded, since all that is left is protected."""

    @property
    def counts(self) -> dict[Reason, int]:
        """How many go, by reason."""
        found = Counter(one.reason for one in self.memories)
        return {reason: found[reason] for reason in REASONS}


class _Linked(NamedTuple):
    """What the edges of a memory say."""

    strength: int
    """In units of 2⁻³²."""
    last_ms: int | None
    """When it was last recalled together with another, as far as they know."""


_UNLINKED = _Linked(0, None)


class _Judged(NamedTuple):
    """A memory as the policy sees it; compared by what it is worth."""

    worth: int
    used_ms: int
    id: str
    turn: Turn
    strength: int
    last_recalled_ms: int | None
    faded: bool
    protected: str | None


def note_use(uses: MutableMapping[str, int], data: EventData, time_ms: int) -> None:
    """Note in `uses`, the last use in event time by id of memory or fact, what an event of recalls says of it.

    Args:
        uses: What is known; changed in place. In whatever order the events of a space come, it comes out the same.
        data: The event.
        time_ms: Its time.
    """
    match data:
        case MemoryRecalled():
            used: Iterable[str] = (result.id for result in data.results)
        case MemoryReinforced():
            used = data.memory_ids
        case _:
            return
    for id_ in used:
        uses[id_] = max(uses.get(id_, time_ms), time_ms)


def choose(
    space: str,
    turns: Mapping[str, Turn],
    rows: Mapping[str, EdgeRow],
    facts: Iterable[FactRecord],
    uses: Mapping[str, int],
    *,
    policy: ForgettingPolicy,
    now_ms: int,
    half_life_ms: int,
) -> Choice:
    """Return what of one space goes by a policy.

    Args:
        space: Whose memories they are.
        turns: The memories of the space by id; hidden ones, and what is said later, are passed over.
        rows: Their edge rows by memory id; a memory without one was never recalled together with another.
        facts: The facts of the space.
        uses: When memories and facts were last used, by id; see `note_use`. What edges tell is added.
        policy: What may go.
        now_ms: The moment of the decision, event time.
        half_life_ms: Half-life of a learned weight.
    """
    facts = [*facts]
    used = _with_facts(uses, facts)
    gone = {id_ for id_, turn in turns.items() if not turn.visible}
    visible = {id_: turn for id_, turn in turns.items() if id_ not in gone and turn.time_ms <= now_ms}
    kinds = _Kinds(policy, _of_facts(facts, gone, now_ms) if "facts" in policy.protected else ())
    judge = partial(_judged, policy=policy, now_ms=now_ms, half_life_ms=half_life_ms)
    linked = _linked([rows[id_] for id_ in visible if id_ in rows], now_ms, half_life_ms)
    judged = [
        judge(turn, linked.get(id_, _UNLINKED), used.get(id_), kinds.of(turn, rows.get(id_)))
        for id_, turn in visible.items()
    ]
    faded = [one for one in judged if one.faded and one.protected is None]
    beyond = [] if policy.budget is None else _beyond(policy.budget, judged, len(faded))
    left = len(judged) - len(faded) - len(beyond)
    chosen = [_forgettable(one, "faded", now_ms) for one in faded]
    chosen += [_forgettable(one, "over-budget", now_ms) for one in beyond]
    return Choice(
        space=space,
        policy=policy,
        memories=tuple(sorted(chosen, key=lambda one: (visible[one.memory_id].time_ms, one.memory_id))),
        visible=len(judged),
        spared=dict(sorted(Counter(one.protected for one in judged if one.faded and one.protected).items())),
        excess=0 if policy.budget is None else max(0, left - policy.budget),
    )


def _beyond(budget: int, judged: list[_Judged], gone: int) -> list[_Judged]:
    """Return those worth the least, so many that with what is gone already the budget is kept, if it can be."""
    may_go = sorted(one for one in judged if one.protected is None and not one.faded)
    return may_go[: max(0, len(judged) - gone - budget)]


def _linked(rows: Sequence[EdgeRow], now_ms: int, half_life_ms: int) -> dict[str, _Linked]:
    """Return what the edge rows say of their memories; thousands at once, since a space may have millions of edges."""
    found: dict[str, _Linked] = {}
    now = tick(now_ms, half_life_ms)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[start : start + _ROWS_AT_ONCE]
        edges = unpack_rows([row.neighbours for row in some], 1)
        strengths = decayed_array(edges.weights, now - ticks(edges.as_of, half_life_ms)).sum(axis=1).tolist()
        lasts = np.where(edges.weights > 0, edges.as_of, -1).max(axis=1).tolist()
        for row, strength, last in zip(some, strengths, lasts, strict=True):
            found[row.memory_id] = _Linked(strength, None if last < 0 else last)
    return found


def _judged(
    turn: Turn,
    linked: _Linked,
    used_ms: int | None,
    protected: str | None,
    *,
    policy: ForgettingPolicy,
    now_ms: int,
    half_life_ms: int,
) -> _Judged:
    strength = linked.strength
    last = max((time_ms for time_ms in (linked.last_ms, used_ms) if time_ms is not None), default=None)
    latest = turn.time_ms if last is None else max(turn.time_ms, last)
    return _Judged(
        worth=strength + decayed(CAP, tick(now_ms, half_life_ms) - tick(latest, half_life_ms)),
        used_ms=latest,
        id=turn.id,
        turn=turn,
        strength=strength,
        last_recalled_ms=last,
        faded=(
            strength / CAP < policy.weaker_than
            and now_ms - turn.time_ms >= policy.older_than_days * _DAY_MS
            and (last is None or now_ms - last >= policy.not_recalled_for_days * _DAY_MS)
        ),
        protected=protected,
    )


def _forgettable(one: _Judged, reason: Reason, now_ms: int) -> Forgettable:
    return Forgettable(
        space=one.turn.space,
        memory_id=one.id,
        message_id=one.turn.message_id,
        text=one.turn.text,
        reason=reason,
        age_days=(now_ms - one.turn.time_ms) // _DAY_MS,
        strength=round(one.strength / CAP, 6),
        last_recalled_ms=one.last_recalled_ms,
    )


def _with_facts(uses: Mapping[str, int], facts: Iterable[FactRecord]) -> dict[str, int]:
    """Return when memories were last used, also by a fact whose words are from them."""
    used = dict(uses)
    for fact in facts:
        if (time_ms := uses.get(fact.id)) is not None:
            for id_ in sources(fact):
                used[id_] = max(used.get(id_, time_ms), time_ms)
    return used


class _Kinds:
    """What the policy protects.

    Args:
        policy: Names the kinds.
        of_facts: Ids of the memories that the facts protect.
    """

    def __init__(self, policy: ForgettingPolicy, of_facts: Iterable[str]) -> None:
        self._protected = policy.protected
        self._of_facts = set(of_facts)

    def of(self, turn: Turn, row: EdgeRow | None) -> str | None:
        """Return the first kind that protects a memory, or None."""
        return next((kind for kind in self._protected if self._is(kind, turn, row)), None)

    def _is(self, kind: str, turn: Turn, row: EdgeRow | None) -> bool:
        match kind:
            case "facts":
                return turn.id in self._of_facts
            case "hubs":
                return row is not None and row.hub_formed_ms != NEVER
            case "user" | "agent":
                return turn.role == kind
            case _:
                return turn.speaker == kind.removeprefix(_SPEAKER)


def _of_facts(facts: Iterable[FactRecord], gone: Container[str], now_ms: int) -> Iterator[str]:
    """Yield what the words of facts are from that are recalled and hold; what only confirms them is none of it."""
    standing = [fact for fact in facts if not (fact.hidden or fact.erased or any(id_ in gone for id_ in sources(fact)))]
    over = ended(standing, now_ms)
    for fact in standing:
        if fact.id not in over:
            yield from sources(fact)
