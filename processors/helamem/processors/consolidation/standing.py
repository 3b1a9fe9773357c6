"""Stored facts and what holds of them: reads what belongs together and asks `validity`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from helamem.processors.consolidation.claims.claim import slot_of
from helamem.processors.consolidation.validity import End, Stated, ends
from helamem.processors.store.payload import slot_id
from helamem.processors.store.port import FactRecord, MemoryStore


def stated(fact: FactRecord) -> Stated:
    """Return what a fact states."""
    return Stated(
        id=fact.id,
        slot=slot_of(fact.subject, fact.key) if fact.key else None,
        value=fact.value,
        from_ms=fact.valid_from_ms,
        order=(fact.position.generation, fact.position.offset),
        supersedes=fact.supersedes,
    )


def ended(facts: Iterable[FactRecord], as_of_ms: int) -> dict[str, End]:
    """Return which facts hold no longer at a moment; those that are hidden or came later count for nothing."""
    visible = [fact for fact in facts if not (fact.hidden or fact.erased)]
    found = ends(map(stated, visible), as_of_ms)
    for fact in visible:
        told = fact.valid_until_ms
        if told is not None and told <= as_of_ms and (fact.id not in found or told < found[fact.id].at_ms):
            found[fact.id] = End(told, found[fact.id].by if fact.id in found else "")
    return found


async def related(store: MemoryStore, space: str, facts: Sequence[FactRecord]) -> dict[str, FactRecord]:
    """Return facts with all others of their space that may end them, by id."""
    topics = {slot_id(space, fact.subject, fact.key) for fact in facts if fact.key} | {fact.id for fact in facts}
    return await store.facts_about(space, sorted(topics)) | {fact.id: fact for fact in facts}


def sources(fact: FactRecord) -> tuple[str, ...]:
    """Return the ids of the memories that the words of a fact are from."""
    return fact.evidence[: fact.sources] if fact.sources else fact.evidence


async def withdrawn(store: MemoryStore, space: str, facts: Sequence[FactRecord]) -> set[str]:
    """Return the ids of those facts whose words are from a memory that is forgotten or erased.

    A restored memory brings them back: nothing is written for it.
    """
    wanted = sorted({id_ for fact in facts for id_ in sources(fact)})
    turns = await store.turns(space, wanted) if wanted else {}
    gone = {id_ for id_, turn in turns.items() if turn.hidden or turn.erased}
    return {fact.id for fact in facts if gone.intersection(sources(fact))}
