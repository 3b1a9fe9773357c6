"""The steps of an erasure that are the same in a home and in a fleet."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from msgspec import Struct

from helamem.processors.consolidation.extractive import ExtractiveDistiller
from helamem.processors.consolidation.processor import Consolidation
from helamem.processors.consolidation.told import Told
from helamem.processors.encoding.unsealing import Erased, NoKeys, Unsealer
from helamem.processors.store.port import MemoryStore
from helamem.schemas.errors import BadInput
from helamem.schemas.events import EVERYONE, HubFormed, KnowledgeRetracted, SubjectErased
from helamem.schemas.ids import derived_id
from helamem.schemas.wire import Event
from helamem.streams.erasure.survey import Cut, Remains, Survey
from helamem.streams.home import wall_clock_ms
from helamem.streams.ingest.incoming import record_of
from helamem.streams.log.ends import conversation_ends
from helamem.streams.log.port import Log
from helamem.streams.sealing.keys import KeyStore

SOURCE = "helamem/erasure"
REASON = "distilled from words that were erased"
_MOST_IDS = 1000


class Erasure(Struct, frozen=True, kw_only=True):
    """What an erasure came to, or would come to."""

    space: str
    subject: str
    memories: int
    """That lost their words, or will."""
    facts: int
    keys: int
    """That were destroyed, or will be."""
    distilled_again: int
    """Facts from what is left."""
    remains: Remains
    erased_before: bool
    """Whether nothing was left to do."""


class Named(Struct, frozen=True):
    """Who is erased, and where."""

    space: str
    subject: str


def stranger(named: Named) -> BadInput:
    """Return what is said of somebody of whom nothing is there."""
    return BadInput(
        f"nothing in {named.space} is from or about the data subject {named.subject}; messages name theirs in "
        "data_subjects, or else it is their speaker"
    )


async def survey(log: Log, keys: KeyStore | None, embedder: str, named: Named, *, cut: Cut | None = None) -> Survey:
    """Look what of a log is theirs; what is sealed is opened for as long as its keys exist."""
    unsealer: Unsealer = NoKeys()
    if keys is not None:
        from helamem.streams.sealing.seal import Opener  # noqa: PLC0415 - it imports cryptography

        unsealer = Opener(keys, Erased())
    return await Survey.of(log, unsealer, space=named.space, subject=named.subject, embedder=embedder, cut=cut)


def live_keys(keys: KeyStore | None, named: Named) -> list[str]:
    """Return the ids of all keys that are to go: theirs, and that of what may be about anybody."""
    if keys is None:
        return []
    return [key for subject in sorted({named.subject, EVERYONE}) for key in keys.live(named.space, subject)]


def retire_keys(keys: KeyStore | None, named: Named) -> list[str]:
    """Have those keys seal nothing more, and return their ids."""
    if keys is None:
        return []
    return [key for subject in sorted({named.subject, EVERYONE}) for key in keys.retire(named.space, subject)]


def erasing_events(named: Named, found: Survey, keys: Sequence[str]) -> list[Event]:
    """Return the events of the erasure; the keys come last, when everything else is said."""
    now_ms = wall_clock_ms()
    events = [
        Event(
            id=derived_id("retracted by erasure", named.space, id_),
            source=SOURCE,
            space=named.space,
            time_ms=now_ms,
            data=KnowledgeRetracted(fact_id=id_, reason=REASON),
        )
        for id_ in found.unretracted
    ]
    parts = [SubjectErased(subject=named.subject, memory_ids=part) for part in _parts(found.memories)]
    parts += [SubjectErased(subject=named.subject, fact_ids=part) for part in _parts(found.facts)]
    parts += [SubjectErased(subject=named.subject, keys=part) for part in _parts(keys)]
    return events + [
        Event(id=str(uuid.uuid4()), source=SOURCE, space=named.space, time_ms=now_ms, data=data) for data in parts
    ]


def _parts(ids: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(ids[start : start + _MOST_IDS]) for start in range(0, len(ids), _MOST_IDS)]


def destroy_keys(keys: KeyStore, named: Named, erased: Erased) -> None:
    """Destroy the keys that the log says are destroyed; what was made since then seals later words."""
    for subject in (named.subject, EVERYONE):
        for key_id in keys.known(named.space, subject):
            if (named.space, key_id) in erased.keys:
                keys.destroy(named.space, subject, key_id)


async def distil_again(store: MemoryStore, log: Log, space: str, hubs: Sequence[tuple[Event, HubFormed]]) -> int:
    """Distil hubs again, and return how many facts came of it that were not known.

    A model that is away, refuses or cannot be read would keep this erasure from its end, and with it every other one.
    """
    if not hubs:
        return 0
    told = Told(None)
    async for fact in store.scan_facts(space):
        if not fact.hidden:
            told.remember(space, fact.kind, fact.evidence)
    consolidation = Consolidation(store, ExtractiveDistiller(), conversation_ends(log))
    events = await consolidation.again(hubs, told)
    await log.append([record_of(event) for event in events])
    return len(events)
