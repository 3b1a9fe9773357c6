"""`Merger`: moves what passes from inlets into the topic that everybody reads, each inlet's partition by itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from helamem.schemas.errors import HelamemError, RetryLater
from helamem.schemas.records import NewRecord, Record, TopicPartition
from helamem.schemas.topics import TopicSpec, tenant_of_inlet
from helamem.schemas.wire import MAX_RECORD_BYTES, Event
from helamem.streams.backoff import Backoff, Stopped, until_done
from helamem.streams.dead_letters import dead_letter
from helamem.streams.gateway.keys import Keys
from helamem.streams.gateway.problems import Problem
from helamem.streams.gateway.quotas import Quotas
from helamem.streams.ingest.incoming import record_of
from helamem.streams.inlet.rules import GROUP, Fault, Refused, taken, text_bytes
from helamem.streams.lately import Lately
from helamem.streams.log.partitioner import MAX_KEY_BYTES
from helamem.streams.log.port import Log
from helamem.streams.logs import place_of, told
from helamem.streams.pump import Commit

LOOK_AGAIN_S = 0.2
"""How often it is looked whether inlets have grown; all partitions are looked at together."""
HELD_S = 1.0
"""How often a tenant who has to wait is looked at again."""
TRIM_S = 10.0
"""How often what is merged is deleted from the inlets."""
_UNREADABLE = Backoff(first_s=1.0, longest_s=30.0)
_log = logging.getLogger(__name__)
T = TypeVar("T")


class Taken(Struct, frozen=True, kw_only=True):
    """What one batch came to."""

    partition: TopicPartition
    merged: int
    refused: Mapping[Fault, int]
    """Records that were put aside, by what kept them out."""


class _Judged(Struct, frozen=True, kw_only=True):
    """A record, and what becomes of it."""

    record: Record
    event: Event | None = None
    refused: Refused | None = None


class Merger:
    """Merges the partitions of inlets that its group gives it; see `Drives`.

    Of each partition one batch at a time: what passes and the dead letters of the rest are in the log before the
    position is committed. Killed in between, the batch is taken again; its messages have the ids that they had, so
    they are there once, in the order of their first append, which is the inlet's.

    No transaction holds both: one that a killed merger leaves open would keep the readers of the topic that everybody
    reads waiting, and those of all tenants.

    Args:
        log: The fleet's, with the inlets; it seals what is appended.
        inlets: By their names.
        commit: Moves the positions of the group.
        trim: Deletes what stands before some offsets.
        keys: Know how much tenants may append.
        quotas: Count what they do.
        sealed: Tenants whose words are sealed.
        batch_records: Most records in one batch.
        on_taken: Told after every batch.
        on_behind: Told how many records wait in the partitions that are held.
        on_held: Told how many partitions wait since their tenants may append no more today.
        on_retry: Told whenever something is away and tried again.
    """

    def __init__(
        self,
        log: Log,
        inlets: Mapping[str, TopicSpec],
        *,
        commit: Commit,
        trim: Callable[[Mapping[TopicPartition, int]], Awaitable[None]],
        keys: Keys,
        quotas: Quotas,
        sealed: Collection[str] = (),
        batch_records: int = 1000,
        on_taken: Callable[[Taken], None] = lambda taken: None,
        on_behind: Callable[[int], None] = lambda records: None,
        on_held: Callable[[int], None] = lambda partitions: None,
        on_retry: Callable[[RetryLater], None] = lambda error: None,
    ) -> None:
        self._log = log
        self._inlets = inlets
        self._commit = commit
        self._trim = trim
        self._keys = keys
        self._quotas = quotas
        self._sealed = frozenset(sealed)
        self._batch_records = batch_records
        self._on_taken = on_taken
        self._on_behind = on_behind
        self._on_held = on_held
        self._on_retry = on_retry
        self._offsets: dict[TopicPartition, int] = {}
        self._trimmed: dict[TopicPartition, int] = {}
        self._held: set[TopicPartition] = set()
        self._ends = Lately(self._look_at_ends, LOOK_AGAIN_S)

    async def take_up(self, partitions: Sequence[TopicPartition], leaving: asyncio.Event) -> None:
        """Begin with partitions where the group has come to; see `Drives`."""
        committed = await self._patiently(leaving, partial(self._log.committed, GROUP))
        begins = await self._patiently(leaving, partial(self._log.begin_offsets, partitions))
        for at, begin in begins.items():
            self._offsets[at] = max(begin, committed.get(at, begin))
            self._trimmed[at] = begin

    async def drive(self, partition: TopicPartition, *, leaving: asyncio.Event) -> bool:
        """Merge one partition, in order, until it is to be let go; see `Drives`."""
        waiting: list[Record] = []
        begun = False
        try:
            while not leaving.is_set():
                if not waiting:
                    waiting = await self._read(partition, leaving)
                if not waiting:
                    await pause(leaving, LOOK_AGAIN_S)
                elif wait_s := self._keys.tenant_wait_s(_tenant(partition)):  # a batch counts as one request
                    await self._hold_on(leaving, min(wait_s, HELD_S))  # its rate may be raised meanwhile
                else:
                    begun = True
                    done = await self._take(partition, waiting, leaving)
                    begun = False
                    waiting = waiting[done:]
                    if not done:
                        await self._hold_on(leaving, HELD_S)
        except Stopped:
            return not begun
        finally:
            self._offsets.pop(partition, None)
            self._hold(partition, held=False)
            if not self._offsets:  # nobody looks at their ends any more
                self._on_behind(0)
        return True

    async def trim(self, leaving: asyncio.Event) -> None:
        """Delete what is merged, again and again, until a stop: an inlet keeps what is not merged yet, and no more.

        Raises:
            ConfigurationError: Kafka refuses to.
        """
        while not leaving.is_set():
            await pause(leaving, TRIM_S)
            with contextlib.suppress(RetryLater):  # the next time does it
                await self.trim_now()

    async def trim_now(self) -> None:
        """Delete what is merged and committed.

        Raises:
            RetryLater: Kafka is away.
            ConfigurationError: Kafka refuses to.
        """
        done = {at: offset for at, offset in self._offsets.items() if offset > self._trimmed.get(at, 0)}
        if done:
            await self._trim(done)
            self._trimmed.update(done)

    async def _hold_on(self, leaving: asyncio.Event, seconds: float) -> None:
        """Wait so long, or until a stop; how many records wait is told also where nothing is read."""
        await pause(leaving, seconds)
        if not leaving.is_set():
            with contextlib.suppress(HelamemError):  # whoever reads on says what is wrong
                await self._ends.get()

    async def _read(self, at: TopicPartition, leaving: asyncio.Event) -> list[Record]:
        """Return what follows in a partition; where that cannot be read, none but this one waits."""
        failures = 0
        while True:
            try:
                ends = await self._patiently(leaving, self._ends.get)
                if ends.get(at, 0) <= self._offsets[at]:
                    return []
                read = partial(self._log.read, at, self._offsets[at], limit=self._batch_records)
                return await self._patiently(leaving, read)
            except Stopped:
                raise
            except Exception as error:
                failures += 1
                why = str(error) if isinstance(error, HelamemError) else told(error)
                if await self._pass_over_gap(at, why, leaving):
                    continue
                await pause(leaving, _UNREADABLE.wait_s(failures))
                if leaving.is_set():
                    raise Stopped from error

    async def _pass_over_gap(self, at: TopicPartition, why: str, leaving: asyncio.Event) -> bool:
        """Go on at the first record that is there, where those before it were deleted, and say so; return whether."""
        begin = offset = self._offsets[at]
        with contextlib.suppress(HelamemError):  # what is wrong with it is being said
            begin = (await self._patiently(leaving, partial(self._log.begin_offsets, [at])))[at]
        if begin > offset:
            self._offsets[at] = begin
            _log.warning(
                "records of an inlet are gone: its retention or another merger, which had merged them, deleted them",
                extra={"topic": at.topic, "partition": at.partition, "begin": offset, "end": begin},
            )
        else:
            _log.warning(
                "an inlet cannot be read and waits: %s",
                why,
                extra={"topic": at.topic, "partition": at.partition, "offset": offset},
            )
        return begin > offset

    async def _take(self, at: TopicPartition, records: Sequence[Record], leaving: asyncio.Event) -> int:
        """Merge consecutive records, or those first of them that the tenant may append now; return how many."""
        tenant = _tenant(at)
        judged = self._admitted(tenant, [self._judge(record, tenant) for record in records])
        self._hold(at, held=not judged)
        if not judged:
            return 0
        passed = [one.event for one in judged if one.event is not None]
        outputs = [record_of(event) for event in passed]
        letters = [self._letter(one.record, one.refused, tenant) for one in judged if one.refused is not None]
        try:
            with self._quotas.taking(tenant, [text_bytes(event) for event in passed]):
                await self._patiently(leaving, partial(self._log.append, [*outputs, *letters]))
        except Problem:  # the tenant's bounds were lowered at this very moment
            return 0
        done = judged[-1].record.offset + 1
        await self._patiently(leaving, partial(self._commit, {at: done}))
        self._offsets[at] = done
        self._tell(judged)
        faults = Counter(one.refused.fault for one in judged if one.refused is not None)
        self._on_taken(Taken(partition=at, merged=len(passed), refused=faults))
        return len(judged)

    def _judge(self, record: Record, tenant: str) -> _Judged:
        partitions = self._inlets[record.topic].partitions
        try:
            return _Judged(record=record, event=taken(record, tenant, partitions, self._quotas.most_bytes(tenant)))
        except Refused as refused:
            return _Judged(record=record, refused=refused)

    def _admitted(self, tenant: str, judged: list[_Judged]) -> list[_Judged]:
        """Return the first of some records, up to the first one that the tenant may not append today."""
        passing = [(place, one.event) for place, one in enumerate(judged) if one.event is not None]
        fitting = self._quotas.fitting(tenant, [text_bytes(event) for _, event in passing])
        return judged if fitting == len(passing) else judged[: passing[fitting][0]]

    def _letter(self, record: Record, refused: Refused, tenant: str) -> NewRecord:
        """Return a dead letter, without bytes that are too many or that would stand there for good unsealed.

        Its key is that of the record only where that is no space of somebody else.
        """
        if tenant in self._sealed or len(record.value) > MAX_RECORD_BYTES:
            record = replace(record, value=b"")
        if len(record.key) > MAX_KEY_BYTES:
            record = replace(record, key=b"")
        letter = dead_letter(GROUP, record, refused)
        return letter if record.key.startswith(f"{tenant}/".encode()) else replace(letter, key=b"")

    def _tell(self, judged: Sequence[_Judged]) -> None:
        """Log what was put aside: a line for a batch and not for each record, of which a tenant may send any number."""
        aside = [(one.record, one.refused) for one in judged if one.refused is not None]
        if aside:
            record, refused = aside[0]
            _log.warning(
                "records were put aside; this is the first of them",
                extra={
                    "group": GROUP,
                    "records": len(aside),
                    "field": refused.field,
                    "reason": refused.reason,
                    **place_of(record),
                },
            )

    async def _look_at_ends(self) -> dict[TopicPartition, int]:
        held = [*self._offsets]
        ends = await self._log.end_offsets(held) if held else {}
        self._on_behind(sum(max(0, end - self._offsets.get(at, end)) for at, end in ends.items()))
        return ends

    def _hold(self, at: TopicPartition, *, held: bool) -> None:
        if held and at not in self._held:
            _log.warning(
                "an inlet waits until midnight (UTC), since its tenant has appended what it may today",
                extra={"topic": at.topic, "partition": at.partition},
            )
        (self._held.add if held else self._held.discard)(at)
        self._on_held(len(self._held))

    async def _patiently(self, leaving: asyncio.Event, what: Callable[[], Awaitable[T]]) -> T:
        return await until_done(what, backoff=Backoff(), stopping=leaving, on_retry=self._on_retry)


def _tenant(at: TopicPartition) -> str:
    tenant = tenant_of_inlet(at.topic)
    assert tenant is not None  # the group reads inlets alone
    return tenant


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until a stop."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)
