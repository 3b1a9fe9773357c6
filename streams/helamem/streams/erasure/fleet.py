"""Erasing a data subject from a fleet: while its workers and whoever speaks go on.

1. The keys seal nothing more. `subject.erased` and the retractions of facts stand in the log, and workers process them.
2. What was under way meanwhile is looked for, and erased in the same way, until there is nothing of it.
3. The words are taken out of the store, of each of its builds, and only then the keys are destroyed.
4. What the facts were distilled from is distilled again from what is left.

Killed or refused anywhere, the same erasure goes on: what is left to do follows from the log, the stores and the keys.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from helamem.processors.store.port import MemoryStore
from helamem.schemas.errors import RetryLater
from helamem.schemas.records import TopicPartition
from helamem.streams.erasure.steps import (
    Erasure,
    Named,
    destroy_keys,
    distil_again,
    erasing_events,
    live_keys,
    retire_keys,
    stranger,
    survey,
)
from helamem.streams.erasure.survey import Cut, Survey
from helamem.streams.ingest.incoming import record_of
from helamem.streams.log.port import Log
from helamem.streams.moments import now
from helamem.streams.sealing.erasures import read_erased
from helamem.streams.sealing.keys import KeyStore

_ROUNDS = 20
"""In which what was under way is looked for; the second finds nothing, unless an append takes very long."""


class Build(NamedTuple):
    """A store from which words go."""

    number: int | None
    """Of a build on a Qdrant server; None is the one store of a store process."""
    in_use: bool
    store: MemoryStore


class InBuild(Struct, frozen=True, kw_only=True):
    """What of the erased words a build held."""

    build: int | None
    in_use: bool
    memories: int
    facts: int


class FleetErasure(Struct, frozen=True, kw_only=True):
    """What an erasure in a fleet came to, or would come to."""

    erasure: Erasure
    builds: tuple[InBuild, ...]


class _Where(NamedTuple):
    """What one erasure has to do with."""

    log: Log
    keys: KeyStore | None
    embedder: str
    named: Named
    caught_up: Callable[[], Awaitable[None]]


async def erase_in_fleet(
    log: Log,
    builds: Sequence[Build],
    keys: KeyStore | None,
    *,
    space: str,
    subject: str,
    embedder: str,
    caught_up: Callable[[], Awaitable[None]],
    dry_run: bool = False,
) -> FleetErasure:
    """Erase what a data subject said in a space, and what was distilled from it, from all builds of the store.

    Args:
        log: The fleet's; it seals what is appended.
        builds: All that there are; one of them is in use.
        keys: What seals words, or None where none are sealed.
        space: Where.
        subject: Who, as messages name their data subjects.
        embedder: Name of what gives the vectors.
        caught_up: Returns once workers have processed all that is in the log.
        dry_run: Only say what would be erased.

    Raises:
        BadInput: Nothing in the space is theirs.
        RetryLater: Kafka, the store or workers are away; the same erasure goes on from there.
    """
    named = Named(space, subject)
    if not dry_run:
        await caught_up()
    ends = await now(log)
    found = await survey(log, keys, embedder, named)
    erased = await read_erased(log)
    left = live_keys(keys, named)
    theirs = keys.live(space, subject) if keys else []
    closed = [key for key in left if (space, key) in erased.keys]
    held = [await _held(one, space, [*erased.all().get(space, ()), *found.memories, *found.facts]) for one in builds]
    done = Erasure(
        space=space,
        subject=subject,
        memories=len(found.memories),
        facts=len(found.facts),
        keys=len(left),
        distilled_again=0,
        remains=found.remains,
        erased_before=False,
    )
    if not (found.known or theirs):
        raise stranger(named)
    undone = closed or any(one.memories or one.facts for one in held)
    if not (found.memories or found.facts or theirs or undone):
        done = replace(done, keys=0, erased_before=True)
    elif not dry_run:
        retired = retire_keys(keys, named)
        done = replace(done, keys=len(retired))
        at = _Where(log, keys, embedder, named, caught_up)
        found, done = await _say(at, found, done, retired, ends)
        erased = await read_erased(log)
        ids = sorted(erased.all().get(space, ()))
        for one in builds:
            await one.store.erase(space, ids)
        if keys is not None:
            destroy_keys(keys, named, erased)
    if not dry_run:
        live = next(one.store for one in builds if one.in_use)
        again = await distil_again(live, log, space, found.hubs)
        await caught_up()
        done = replace(done, distilled_again=again)
    return FleetErasure(erasure=done, builds=tuple(held))


async def _say(
    at: _Where, found: Survey, done: Erasure, retired: Sequence[str], ends: Mapping[TopicPartition, int]
) -> tuple[Survey, Erasure]:
    """Say in the log what is erased, until nothing is left that was under way; return the last survey."""
    cut = Cut(ends, frozenset(retired))
    fresh: Sequence[str] = retired
    for _ in range(_ROUNDS):
        await at.log.append([record_of(event) for event in erasing_events(at.named, found, fresh)])
        await at.caught_up()
        fresh = ()
        found = await survey(at.log, at.keys, at.embedder, at.named, cut=cut)
        if at.keys is not None and found.resealed:
            # Who had read the words sealed what they tell with the next key. It goes too, with what else it sealed.
            live = [key for one in sorted(found.resealed) for key in at.keys.retire(at.named.space, one)]
            fresh = [key for key in live if key not in cut.keys]
            cut = cut._replace(keys=cut.keys | {*fresh})
        if not (found.memories or found.facts or found.unretracted or fresh):
            return found, replace(done, remains=found.remains)
        done = replace(
            done,
            memories=done.memories + len(found.memories),
            facts=done.facts + len(found.facts),
            keys=done.keys + len(fresh),
        )
    raise RetryLater(
        f"words of {at.named.subject} in {at.named.space} go on coming that were sealed before the erasure began; see "
        "what appends them, and do the same again"
    )


async def _held(build: Build, space: str, ids: Sequence[str]) -> InBuild:
    """Return how many of some memories and facts a build has with their words."""
    wanted = sorted(set(ids))
    turns, facts = await build.store.turns(space, wanted), await build.store.facts(space, wanted)
    return InBuild(
        build=build.number,
        in_use=build.in_use,
        memories=sum(not turn.erased for turn in turns.values()),
        facts=sum(not fact.erased for fact in facts.values()),
    )
