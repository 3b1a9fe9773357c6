"""Folding a part of a log into a fresh projection by the pump: of which nothing is written back.

What was distilled stands in the log as facts, so consolidation has nothing to do. Hubs are derived again and compared
with the recorded ones: the same log must give the same hubs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from helamem.processors.coactivation.processor import BATCH_RECORDS
from helamem.processors.coactivation.processor import GROUP as CO_ACTIVATION
from helamem.processors.digest import Digest, digest
from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.processors.port import Processor
from helamem.processors.store.port import MemoryStore
from helamem.schemas.errors import RetryLater
from helamem.schemas.records import Record, TopicPartition
from helamem.schemas.settings import Settings
from helamem.schemas.topics import CONTROL, CONVERSATIONS, FACTS, RECALLS, TopicSpec
from helamem.schemas.wire import Event
from helamem.streams.backoff import Backoff, until_done
from helamem.streams.derived import Derived, HubComparison
from helamem.streams.log.partitioner import partition_of
from helamem.streams.log.port import Log
from helamem.streams.moments import Vector, moment, now
from helamem.streams.pump import Progress, Pump
from helamem.streams.settings_log import is_settings
from helamem.streams.skimming import skimmed

Only = Literal["encoding", "edges", "facts"]
"""Parts of a projection, each folded from topics of its own."""
ONLY: dict[Only, tuple[TopicSpec, ...]] = {
    "encoding": (CONVERSATIONS, CONTROL),
    "edges": (RECALLS,),
    "facts": (FACTS,),
}
GROUPS = (ENCODING, CO_ACTIVATION)
"""The processors that a replay runs."""
_MESSAGES = 2000
"""In a batch of encoding: enough to share a flush, few enough that both processes soon have work."""
_MESSAGES_OF_ALL = 20_000
"""In one of which only some spaces' messages are taken: few of them, as a rule."""


class Replayed(Struct, frozen=True, kw_only=True):
    """What a replay came to."""

    records: int
    dead_letters: int
    """Records that were passed over because they stand in the dead letters, or would go there."""
    hubs: HubComparison
    digest: Digest
    positions: dict[str, int]
    """The moment that was replayed, by `topic/partition`."""
    settings: Settings = Settings()
    """In force in the projection: those of the log, with another embedder where one was named."""
    newly_embedded: int = 0
    """Texts that a service was asked for, where another embedder was named: their vectors are not in the log."""

    @property
    def reproduced(self) -> bool:
        """Whether the log gave again what it gave before."""
        return self.hubs.missing == 0 and self.hubs.different == 0


class Part(NamedTuple):
    """What of a log is replayed."""

    ends: Vector
    """Up to where each partition is read."""
    moment: Vector
    """The moment as a whole."""
    spaces: frozenset[str] | None
    only: Only | None
    taken: Vector = {}  # noqa: RUF012 - it is never changed
    """Up to where recalls were folded when they were new: what was none stands in the dead letters."""


async def part_of(
    log: Log, until: str | Vector | None = None, *, spaces: Collection[str] = (), only: Only | None = None
) -> Part:
    """Return what of a log is replayed; see `replay` for the arguments.

    Raises:
        BadInput: The moment is none.
    """
    if until is None:
        vector = await now(log)
    else:
        vector = await moment(log, until) if isinstance(until, str) else until
    ends: Vector = {}
    specs = ONLY[only] if only else [spec for topics in ONLY.values() for spec in topics]
    for spec in specs:
        partitions = await log.partitions(spec.name)
        numbers = {partition_of(space.encode(), len(partitions)) for space in spaces}
        ends |= {at: vector[at] for at in partitions if not spaces or at.partition in numbers}
    return Part(ends, vector, frozenset(spaces) or None, only)


async def _nothing() -> None:
    """Settle nothing: the pump has everything made durable as it goes."""


