"""Replay: a fresh projection from the log, with nothing written back and nobody called.

A replay fills a home of its own; `rebuild` says how it folds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypedDict, TypeVar, Unpack

from msgspec import structs

from helamem.processors.coactivation.processor import GROUP as CO_ACTIVATION
from helamem.processors.coactivation.processor import CoActivation
from helamem.processors.embedder.choose import choose_embedder, full_name, is_recorded
from helamem.processors.embedder.port import Embedder
from helamem.processors.encoding.processor import Encoding
from helamem.processors.encoding.state import embedded_by
from helamem.processors.port import Processor
from helamem.processors.store.checkpoints import CheckpointFiles
from helamem.processors.store.edge_shards import make_store
from helamem.processors.store.port import MemoryStore
from helamem.schemas.errors import BadInput, RetryLater
from helamem.schemas.records import TopicPartition, base_name_of
from helamem.schemas.settings import Settings
from helamem.schemas.topics import CONVERSATIONS, EFFECTS, TOPICS
from helamem.streams.derived import Derived
from helamem.streams.effects.replayed import Reading, recorded_sources, replayed_vectors
from helamem.streams.home import Asked, Home, wall_clock_ms
from helamem.streams.log.generation import specs_in
from helamem.streams.log.port import Log
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.moments import Vector, generation_in, moment, written
from helamem.streams.rebuild import GROUPS, Only, Part, Replayed, part_of, rebuild, refold
from helamem.streams.sealing.erasures import read_erased
from helamem.streams.sealing.opening import opener
from helamem.streams.settings_log import SPACE as SETTINGS
from helamem.streams.settings_log import settings_at
from helamem.streams.store_process.child import ChildStore, OwnStore, child_store, own_store

if TYPE_CHECKING:
    from helamem.streams.log.kafka_settings import KafkaSettings

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

FEW = 15_000
"""Messages that this process writes in less time than a child takes to start and to end."""


class Wanted(TypedDict, total=False):
    """What of a log is wanted; all of it, unless told otherwise."""

    until: str | Vector | None
    """Take what belongs to this moment (see `moments.moment`), or to these positions; None takes all."""
    since: str | None
    """Go on from this moment, at which a replay into the same home ended; None begins at the beginning."""
    spaces: Sequence[str]
    """Only what is of these spaces; none is all."""
    only: Only | None
    """Only this part, so that only this part of the digest is that of the log."""
    embedder: Embedder | None
    """What the settings in the log name, where it has to be put together by hand."""
    re_embed: str | None
    """Embed everything by the model of this name, whatever the log says; where that is a service, it is asked for what
    it has not answered yet."""
    keys: Path | None
    """Directory of the keys that open sealed words; a home's own, unless told otherwise."""
    on_progress: Callable[[int, int], None]
    """Told how many records of how many were applied, first at the start."""
    on_retry: Callable[[RetryLater], None]
    """Told whenever something is away and will be tried again."""
    lean: bool
    """Whether the store goes without the indexes that answer many questions faster, which take their time, and without
    a write-ahead log, which is copied with it: for a state that is asked little or copied often. False unless told."""
    seed: Callable[[Home], Awaitable[object]] | None
    """Puts an earlier state of the same log into a home without a store, from which to go on."""


async def replay(source: Path, into: Path, **wanted: Unpack[Wanted]) -> Replayed:
    """Rebuild the projection of one home in another directory.

    The other directory becomes a home without a log of its own: it can be looked at, not written to. A replay that
    was interrupted leaves it unfinished, and the same replay goes on with it.

    Args:
        source: The home whose log is read; it may be in use.
        into: A new or empty directory, or one that the same replay left when it was interrupted.
        wanted: See `Wanted`.

    Raises:
        BadInput: There is no such home, its log is empty, a moment is none, or `into` holds something else.
        ConfigurationError: The log's embedder or rules are not those of this version.
        MissingRecord: The log lacks what a model answered; `into` stays unfinished.
    """
    home = Home.look(source)
    wanted.setdefault("keys", home.keys_path)
    async with await SqliteLog.open(home.log_path, TOPICS, wall_clock_ms, read_only=True) as log:
        return _proved(await _replay(log, into, rebuild, of=source, embeddings=home.embeddings_path, **wanted))


async def restate(source: Path, into: Path, **wanted: Unpack[Wanted]) -> None:
    """Rebuild a projection as `replay` does, with the same errors, and prove nothing: that would read all of it."""
    home = Home.look(source)
    wanted.setdefault("keys", home.keys_path)
    async with await SqliteLog.open(home.log_path, TOPICS, wall_clock_ms, read_only=True) as log:
        if spaces := wanted.get("spaces", ()):
            conversations = await log.partitions(CONVERSATIONS.name)
            log.narrow(conversations[0].topic, [space.encode() for space in (*spaces, SETTINGS)])
        quickly = Quickly(counted=log.count, taken=await log.committed(CO_ACTIVATION))
        await _replay(log, into, refold, of=source, embeddings=home.embeddings_path, quickly=quickly, **wanted)


