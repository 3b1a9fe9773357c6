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

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec

from helamem.processors.store.edge_rewrite import rewrite_shards
from helamem.schemas.errors import BadInput
from helamem.streams.embedding_cache import forget_vectors
from helamem.streams.erasure.copies import Copies
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
from helamem.streams.home import Home
from helamem.streams.ingest.incoming import record_of
from helamem.streams.instance import Instance
from helamem.streams.sealing.erasures import read_erased
from helamem.streams.sealing.files import sync_directory, write_secret

Work = tuple[Instance, Callable[[], Awaitable[object]]]
"""An open instance, and what processes all that is in its log."""
Opened = Callable[[], AbstractAsyncContextManager[Work]]


class UnfinishedError(BadInput):
    """Another erasure was interrupted, and has to be finished first.

    Args:
        other: Which.
    """

    def __init__(self, other: Named) -> None:
        super().__init__(
            f"the erasure of {other.subject} in {other.space} was interrupted; finish it first: helamem erase "
            f"{other.subject} --space {other.space}"
        )
        self.space = other.space


async def erase(home: Path, opened: Opened, *, space: str, subject: str, dry_run: bool = False) -> Erasure:
    """Erase what a data subject said in a space, and what was distilled from it.

    Args:
        home: The home; nobody else writes it.
        opened: Opens it.
        space: Where.
        subject: Who, as messages name their data subjects.
        dry_run: Only say what would be erased.

    Raises:
        BadInput: Nothing in the space is theirs, another erasure was interrupted (`UnfinishedError`), or the home has
            no log of its own.
        ConfigurationError: Another process writes the home, takes snapshots of it or uses a past state (`InUseError`).
            Where one began to while the erasure was at work, the same erasure goes on once it has ended.
        RetryLater: The disk is full; the same erasure goes on from there.
    """
    named = Named(space, subject)
    with Copies(home) as copies:
        async with opened() as (instance, process):
            pending = _pending(instance.home, named)
            await process()
            found = await survey(instance.log, instance.keys, instance.embedder.name, named)
            keys = live_keys(instance.keys, named)
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
                raise stranger(named)
            if not (pending or found.memories or found.facts or theirs):
                return msgspec.structs.replace(size, keys=0, erased_before=True)
            if dry_run:
                return size
            copies.lock()
            write_secret(instance.home.erasing_path, msgspec.json.encode(named))
            retire_keys(instance.keys, named)
            await instance.log.append([record_of(event) for event in erasing_events(named, found, keys)])
            await process()
            erased = await read_erased(instance.log)
            dimension, language = instance.embedder.dimension, instance.settings.encoding.language
        with Home.open(home, create=False) as held:
            forget_vectors(held.embeddings_path, found.vectors)
            rewrite_shards(held.store_path, dimension, language, erased.has)
            copies.remove()
            if held.keys_path.is_dir():
                from helamem.streams.sealing.keys import KeyFiles  # noqa: PLC0415 - it imports cryptography

                destroy_keys(KeyFiles(held.keys_path), named, erased)
    async with opened() as (instance, process):
        await process()
        again = await distil_again(instance.store, instance.log, space, found.hubs)
        await process()
        instance.home.erasing_path.unlink(missing_ok=True)
        sync_directory(instance.home.path)
    return msgspec.structs.replace(size, distilled_again=again)


def _pending(home: Home, named: Named) -> bool:
    """Return whether this erasure was interrupted."""
    if home.projection_of is not None:
        raise BadInput(
            f"{home.path} was filled by a replay and has no log of its own; erase in {home.projection_of}, then remove "
            "it or replay again"
        )
    if not home.erasing_path.exists():
        return False
    other = msgspec.json.decode(home.erasing_path.read_bytes(), type=Named)
    if other != named:
        raise UnfinishedError(other)
    return True
