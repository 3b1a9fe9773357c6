"""Erasing a data subject: what they said is taken out of everything that a home keeps, and its keys are destroyed.

The steps are such that whoever is killed in the middle runs the same erasure again and ends where it would have ended:

1. Past states and snapshots are locked. A file in the home names the erasure; the keys seal nothing more.
2. `subject.erased` and the retractions of facts stand in the log, in one append; the memories are hidden.
3. Vectors leave the cache, the shards are written anew, past states and snapshots go. Only then, when nobody needs to
   read the words any more to know what to remove, the keys are destroyed.
4. What the facts were distilled from is distilled again from what is left, by quoting: an erasure waits for no model.
   The file goes.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
from msgspec import Struct

from helamem.processors.consolidation.extractive import ExtractiveDistiller
from helamem.processors.consolidation.processor import Consolidation
from helamem.processors.consolidation.told import Told
from helamem.processors.encoding.unsealing import Erased, NoKeys, Unsealer
from helamem.processors.store.edge_rewrite import rewrite_shards
from helamem.schemas.errors import BadInput
from helamem.schemas.events import EVERYONE, KnowledgeRetracted, SubjectErased
from helamem.schemas.ids import derived_id
from helamem.schemas.wire import Event
from helamem.streams.embedding_cache import forget_vectors
from helamem.streams.erasure.copies import Copies
from helamem.streams.erasure.survey import Remains, Survey
from helamem.streams.home import Home, wall_clock_ms
from helamem.streams.ingest.incoming import record_of
from helamem.streams.instance import Instance
from helamem.streams.log.ends import conversation_ends
from helamem.streams.sealing.erasures import read_erased
from helamem.streams.sealing.files import sync_directory, write_secret
from helamem.streams.sealing.keys import KeyStore

SOURCE = "helamem/erasure"
REASON = "distilled from words that were erased"
_MOST_IDS = 1000

Work = tuple[Instance, Callable[[], Awaitable[object]]]
"""An open instance, and what processes all that is in its log."""
Opened = Callable[[], AbstractAsyncContextManager[Work]]


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


class _Named(Struct, frozen=True):
    space: str
    subject: str


async def erase(home: Path, opened: Opened, *, space: str, subject: str, dry_run: bool = False) -> Erasure:
    """Erase what a data subject said in a space, and what was distilled from it.

    Args:
        home: The home; nobody else writes it.
        opened: Opens it.
        space: Where.
        subject: Who, as messages name their data subjects.
        dry_run: Only say what would be erased.

    Raises:
        BadInput: Nothing in the space is theirs, another erasure was interrupted, or the home has no log of its own.
        ConfigurationError: Another process writes the home, takes snapshots of it or uses a past state (`InUseError`).
            Where one began to while the erasure was at work, the same erasure goes on once it has ended.
        RetryLater: The disk is full; the same erasure goes on from there.
    """
    named = _Named(space, subject)
    with Copies(home) as copies:
        async with opened() as (instance, process):
            pending = _pending(instance.home, named)
            await process()
            found = await _survey(instance, named)
            keys = _live(instance.keys, named)
            size = Erasure(
                space=space,
                subject=subject,
                memories=len(found.memories),
                facts=len(found.facts),
                keys=len(keys),
                distilled_again=0,
                remains=found.remains,
                erased_before=False,
            )
            theirs = instance.keys.live(space, subject) if instance.keys else []
            if not (pending or found.known or theirs):
                raise BadInput(
                    f"nothing in {space} is from or about the data subject {subject}; messages name theirs in "
                    "data_subjects, or else it is their speaker"
                )
            if not (pending or found.memories or found.facts or theirs):
                return msgspec.structs.replace(size, keys=0, erased_before=True)
            if dry_run:
                return size
            copies.lock()
            write_secret(instance.home.erasing_path, msgspec.json.encode(named))
            if instance.keys is not None:
                for one in (subject, EVERYONE):
                    instance.keys.retire(space, one)
            await instance.log.append([record_of(event) for event in _events(named, found, keys)])
            await process()
            erased = await read_erased(instance.log)
            dimension, language = instance.embedder.dimension, instance.settings.encoding.language
        with Home.open(home, create=False) as held:
            forget_vectors(held.embeddings_path, found.vectors)
            rewrite_shards(held.store_path, dimension, language, erased.has)
            copies.remove()
            _destroy(held, named, erased)
    async with opened() as (instance, process):
        await process()
        again = await _distil(instance, space, found)
        await process()
        instance.home.erasing_path.unlink(missing_ok=True)
        sync_directory(instance.home.path)
    return msgspec.structs.replace(size, distilled_again=again)


def _pending(home: Home, named: _Named) -> bool:
    """Return whether this erasure was interrupted."""
    if home.projection_of is not None:
        raise BadInput(
            f"{home.path} was filled by a replay and has no log of its own; erase in {home.projection_of}, then remove "
            "it or replay again"
        )
    if not home.erasing_path.exists():
        return False
    other = msgspec.json.decode(home.erasing_path.read_bytes(), type=_Named)
    if other != named:
        raise BadInput(
            f"the erasure of {other.subject} in {other.space} was interrupted; finish it first: helamem erase "
            f"{other.subject} --space {other.space}"
        )
    return True


async def _survey(instance: Instance, named: _Named) -> Survey:
    unsealer: Unsealer = NoKeys()
    if instance.keys is not None:
        from helamem.streams.sealing.seal import Opener  # noqa: PLC0415 - it imports cryptography

        unsealer = Opener(instance.keys, Erased())
    return await Survey.of(
        instance.log, unsealer, space=named.space, subject=named.subject, embedder=instance.embedder.name
    )


def _live(keys: KeyStore | None, named: _Named) -> list[str]:
    """Return the ids of all keys that are to go: theirs, and that of what may be about anybody."""
    if keys is None:
        return []
    return [key for subject in sorted({named.subject, EVERYONE}) for key in keys.live(named.space, subject)]


def _events(named: _Named, found: Survey, keys: Sequence[str]) -> list[Event]:
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


def _destroy(home: Home, named: _Named, erased: Erased) -> None:
    """Destroy the keys that the log says are destroyed; what was made since then seals later words."""
    if not home.keys_path.is_dir():
        return
    from helamem.streams.sealing.keys import KeyFiles  # noqa: PLC0415 - it imports cryptography

    keys = KeyFiles(home.keys_path)
    for subject in (named.subject, EVERYONE):
        for key_id in keys.known(named.space, subject):
            if (named.space, key_id) in erased.keys:
                keys.destroy(named.space, subject, key_id)


async def _distil(instance: Instance, space: str, found: Survey) -> int:
    """Distil hubs again, and return how many facts came of it that were not known.

    A model that is away, refuses or cannot be read would keep this erasure from its end, and with it every other one.
    """
    if not found.hubs:
        return 0
    told = Told(None)
    async for fact in instance.store.scan_facts(space):
        if not fact.hidden:
            told.remember(space, fact.kind, fact.evidence)
    consolidation = Consolidation(instance.store, ExtractiveDistiller(), conversation_ends(instance.log))
    events = await consolidation.again(found.hubs, told)
    await instance.log.append([record_of(event) for event in events])
    return len(events)