async def replay_archive(archive: str, into: Path, **wanted: Unpack[Wanted]) -> Replayed:
    """Rebuild the projection of an archived log, as `replay` does that of a home, with the same errors.

    There is no cache in an archive, so a model on this machine embeds the texts anew; they are kept in `into`.

    Args:
        archive: A directory, or a URL such as `s3://bucket/path`.
        into: A new or empty directory, or one that the same replay left when it was interrupted.
        wanted: See `Wanted`.
    """
    from helamem.streams.archive.log import ArchiveLog  # noqa: PLC0415 - it imports cryptography

    number = generation_in(wanted.get("until"))
    async with await ArchiveLog.open(archive, TOPICS, generation=number) as log:
        of = f"the log that {archive} is an archive of"
        async with AsyncExitStack() as stack:
            later = [
                await stack.enter_async_context(await ArchiveLog.open(archive, TOPICS, generation=one))
                for one in await log.later()
            ]
            return _proved(await _replay(log, into, rebuild, of=of, embeddings=None, later=later, **wanted))


async def replay_kafka(into: Path, settings: KafkaSettings, **wanted: Unpack[Wanted]) -> Replayed:
    """Rebuild the projection of the fleet's log, as `replay` does that of a home, with the same errors.

    The fleet may be at work; what is appended meanwhile is left out. Of several generations it is the one in use, or
    the one that the positions of `until` name, where that is still there. Texts are embedded as of an archive.

    Args:
        into: A new or empty directory, or one that the same replay left when it was interrupted.
        settings: How to reach Kafka.
        wanted: See `Wanted`.
    """
    from helamem.streams.log.kafka_history import KafkaHistory  # noqa: PLC0415 - it imports aiokafka

    async with KafkaHistory(settings) as history:
        number = generation_in(wanted.get("until"))
        log, later = await history.at(number), await history.after(number)
        of = f"the log in Kafka at {settings.bootstrap_servers}"
        return _proved(await _replay(log, into, rebuild, of=of, embeddings=None, later=later, **wanted))


class TooMuchError(Exception):
    """A part of a log is not to be replayed here; the text is the reason, to go on from.

    Its caller knows who else can.
    """


async def restate_from(log: Log, into: Path, *, of: str, most_records: int, **wanted: Unpack[Wanted]) -> None:
    """Rebuild a projection of some spaces from an open log, as `restate` does from a home's, with the same errors.

    Args:
        log: Which is only read.
        into: A new directory.
        of: The log in words.
        most_records: More are not read: those of the partitions in which the spaces stand, whosever they are, and where
            a service embeds all that models answered.
        wanted: See `Wanted`.

    Raises:
        TooMuchError: More would have to be read, or the log has deleted some.
    """
    part = await part_of(log, wanted.get("until"), spaces=wanted.get("spaces", ()))
    begins = await log.begin_offsets(list(part.ends))
    if deleted := next((f"{at} up to {begin}" for at, begin in sorted(begins.items()) if begin), None):
        raise TooMuchError(f"{of} does not hold the records of {deleted} any more, so an archive is needed")
    records = sum(part.ends.values())
    if (embedder := wanted.get("embedder")) is not None and is_recorded(embedder.name):
        answered = await log.partitions(EFFECTS.name)
        records += sum((await log.end_offsets(answered)).values()) - sum((await log.begin_offsets(answered)).values())
    if records > most_records:
        raise TooMuchError(f"{records:,} records would have to be read, and at most {most_records:,} are")
    wanted["until"] = part.moment
    quickly = Quickly(counted=_all_of_them, taken={})
    await _replay(log, into, refold, of=of, embeddings=None, quickly=quickly, **wanted)


async def _all_of_them(_: TopicPartition, start: int, end: int, __: bytes, most: int) -> int:
    """Count records of all keys, where a log cannot say which have one without reading them."""
    return max(0, min(end - start, most))


Count = Callable[[TopicPartition, int, int, bytes, int], Awaitable[int]]
"""Returns how many records of a partition between two offsets have a key, but no more than so many."""


class Quickly(NamedTuple):
    """What a log can say so that a part of it is folded sooner."""

    counted: Count
    taken: Vector
    """Up to where co-activation took each partition when its records were new."""


async def _are_few(count: Count, part: Part, store: Path) -> bool:
    """Return whether so little is left of what some spaces said that it is written sooner than a child starts."""
    left = FEW if part.spaces else 0
    stands = _stands(store)
    for at, end in part.ends.items():
        if base_name_of(at.topic) == CONVERSATIONS.base_name:
            for space in part.spaces or ():
                left -= await count(at, stands.get(at, 0), end, space.encode(), left) if left else 0
    return left > 0


class _Done(NamedTuple, Generic[T]):
    result: T
    settings: Settings
    newly_embedded: int
    """Texts that a service was asked for."""


def _proved(done: _Done[Replayed]) -> Replayed:
    return structs.replace(done.result, settings=done.settings, newly_embedded=done.newly_embedded)


