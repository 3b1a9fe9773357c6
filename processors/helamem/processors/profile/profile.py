"""The profile of a space: what is known of its people and what its agents know, as one document.

It is put together from the facts alone, by no model: the same facts give the same profile at any time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from helamem.processors.consolidation.claims.claim import same_value, slot_of
from helamem.processors.consolidation.standing import ended, withdrawn
from helamem.processors.store.port import FactRecord, MemoryStore

MOST_QUOTES = 10
"""Statements without a key of one person, and of all agents, the newest: a profile is to be short."""


class Entry(Struct, frozen=True, kw_only=True):
    """One thing that is known."""

    key: str
    """What it says of its subject, such as `home`; empty where it is a statement like any other."""
    value: str
    text: str
    since_ms: int
    """Event time from which it holds."""
    fact_ids: tuple[str, ...]
    evidence: tuple[str, ...]
    """Ids of the memories that it rests on."""


class Person(Struct, frozen=True, kw_only=True):
    """What is known of somebody, or of something: claims by their keys, then statements, newest first."""

    subject: str
    entries: tuple[Entry, ...]


class Profile(Struct, frozen=True, kw_only=True):
    """What is known in a space at a moment."""

    space: str
    as_of_ms: int
    user_model: tuple[Person, ...]
    """By name."""
    agent_knowledge: tuple[Entry, ...]
    left_out: int
    """Older statements that are not in it."""


async def profile(store: MemoryStore, space: str, as_of_ms: int) -> Profile:
    """Return the profile of a space.

    Args:
        store: What is known; without hidden facts and those whose words are from memories that are forgotten now.
        space: Whose profile.
        as_of_ms: What holds at this event time, of what was known by then.
    """
    facts = [fact async for fact in store.scan_facts(space)]
    return profile_of(space, facts, await withdrawn(store, space, facts), as_of_ms)


def profile_of(space: str, facts: Iterable[FactRecord], gone: Collection[str], as_of_ms: int) -> Profile:
    """Return the profile that facts make.

    Args:
        space: Their space.
        facts: All of them, in any order.
        gone: Ids of those that are not to be told.
        as_of_ms: See `profile`.
    """
    told = [fact for fact in facts if not (fact.hidden or fact.erased or fact.id in gone)]
    over = ended(told, as_of_ms)
    holding = [fact for fact in told if fact.valid_from_ms <= as_of_ms and fact.id not in over]
    holding.sort(key=lambda fact: (fact.valid_from_ms, fact.id))
    people: dict[str, list[FactRecord]] = {}
    agents: list[FactRecord] = []
    for fact in holding:
        if fact.kind == "agent-knowledge":
            agents.append(fact)
        elif fact.key or fact.kind == "user-trait":
            people.setdefault(fact.subject.casefold(), []).append(fact)
    left_out = 0
    persons = []
    for _, of_one in sorted(people.items()):
        entries, older = _entries(of_one)
        persons.append(Person(subject=of_one[-1].subject, entries=entries))
        left_out += older
    knowledge, older = _entries(agents)
    return Profile(
        space=space,
        as_of_ms=as_of_ms,
        user_model=tuple(persons),
        agent_knowledge=knowledge,
        left_out=left_out + older,
    )


def _entries(facts: Sequence[FactRecord]) -> tuple[tuple[Entry, ...], int]:
    """Return claims by key and the newest other statements, and how many older ones are left out.

    Args:
        facts: The oldest first.
    """
    claims: dict[object, list[Entry]] = {}
    for fact in facts:
        if not fact.key:
            continue
        of_slot = claims.setdefault(slot_of(fact.subject, fact.key), [])
        same = next((n for n, entry in enumerate(of_slot) if same_value(entry.value, fact.value)), None)
        if same is None:
            of_slot.append(_entry(fact))
        else:
            of_slot[same] = replace(
                of_slot[same],
                fact_ids=(*of_slot[same].fact_ids, fact.id),
                evidence=tuple(dict.fromkeys((*of_slot[same].evidence, *fact.evidence))),
            )
    keyed = sorted((entry for of_slot in claims.values() for entry in of_slot), key=lambda entry: entry.key)
    quotes = [_entry(fact) for fact in reversed(facts) if not fact.key]
    return (*keyed, *quotes[:MOST_QUOTES]), max(0, len(quotes) - MOST_QUOTES)


def _entry(fact: FactRecord) -> Entry:
    return Entry(
        key=fact.key,
        value=fact.value,
        text=fact.text,
        since_ms=fact.valid_from_ms,
        fact_ids=(fact.id,),
        evidence=fact.evidence,
    )
