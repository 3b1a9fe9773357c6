"""What lies between two projections: memories, edges and facts, added, removed and changed, by space."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import TypeVar

from msgspec import Struct

from helamem.processors.hebbian.packing import unpack
from helamem.processors.store.port import EdgeRow, FactRecord, MemoryStore, Turn
from helamem.schemas.ids import id_text

T = TypeVar("T", Turn, FactRecord)
Pair = tuple[str, str]
"""The ids of two memories in order."""


class Thing(Struct, frozen=True, kw_only=True):
    """A memory or a fact, as the later projection has it, or the earlier where it is gone."""

    id: str
    text: str
    hidden: bool


class Things(Struct, frozen=True, kw_only=True):
    """How the memories or the facts of a space differ."""

    added: tuple[Thing, ...] = ()
    removed: tuple[Thing, ...] = ()
    hidden: tuple[Thing, ...] = ()
    """Forgotten or retracted in between."""
    shown: tuple[Thing, ...] = ()
    """Restored in between."""
    changed: tuple[Thing, ...] = ()
    """Other content under the same id."""


class EdgeChange(Struct, frozen=True, kw_only=True):
    """An edge whose weight differs; weights in units of 2⁻³² as they were last touched, 0 where there is none."""

    memory_ids: Pair
    before: int
    after: int


class SpaceDifference(Struct, frozen=True, kw_only=True):
    """How two projections of a space differ."""

    memories: Things = Things()
    edges: tuple[EdgeChange, ...] = ()
    """The largest change first."""
    facts: Things = Things()


async def difference(before: MemoryStore, after: MemoryStore, space: str | None = None) -> dict[str, SpaceDifference]:
    """Return how two stores differ, by space; spaces in which they agree are left out.

    Args:
        before: The one.
        after: The other; nobody writes to either.
        space: Only this space, or None for all.
    """
    memories = await _things(before.scan_turns(space), after.scan_turns(space), _turn)
    facts = await _things(before.scan_facts(space), after.scan_facts(space), _fact)
    edges = _edge_changes(await _weights(before.scan_edges(space)), await _weights(after.scan_edges(space)))
    return {
        name: SpaceDifference(
            memories=memories.get(name, Things()), edges=edges.get(name, ()), facts=facts.get(name, Things())
        )
        for name in sorted({*memories, *facts, *edges})
    }


async def _things(
    before: AsyncIterator[T], after: AsyncIterator[T], content: Callable[[T], object]
) -> dict[str, Things]:
    """Return the differences of two collections by space; spaces without any are left out."""
    old = {(one.space, one.id): one async for one in before}
    sorts: dict[str, dict[str, list[Thing]]] = {}

    def note(sort: str, one: Turn | FactRecord) -> None:
        thing = Thing(id=one.id, text=one.text, hidden=one.hidden)
        sorts.setdefault(one.space, {}).setdefault(sort, []).append(thing)

    async for one in after:
        known = old.pop((one.space, one.id), None)
        if known is None:
            note("added", one)
            continue
        if content(known) != content(one):
            note("changed", one)
        if known.hidden != one.hidden:
            note("hidden" if one.hidden else "shown", one)
    for gone in old.values():
        note("removed", gone)
    return {
        space: Things(**{sort: tuple(sorted(found, key=lambda one: one.id)) for sort, found in by_sort.items()})
        for space, by_sort in sorts.items()
    }


def _turn(turn: Turn) -> object:
    return turn.content_hash, turn.vector_hash, turn.turn, turn.previous


def _fact(fact: FactRecord) -> object:
    claimed = fact.key, fact.value, fact.valid_from_ms, fact.valid_until_ms, fact.supersedes
    return fact.text, fact.evidence, fact.evidence_hashes, fact.hub, fact.vector_hash, claimed


async def _weights(rows: AsyncIterator[EdgeRow]) -> dict[tuple[str, Pair], int]:
    """Return the weight of every pair; where the two lists differ, the stronger one, as `helamem edges` shows it."""
    weights: dict[tuple[str, Pair], int] = {}
    async for row in rows:
        for edge in unpack(row.neighbours):
            first, second = sorted((row.memory_id, id_text(edge.neighbour)))
            key = row.space, (first, second)
            weights[key] = max(weights.get(key, 0), edge.weight)
    return weights


def _edge_changes(
    before: Mapping[tuple[str, Pair], int], after: Mapping[tuple[str, Pair], int]
) -> dict[str, tuple[EdgeChange, ...]]:
    changes: dict[str, list[EdgeChange]] = {}
    for key in before.keys() | after.keys():
        change = EdgeChange(memory_ids=key[1], before=before.get(key, 0), after=after.get(key, 0))
        if change.before != change.after:
            changes.setdefault(key[0], []).append(change)
    return {
        space: tuple(sorted(found, key=lambda one: (-abs(one.after - one.before), one.memory_ids)))
        for space, found in changes.items()
    }
