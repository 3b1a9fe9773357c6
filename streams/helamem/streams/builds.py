"""Another build of the fleet's store beside the one in use: filled from the log, compared, and switched to in one step.

Switching waits until workers have finished and stopped, so nothing is written meanwhile. Whoever starts too early
writes to the build that was in use when it started, and refuses at its next checkpoint; the other one is not touched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct, structs
from qdrant_client import AsyncQdrantClient

from helamem.processors.coactivation.processor import CoActivation
from helamem.processors.consolidation.processor import GROUP as CONSOLIDATION
from helamem.processors.digest import Digest, digest
from helamem.processors.embedder.choose import choose_embedder, full_name, is_recorded
from helamem.processors.embedder.port import Embedder
from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.processors.encoding.processor import Encoding
from helamem.processors.encoding.unsealing import Erased, NoKeys, Unsealer
from helamem.processors.store.port import MemoryStore
from helamem.processors.store.qdrant import QdrantStore
from helamem.processors.store.qdrant_builds import Collections, build_in_use, builds_there, put_in_use
from helamem.processors.store.qdrant_collections import dimension_of, translated
from helamem.processors.store.qdrant_settings import QdrantSettings
from helamem.schemas.errors import BadInput, ConfigurationError, RetryLater
from helamem.schemas.records import TopicPartition
from helamem.schemas.settings import Settings
from helamem.streams.derived import Derived
from helamem.streams.effects.replayed import Reading, recorded_sources, replayed_vectors
from helamem.streams.effects.vectors import recording
from helamem.streams.home import wall_clock_ms
from helamem.streams.lag import lags
from helamem.streams.log.port import Log
from helamem.streams.rebuild import Replayed, part_of, rebuild
from helamem.streams.sealing.erasures import Erasures
from helamem.streams.settings_log import embedded_instead, settings_in_force

AtWork = Callable[[], Awaitable[Mapping[str, int]]]
"""Returns the number of running workers of each group that has some."""
Compared = Literal["equal", "embedded anew", "not compared"]


class Server(Struct, frozen=True, kw_only=True):
    """Where the builds are."""

    client: AsyncQdrantClient
    prefix: str
    settings: QdrantSettings = QdrantSettings()


class Built(Struct, frozen=True, kw_only=True):
    """What became of a build."""

    build: int
    in_use: int
    """The build that the aliases lead to now."""
    compared: Compared
    """Whether the digest is that of the build that was in use; one embedded anew has its own, and the same links."""
    settings: Settings
    replayed: Replayed
    """Hubs are missing in it where the build was in use before: workers derived those."""


async def build_beside(
    log: Log,
    server: Server,
    work: Path,
    *,
    re_embed: str | None = None,
    embedder: Embedder | None = None,
    switch: bool = False,
    at_work: AtWork,
    unsealer: Callable[[Erased], Unsealer] = lambda erased: NoKeys(erased, put_aside=True),
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_retry: Callable[[RetryLater], None] = lambda error: None,
) -> Built:
    """Fill the next build up to the end of the log, or go on with one that is not in use; then switch, if asked to.

    Args:
        log: The fleet's. What a service answers to `re_embed` is recorded there.
        server: Where the builds are.
        work: A directory that is there, for what the build needs while it is made; it can be deleted afterwards.
        re_embed: Embed by this model; None is what embeds the build in use.
        embedder: That model, where it has to be put together by hand.
        switch: Lead the aliases to it once it is compared.
        at_work: Tells whether workers run.
        unsealer: Makes what opens sealed words; the default has no keys and passes them over.
        on_progress: Told how many records of how many were applied.
        on_retry: Told whenever something is away and will be tried again.

    Raises:
        BadInput: There is no store yet.
        RetryLater: To switch: workers run, or the build in use is behind the log.
        ConfigurationError: The new build is not what the one in use is, so nothing was switched; or it was begun with
            another embedder.
        MissingRecord: The log lacks what a service answered.
    """
    in_use, newest = await _builds(server)
    number = newest if newest > in_use else newest + 1
    live = await _open(server, in_use, await _dimension(server, in_use))
    encoded = await live.load_checkpoints(ENCODING)
    settings = await settings_in_force(log, encoded)
    if settings is None:
        raise BadInput("the log has no settings yet, so there is nothing to build from")
    if switch:
        await _refuse_work(log, live, at_work)
    anew = full_name(re_embed) if re_embed else embedded_instead(encoded)
    name = anew or settings.encoding.embedder
    if anew is not None or not is_recorded(name):
        embedder = embedder or choose_embedder(name)
    part = await part_of(log)
    erased = Erased()
    erasures = Erasures(log, erased)
    await erasures.look()
    known = erased.all()
    opener = unsealer(erased)
    derived = Derived(work / f"derived.b{number}.jsonl")
    cache, index = work / "embeddings.sqlite", work / "effects.sqlite"
    if anew is not None and embedder is not None:
        with (
            recording(embedder, log, wall_clock_ms, cache=cache, index=index) as vectors,
            recorded_sources(log, index) as sources,
        ):
            store = await _beside(log, server, number, vectors.dimension)
            encoding = Encoding(
                store,
                vectors,
                settings,
                re_embed=True,
                unsealer=opener,
                erased=erased,
                look=erasures.look,
                sources=sources,
            )
            processors = (encoding, CoActivation(store, settings))
            replayed = await rebuild(log, store, processors, part, derived, on_progress=on_progress, on_retry=on_retry)
    else:
        reading = Reading(log, part.ends, None)
        given = replayed_vectors(reading, embedder or name, ask=False, cache=None, own=cache, index=index)
        with recorded_sources(log, index) as sources:
            async with given as (vectors, _):
                store = await _beside(log, server, number, vectors.dimension)
                encoding = Encoding(
                    store, vectors, settings, unsealer=opener, erased=erased, look=erasures.look, sources=sources
                )
                processors = (encoding, CoActivation(store, settings))
                replayed = await rebuild(
                    log, store, processors, part, derived, on_progress=on_progress, on_retry=on_retry
                )
    await erasures.look()
    if await _erase_what_came_late(store, erased, known):
        replayed = structs.replace(replayed, digest=await digest(store))
    found = await settings_in_force(log, await store.load_checkpoints(ENCODING)) or settings
    same = found.encoding.embedder == settings.encoding.embedder
    compared = await _compare(log, live, store, replayed.digest, same=same)
    if switch:
        if compared == "not compared":
            raise RetryLater("records came in while builds were compared; stop whoever appends and do the same again")
        if replayed.hubs.different:
            raise ConfigurationError(
                f"{replayed.hubs.different} hubs come out of the log otherwise than they are recorded; nothing was "
                "switched; ask helamem replay --kafka whether the log gives again what it gave"
            )
        await _put_in_use(server, live, store, number, at_work)
        in_use = number
    return Built(build=number, in_use=in_use, compared=compared, settings=found, replayed=replayed)


async def switch_back(server: Server, *, at_work: AtWork) -> tuple[int, int]:
    """Lead the aliases to the build before the one in use; return the numbers of both, that one first.

    Workers go on there from where it stood, so what happened since is folded once more.

    Raises:
        BadInput: There is none before it.
        RetryLater: Workers run.
    """
    in_use, _ = await _builds(server)
    with translated():
        earlier = [number for number in await builds_there(server.client, server.prefix) if number < in_use]
    if not earlier:
        raise BadInput(f"there is no build before build {in_use}, which is in use, so there is nothing to switch to")
    live = await _open(server, in_use, await _dimension(server, in_use))
    back = await _open(server, earlier[-1], await _dimension(server, earlier[-1]))
    await _put_in_use(server, live, back, earlier[-1], at_work)
    return in_use, earlier[-1]


async def _builds(server: Server) -> tuple[int, int]:
    """Return the build in use, and the newest there is."""
    with translated():
        in_use = await build_in_use(server.client, server.prefix)
        there = await builds_there(server.client, server.prefix)
    if in_use is None:
        raise BadInput(f"the Qdrant server has no store {server.prefix} yet; start a worker, which makes it")
    return in_use, there[-1]


async def _dimension(server: Server, build: int) -> int:
    with translated():
        return await dimension_of(server.client, Collections(server.prefix, build))


async def _open(server: Server, build: int, dimension: int) -> QdrantStore:
    return await QdrantStore.open(
        server.client, dimension=dimension, prefix=server.prefix, settings=server.settings, build=build
    )


async def _beside(log: Log, server: Server, build: int, dimension: int) -> QdrantStore:
    """Open the build that is filled.

    Raises:
        ConfigurationError: It was filled from an earlier generation of the topics, whose positions it has.
    """
    store = await _open(server, build, dimension)
    current = {at for spec in Encoding.topics for at in await log.partitions(spec.name)}
    stands = (await store.load_checkpoints(ENCODING)).keys()
    if stands and not stands & current:
        raise ConfigurationError(
            f"build {build} was filled before the topics were migrated; delete its collections, whose names end in "
            f".b{build}, and build again"
        )
    return store


async def _erase_what_came_late(store: MemoryStore, erased: Erased, known: Mapping[str, set[str]]) -> bool:
    """Erase what was erased since a build was begun: a batch that was under way then may have brought it back."""
    later = {space: ids - known.get(space, set()) for space, ids in erased.all().items()}
    for space, ids in later.items():
        if ids:
            await store.erase(space, sorted(ids))
    return any(later.values())


async def _refuse_work(log: Log, live: MemoryStore, at_work: AtWork) -> None:
    if busy := await at_work():
        named = ", ".join(f"{group} ({count})" for group, count in sorted(busy.items()))
        raise RetryLater(f"workers are at work: {named}; stop them once they have finished, and try again")
    if behind := await _behind(log, live):
        raise RetryLater(f"the build in use has yet to process {behind:,} records; let workers finish, and try again")


async def _behind(log: Log, store: MemoryStore, *, but: str = "") -> int:
    async def applied(group: str) -> dict[TopicPartition, int]:
        return {at: one.position.offset for at, one in (await store.load_checkpoints(group)).items()}

    return sum(one.lag for one in await lags(log, applied) if one.group != but)


async def _compare(log: Log, live: MemoryStore, store: MemoryStore, built: Digest, *, same: bool) -> Compared:
    """Hold the new build against the one in use, where both stand at the end of the log.

    Raises:
        ConfigurationError: It is not what it has to be.
    """
    if await _behind(log, live) or await _behind(log, store, but=CONSOLIDATION):
        return "not compared"
    wanted, again = await digest(live), await digest(store)
    if await _behind(log, live):
        return "not compared"
    links = {space: part.edges for space, part in wanted.spaces.items()}
    if same and built != wanted:
        raise ConfigurationError(
            f"the new build has the digest {built.digest} and the one in use {wanted.digest}; nothing was switched; "
            "ask helamem replay --kafka which of them is that of the log"
        )
    if again != built or links != {space: part.edges for space, part in built.spaces.items()}:
        raise ConfigurationError("the new build does not hold what it was given; nothing was switched; delete it")
    return "equal" if same else "embedded anew"


async def _put_in_use(server: Server, old: MemoryStore, new: MemoryStore, number: int, at_work: AtWork) -> None:
    # What consolidation has told is no part of a replay; it goes on in the other build where it was.
    for checkpoint in (await old.load_checkpoints(CONSOLIDATION)).values():
        await new.save_checkpoint(checkpoint)
    if busy := await at_work():
        raise RetryLater(f"workers were started meanwhile: {', '.join(sorted(busy))}; stop them, and try again")
    with translated():
        await put_in_use(server.client, server.prefix, number)