class Work(Protocol[T_co]):
    """What a replay does with a store: `rebuild`, or less."""

    async def __call__(
        self,
        log: Log,
        store: MemoryStore,
        processors: Sequence[Processor],
        part: Part,
        derived: Derived,
        *,
        settle: Callable[[], Awaitable[None]] = ...,
        on_progress: Callable[[int, int], None] = ...,
        on_retry: Callable[[RetryLater], None] = ...,
    ) -> T_co:
        """Fold a part of a log into a store."""
        ...


async def _replay(
    log: Log,
    into: Path,
    work: Work[T],
    *,
    of: Path | str,
    embeddings: Path | None,
    later: Sequence[Log] = (),
    quickly: Quickly | None = None,
    until: str | Vector | None = None,
    since: str | None = None,
    spaces: Sequence[str] = (),
    only: Only | None = None,
    embedder: Embedder | None = None,
    re_embed: str | None = None,
    keys: Path | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_retry: Callable[[RetryLater], None] = lambda error: None,
    lean: bool = False,
    seed: Callable[[Home], Awaitable[object]] | None = None,
) -> _Done[T]:
    part = await part_of(log, until, spaces=spaces, only=only)
    if quickly is not None:
        part = part._replace(taken=quickly.taken)
    if (settings := await settings_at(log, part.moment)) is None:
        place = f"the log of {of}" if isinstance(of, Path) else of
        raise BadInput(f"{place} is empty; there is nothing to replay")
    if re_embed is not None:
        re_embed = full_name(re_embed)
        settings = embedded_by(settings, re_embed)
    if since is not None:
        _check_continues(into, part, await moment(log, since), since)
    asked = Asked(
        until=until if until is None or isinstance(until, str) else written(until),
        since=since,
        spaces=tuple(sorted(set(spaces))),
        only=only,
        embedder=re_embed,
    )
    name = settings.encoding.embedder
    if re_embed is not None or not is_recorded(name):
        embedder = embedder or choose_embedder(name)
    with Home.open(into) as target, recorded_sources(log, target.effects_path) as sources:
        target.begin_projection(of, asked, settings, await specs_in(log, TOPICS))
        if seed is not None and not target.store_path.exists():
            await seed(target)
        # Under the lock and as late as can be: an erasure waits for nobody, and has to be heeded or find this in use.
        # It stands in the generation that was in use when it was made, and holds for the earlier ones too.
        erased = await read_erased(log, *later)
        few = quickly is not None and await _are_few(quickly.counted, part, target.store_path)
        async with (
            replayed_vectors(
                Reading(log, part.ends, part.spaces),
                embedder or name,
                ask=re_embed is not None,
                cache=None if re_embed is not None else embeddings,
                own=target.embeddings_path,
                index=target.effects_path,
            ) as (vectors, kept),
            _stored(target, vectors.dimension, settings.encoding.language, few=few, lean=lean) as child,
        ):
            processors = (
                Encoding(
                    child.store,
                    vectors,
                    settings,
                    spaces=part.spaces,
                    re_embed=re_embed is not None,
                    unsealer=opener(keys, erased),
                    erased=erased,
                    sources=sources,
                ),
                CoActivation(child.store, settings, spaces=part.spaces),
            )
            derived = Derived(target.derived_path)
            working = work(
                log,
                child.store,
                processors,
                part,
                derived,
                settle=child.settle,
                on_progress=on_progress,
                on_retry=on_retry,
            )
            done = await child.serving(working)
            if not lean:
                await child.serving(child.store.optimize())
        target.finish_projection()
    return _Done(done, settings, 0 if kept is None else kept.kept)


@asynccontextmanager
async def _stored(
    home: Home, dimension: int, language: str, *, few: bool, lean: bool
) -> AsyncIterator[ChildStore | OwnStore]:
    """Open what a replay writes to, made before where it has to be made otherwise."""
    if lean:
        await asyncio.to_thread(make_store, home.store_path, dimension, language, logged=False)
    opened = own_store if few else child_store
    async with opened(home, dimension=dimension, language=language) as stored:
        yield stored


def _check_continues(into: Path, part: Part, since: Vector, text: str) -> None:
    """Look whether a replay into a home ended at a moment, so that another can go on from there."""
    if not into.is_dir() or not any(into.iterdir()):
        raise BadInput(
            f"a replay folds from the beginning of the log; --from {text} only goes on in a home that was replayed "
            f"until then, and there is none at {into}"
        )
    home = Home.look(into)
    if home.unfinished:  # the same command goes on, another is refused
        return
    stands = _stands(home.store_path)
    for partition, end in part.ends.items():
        if stands.get(partition, 0) != since[partition]:
            raise BadInput(
                f"the replay in {into} ended at {partition}={stands.get(partition, 0)} and not at --from {text}, which "
                f"is {partition}={since[partition]}; name the moment at which it ended, or another directory"
            )
        if end < since[partition]:
            raise BadInput(f"--until lies before --from {text} in {partition}; a replay only goes forward")


def _stands(store: Path) -> Vector:
    """Return up to where a store is folded; there need be none."""
    kept = store / "checkpoints"
    files = CheckpointFiles(kept) if kept.is_dir() else None  # it would be made, and here nothing is written
    return {at: one.position.offset for group in GROUPS for at, one in (files.load(group) if files else {}).items()}
