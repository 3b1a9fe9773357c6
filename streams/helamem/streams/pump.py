"""The pump: the one driver of every processor, whatever the log.

It reads a batch, hands it over, and makes what the processor answered durable in a fixed order: outputs in the
log, writes in the store, the checkpoint, then the commit. Whatever is killed in between, the batch is taken again
and changes nothing twice. Following the tail it is the embedded mode; between two positions it is replay.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from helamem.processors.port import Batch, Delivery, Effects, Processor
from helamem.processors.store.port import Checkpoint, MemoryStore
from helamem.schemas.errors import ConfigurationError, MissingRecord, Poison, RetryLater
from helamem.schemas.records import NewRecord, Position, Record, TopicPartition, generation_of
from helamem.schemas.traceparent import in_headers
from helamem.schemas.wire import Event, decode
from helamem.streams.backoff import Backoff, Stopped, until_done
from helamem.streams.dead_letters import dead_letter, dead_positions, unforeseen
from helamem.streams.ingest.incoming import record_of
from helamem.streams.log.port import Log
from helamem.streams.placement import check_place

IDLE_WAIT_S = 1.0
"""How long one wait for new records lasts before a stop is looked for again."""

T = TypeVar("T")
Emit = Callable[[Sequence[NewRecord]], Awaitable[None]]
"""Makes records durable in the log, or, in a replay, compares them with what is there."""
Commit = Callable[[Mapping[TopicPartition, int]], Awaitable[None]]
"""Moves a group's positions in the log; a member of a group does it in the group's name, a replay not at all."""


class Progress(Struct, frozen=True, kw_only=True):
    """What one applied batch came to."""

    group: str
    partition: TopicPartition
    end: int
    """The offset after it."""
    records: int
    dead_letters: int
    counts: Mapping[str, int]


class Pump:
    """Drives one processor over a log into a store.

    Args:
        log: Where records come from.
        store: Where effects and checkpoints go.
        processor: What computes the effects.
        emit: Where output events and dead letters go; the default appends them to `log`.
        commit: What moves the group's position once the checkpoint stands; the default moves it in `log`.
        concerns: Whether a record has to be decoded; others are passed over. None decodes all.
        skimmed: Returns what a processor needs of a record, where that is less than its event; None decodes it.
        batch_records: Most records in one batch.
        interval_s: While following, batches begin at ticks so far apart, those of all partitions at the same ones: what
            many records change is written once, and flushes are shared. After a full batch the next one does not wait,
            nor does the first record after a rest.
        backoff: Waits while something is away.
        on_progress: Told after every applied batch.
        on_retry: Told whenever something is tried again.
        on_put_aside: Told of each record that went to the dead letters, its event if there is one, and why.
    """

    def __init__(
        self,
        log: Log,
        store: MemoryStore,
        processor: Processor,
        *,
        emit: Emit | None = None,
        commit: Commit | None = None,
        concerns: Callable[[Record], bool] | None = None,
        skimmed: Callable[[Record], Event | None] = lambda record: None,
        batch_records: int = 1000,
        interval_s: float = 0.0,
        backoff: Backoff | None = None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        on_retry: Callable[[RetryLater], None] = lambda error: None,
        on_put_aside: Callable[[Record, Event | None, Poison], None] = lambda record, event, poison: None,
    ) -> None:
        self._log = log
        self._store = store
        self._processor = processor
        self._emit = emit or self._append
        self._commit = commit or partial(log.commit, processor.group)
        self._concerns = concerns
        self._skimmed = skimmed
        self._batch_records = batch_records
        self._interval_s = interval_s
        self._backoff = backoff or Backoff()
        self._on_progress = on_progress
        self._on_retry = on_retry
        self._on_put_aside = on_put_aside
        self._stopping = asyncio.Event()
        self._begun = False
        self._offsets: dict[TopicPartition, int] = {}
        self._states: dict[TopicPartition, bytes | None] = {}
        self._dead: dict[TopicPartition, set[int]] = {}
        self._partitions: dict[str, int] = {}
        self._leaving: dict[TopicPartition, asyncio.Event] = {}
        self.counts: Counter[str] = Counter()

    def stop(self) -> None:
        """Ask for a stop: batches under way are finished, no new one is begun until `resume`."""
        self._stopping.set()
        for leaving in self._leaving.values():
            leaving.set()

    def resume(self) -> None:
        """Take back a stop; the next `run` goes on."""
        self._stopping.clear()

    async def run(self, until: Mapping[TopicPartition, int] | None = None) -> None:
        """Process records: up to the offsets `until` (exclusive), or following the log until `stop`.

        Partitions are driven side by side, each strictly in order. It may be called again and goes on where it was.

        Args:
            until: End offsets; partitions that are not named are left alone. None follows all of them.

        Raises:
            ConfigurationError: The log and the processor disagree; nothing of that batch was applied.
            MissingRecord: Likewise, where a replay needs what a model answered and the log lacks it.
        """
        try:
            if not self._begun:
                partitions = await self._patiently(self._all_partitions)
                await self.take_up(partitions)
        except Stopped:
            return
        # Until this run ends well, some fold may hold half a batch; the next run would begin at the checkpoints.
        self._begun = False
        ends = {partition: None if until is None else until.get(partition, 0) for partition in self._offsets}
        driven: list[asyncio.Task[bool]] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                for partition, end in ends.items():
                    if end is None or self._offsets[partition] < end:
                        name = f"{self._processor.group} {partition}"
                        driven.append(tasks.create_task(self.drive(partition, end), name=name))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        for task in driven:  # a group takes no notice of a task that was cancelled by itself
            if task.cancelled():
                raise asyncio.CancelledError(f"{task.get_name()} was cancelled")
        self._begun = not self._stopping.is_set()

    async def take_up(self, partitions: Sequence[TopicPartition], leaving: asyncio.Event | None = None) -> None:
        """Begin with partitions at their checkpoints, or at their beginning where they have none.

        Args:
            partitions: Which ones; none of this pump is being driven meanwhile.
            leaving: For a member of a group. Set when they are to be let go before that.

        Raises:
            ConfigurationError: The log no longer holds what a checkpoint needs next.
            Stopped: A stop, or to let go, was asked for while the log or the store was away.
        """
        patiently = partial(self._patiently, stopping=leaving)
        group = self._processor.group
        self._dead = await patiently(partial(dead_positions, self._log, group))
        checkpoints = await patiently(partial(self._store.load_checkpoints, group))
        begins = await patiently(partial(self._log.begin_offsets, partitions))
        for topic in {partition.topic for partition in partitions}:
            self._partitions[topic] = len(await patiently(partial(self._log.partitions, topic)))
        for partition, begin in begins.items():
            checkpoint = checkpoints.get(partition)
            offset = checkpoint.position.offset if checkpoint else begin
            if offset < begin:
                raise ConfigurationError(
                    f"{partition} no longer holds the records {offset} to {begin - 1} that {group} needs next; "
                    "rebuild the projection from an archive"
                )
            self._offsets[partition] = offset
            self._states[partition] = checkpoint.state if checkpoint else None
            await self._processor.restore(partition, self._states[partition])

    async def drive(
        self, partition: TopicPartition, end: int | None = None, leaving: asyncio.Event | None = None
    ) -> bool:
        """Process one partition that was taken up, in order.

        Args:
            partition: Which one.
            end: Offset to process up to (exclusive); None follows the log.
            leaving: For a member of a group. Set when the partition is to be let go: the batch under way is finished,
                or given up where it waits for something that is away; no new one is begun. `stop` sets it too.

        Returns:
            Whether all that was begun is finished.
        """
        begun = False
        next_s = 0.0
        if leaving is not None:
            self._leaving[partition] = leaving
        try:
            if leaving is not None:
                await self._confirm(partition)
            while not self._stopping.is_set() and (end is None or self._offsets[partition] < end):
                if leaving is not None and leaving.is_set():
                    break
                if end is None and await self._hold(partition, next_s):
                    continue
                offset = self._offsets[partition]
                records = await self._patiently(
                    partial(self._log.read, partition, offset, end=end, limit=self._batch_records), partition
                )
                if records:
                    begun = True
                    next_s = self._next_tick_s() if await self._at_the_tail(partition) else 0.0
                    await self._take(partition, records)
                    begun = False
                elif end is None:
                    await self._patiently(
                        partial(self._log.wait_for_append, {partition: offset}, IDLE_WAIT_S), partition
                    )
                else:
                    break
        except Stopped:
            return not begun
        finally:
            self._leaving.pop(partition, None)
        return True

    async def _at_the_tail(self, partition: TopicPartition) -> bool:
        """Return whether less than a batch waits: a read may bring fewer records than that, however much waits."""
        if not self._interval_s:
            return False
        ends = await self._patiently(partial(self._log.end_offsets, [partition]), partition)
        return ends[partition] - self._offsets[partition] < self._batch_records

    def _next_tick_s(self) -> float:
        """Return the next time by the monotonic clock that is a multiple of the interval."""
        return (time.monotonic() // self._interval_s + 1) * self._interval_s

    async def _hold(self, partition: TopicPartition, until_s: float) -> bool:
        """Wait until a moment and return whether the work on this partition is to end."""
        stopping = self._leaving.get(partition, self._stopping)
        if (left_s := until_s - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), left_s)
        return stopping.is_set()

    async def _confirm(self, partition: TopicPartition) -> None:
        """Commit where a partition stands that has a checkpoint.

        Whoever saved that may have ended, or lost the partition, before its commit. Where no further record comes,
        nobody else would make up for it.
        """
        if self._states[partition] is not None:
            await self._patiently(lambda: self._commit({partition: self._offsets[partition]}), partition)

    async def _all_partitions(self) -> list[TopicPartition]:
        return [p for spec in self._processor.topics for p in await self._log.partitions(spec.name)]

    async def _take(self, partition: TopicPartition, records: Sequence[Record]) -> None:
        """Process and apply consecutive records, putting aside those that cannot be taken."""
        deliveries: list[Delivery] = []
        aside: list[tuple[Record, Event | None, Poison]] = []
        generation = generation_of(partition.topic)
        dead = self._dead.get(partition, set())
        for record in records:
            if record.offset in dead or (self._concerns is not None and not self._concerns(record)):
                continue
            event = None
            try:
                event = self._skimmed(record) or event_of(record)
                check_place(partition, record.key, event, self._partitions[partition.topic])
            except Poison as poison:
                aside.append((record, event, poison))
                continue
            deliveries.append(Delivery(position=Position(generation, record.offset), event=event, value=record.value))
        batch = Batch(
            partition=partition,
            deliveries=tuple(deliveries),
            end=Position(generation, records[-1].offset + 1),
        )
        try:
            effects, outputs = await self._patiently(lambda: self._process(batch), partition)
        except (ConfigurationError, MissingRecord, Stopped):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a record provokes must stop nobody
            await self._find_poison(partition, records, deliveries, error)
            return
        letters = [dead_letter(self._processor.group, record, poison) for record, _, poison in aside]
        await self._apply(batch, effects, [*outputs, *letters])
        for one in aside:
            self._on_put_aside(*one)
        self.counts["dead-lettered"] += len(letters)
        self._on_progress(
            Progress(
                group=self._processor.group,
                partition=partition,
                end=batch.end.offset,
                records=len(records),
                dead_letters=len(letters),
                counts=effects.counts,
            )
        )

    async def _find_poison(
        self, partition: TopicPartition, records: Sequence[Record], deliveries: Sequence[Delivery], error: Exception
    ) -> None:
        """Halve a batch that failed until the one record at fault stands alone, and put that aside."""
        if len(deliveries) > 1:
            middle = len(records) // 2
            await self._take(partition, records[:middle])
            await self._take(partition, records[middle:])
            return
        if not deliveries:
            raise error
        poison = unforeseen(error)
        culprit = next(r for r in records if r.offset == deliveries[0].position.offset)
        self._dead.setdefault(partition, set()).add(culprit.offset)
        await self._patiently(lambda: self._emit([dead_letter(self._processor.group, culprit, poison)]), partition)
        self._on_put_aside(culprit, deliveries[0].event, poison)
        self.counts["dead-lettered"] += 1
        await self._take(partition, records)

    async def _process(self, batch: Batch) -> tuple[Effects, list[NewRecord]]:
        """Return what a batch causes, and its output events as records: one that is none is its batch's fault."""
        try:
            effects = await self._processor.process(batch)
            return effects, [record_of(event) for event in effects.events]
        except BaseException:
            # Half a batch may have gone into the fold; begin again from what is known to be applied.
            await self._processor.restore(batch.partition, self._states[batch.partition])
            raise

    async def _apply(self, batch: Batch, effects: Effects, outputs: Sequence[NewRecord]) -> None:
        """Make the effects durable in the order that promise 2 of docs/guarantees.md states."""
        at = batch.partition
        if outputs:
            await self._patiently(lambda: self._emit(outputs), at)
        await self._patiently(lambda: self._store.write(effects.writes), at)
        await self._patiently(self._store.flush, at)
        checkpoint = Checkpoint(group=self._processor.group, partition=at, position=batch.end, state=effects.state)
        await self._patiently(lambda: self._store.save_checkpoint(checkpoint), at)
        self._states[at] = effects.state
        self._offsets[at] = batch.end.offset
        await self._patiently(lambda: self._commit({at: batch.end.offset}), at)
        self.counts.update(effects.counts)
        self.counts["processed"] += len(batch.deliveries)

    async def _append(self, records: Sequence[NewRecord]) -> None:
        await self._log.append(records)

    async def _patiently(
        self,
        what: Callable[[], Awaitable[T]],
        at: TopicPartition | None = None,
        *,
        stopping: asyncio.Event | None = None,
    ) -> T:
        if stopping is None:
            stopping = self._stopping if at is None else self._leaving.get(at, self._stopping)
        return await until_done(what, backoff=self._backoff, stopping=stopping, on_retry=self._on_retry)


def event_of(record: Record) -> Event:
    """Return the event of a record; a trace context that stands only in its headers, as other producers write it, too.

    Raises:
        Poison: There is no event in it.
    """
    event = decode(record.value)
    if event.traceparent is None and record.headers and (found := in_headers(record.headers)) is not None:
        return replace(event, traceparent=found)
    return event