async def rebuild(
    log: Log,
    store: MemoryStore,
    processors: Sequence[Processor],
    part: Part,
    derived: Derived,
    *,
    settle: Callable[[], Awaitable[None]] = _nothing,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_retry: Callable[[RetryLater], None] = lambda error: None,
) -> Replayed:
    """Fold a part of a log into a store, from its checkpoints on; nothing is written back. Say what it came to.

    Args:
        log: What is folded.
        store: Where to.
        processors: What folds.
        part: Of the log.
        derived: Takes what would be written back.
        settle: Makes durable what `store` has put off; it is done before anything is read for what it came to.
        on_progress: Told how many records of how many were applied.
        on_retry: Told whenever something is away and will be tried again.
    """
    records = await _fold(
        log, store, processors, part, derived, settle=settle, on_progress=on_progress, on_retry=on_retry
    )
    hubs_until = part.moment if part.only in (None, "edges") else {}
    return Replayed(
        records=records,
        dead_letters=await derived.put_aside(log, GROUPS, part.ends),
        hubs=await derived.compare(log, hubs_until, part.spaces),
        digest=await digest(store),
        positions={str(at): end for at, end in part.moment.items()},
    )


async def refold(
    log: Log,
    store: MemoryStore,
    processors: Sequence[Processor],
    part: Part,
    derived: Derived,
    *,
    settle: Callable[[], Awaitable[None]] = _nothing,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_retry: Callable[[RetryLater], None] = lambda error: None,
) -> None:
    """Fold a part of a log into a store, and no more."""
    await _fold(log, store, processors, part, derived, settle=settle, on_progress=on_progress, on_retry=on_retry)


async def _fold(
    log: Log,
    store: MemoryStore,
    processors: Sequence[Processor],
    part: Part,
    derived: Derived,
    *,
    settle: Callable[[], Awaitable[None]],
    on_progress: Callable[[int, int], None],
    on_retry: Callable[[RetryLater], None],
) -> int:
    """Fold, settle, and return how many records that part of the log has."""
    begins = await log.begin_offsets(list(part.ends))
    total = sum(max(0, end - begins[at]) for at, end in part.ends.items())
    reached = dict(begins)
    for processor in processors:
        for at, one in (await store.load_checkpoints(processor.group)).items():
            if at in part.ends:
                reached[at] = max(begins[at], min(one.position.offset, part.ends[at]))

    def tell() -> None:
        on_progress(sum(reached[at] - begins[at] for at in part.ends), total)

    def note(progress: Progress) -> None:
        reached[progress.partition] = progress.end
        tell()

    tell()
    batches = (_MESSAGES if part.spaces is None else _MESSAGES_OF_ALL, BATCH_RECORDS)
    pumps = [
        Pump(
            log,
            store,
            processor,
            emit=derived.take,
            commit=_leave_alone,
            concerns=_concerning(part.spaces),
            skimmed=_skimming(part),
            batch_records=records,
            on_progress=note,
            on_retry=on_retry,
        )
        for processor, records in zip(processors, batches, strict=True)
    ]
    try:
        async with asyncio.TaskGroup() as tasks:
            for processor, pump in zip(processors, pumps, strict=True):
                tasks.create_task(_run(pump, processor, part.ends))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    await until_done(settle, backoff=Backoff(), stopping=asyncio.Event(), on_retry=on_retry)
    tell()  # whoever was told to wait is told that it goes on
    return total


async def _run(pump: Pump, processor: Processor, ends: Vector) -> None:
    """Fold all partitions: those of messages side by side, those of recalls one after the other.

    A row of edges is held back while recalls of its memory come, and there is room for the rows of one partition sooner
    than for those of all.
    """
    if RECALLS in processor.topics:
        for at, end in sorted(ends.items()):  # of topics that are not the pump's nothing is done
            await pump.run(until={at: end})
    else:
        await pump.run(until=ends)


def _concerning(spaces: Collection[str] | None) -> Callable[[Record], bool] | None:
    """Return which records have to be decoded for some spaces.

    Of other topics all have to: events of all spaces share the window within which one is known again.
    """
    if spaces is None:
        return None
    keys = {space.encode() for space in spaces}
    return lambda record: record.key in keys or record.topic != CONVERSATIONS.name or is_settings(record.value)


def _skimming(part: Part) -> Callable[[Record], Event | None]:
    """Return what reads no more than is needed of other spaces' recalls, where they are known to be good."""
    keys = {space.encode() for space in part.spaces or ()}

    def skim(record: Record) -> Event | None:
        taken = part.taken.get(TopicPartition(record.topic, record.partition), 0)
        return skimmed(record) if record.offset < taken and record.key not in keys else None

    return skim if keys and part.taken else lambda record: None


async def _leave_alone(positions: Mapping[TopicPartition, int]) -> None:
    """Commit nothing: a replay is no member of the groups that it replays."""
