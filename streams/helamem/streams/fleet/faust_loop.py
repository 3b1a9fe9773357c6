"""The loop of a safe agent: each record is taken or put aside before its position is committed.

Faust is what brings records near and shares partitions out; what is done and what is to be done next is known here.
A record that Faust did not bring, for whatever reason, is read from the log before those after it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from faust.types import StreamT, TopicT

from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.schemas.records import Record, TopicPartition
from helamem.streams.backoff import Backoff, Stopped, until_done
from helamem.streams.dead_letters import dead_letter, dead_positions, unforeseen
from helamem.streams.fleet.app import FleetApp
from helamem.streams.fleet.codec import Arrival, arrival_of, record_of
from helamem.streams.fleet.faust_offsets import commit
from helamem.streams.logs import place_of

_log = logging.getLogger(__name__)
_PAGE = 100
_CANCEL_S = 1.0

T = TypeVar("T")
_Patiently = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]


Handle = Callable[[Arrival], Awaitable[None]]
"""Makes everything that a record causes durable; done twice it must be as done once."""


class SafeLoop:
    """Takes the records of the partitions that this worker holds, one at a time.

    Args:
        app: Whose agent it is.
        topic: Its topic.
        handle: What is done with a record.
        name: Of the agent.
        group: Under which dead letters are written.
        backoff: Waits while something is away.
        look_again_s: How often it looks into the log by itself where Faust has brought nothing.
    """

    def __init__(
        self,
        app: FleetApp,
        topic: TopicT,
        handle: Handle,
        *,
        name: str,
        group: str,
        backoff: Backoff,
        look_again_s: float,
    ) -> None:
        self._app = app
        self._topic = topic
        self._handle = handle
        self._name = name
        self._group = group
        self._backoff = backoff
        self._look_again_s = look_again_s
        self._held: set[TopicPartition] = set()
        self._next: dict[TopicPartition, int] = {}
        self._dead: dict[TopicPartition, set[int]] | None = None
        self._turn = asyncio.Lock()
        self._busy: asyncio.Task[None] | None = None
        self._letting_go = asyncio.Event()

    async def run(self, stream: StreamT[bytes]) -> None:
        """Take what Faust brings. Nothing but a cancellation ever ends this loop."""
        values: AsyncIterable[bytes] = stream
        async for _ in values:
            if (event := stream.current_event) is not None:
                record = record_of(event)
                await self._take_up_to(TopicPartition(record.topic, record.partition), record.offset + 1, record)

    async def watch(self) -> None:
        """Take what Faust forgot to bring: what stands in partitions of which nothing was heard for a while."""
        seen: dict[TopicPartition, int | None] = {}
        while True:
            await asyncio.sleep(self._look_again_s)
            quiet = [at for at in sorted(self._held) if seen.get(at, -1) == self._next.get(at)]
            for at, end in (await self._ends(quiet)).items():
                await self._take_up_to(at, end)
            seen = {at: self._next.get(at) for at in self._held}

    async def hold(self, partitions: Iterable[TopicPartition]) -> None:
        """Begin with these partitions and no others."""
        self._held = {at for at in partitions if at.topic == self._topic.get_topic_name()}
        self._next.clear()
        self._dead = None
        self._letting_go = asyncio.Event()

    async def let_go(self) -> None:
        """Finish or abandon the record under way, within the bound, and hold nothing any more."""
        self._letting_go.set()
        self._held = set()
        if self._busy is not None:
            _, late = await asyncio.wait({self._busy}, timeout=self._app.drain_s)
            if late:
                _log.warning("%s abandons a record after %.0f s; it will be taken again", self._name, self._app.drain_s)
                self._busy.cancel()
                await asyncio.wait({self._busy}, timeout=_CANCEL_S)

    async def _ends(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        try:
            return await self._app.kafka_log.end_offsets(partitions)
        except RetryLater as error:  # it looks again soon enough, and Faust goes on meanwhile
            _log.warning("%s: %s", self._name, error)
            return {}

    async def _take_up_to(self, partition: TopicPartition, end: int, record: Record | None = None) -> None:
        """Take all records before `end` that were not taken yet; `record` may be among them."""
        async with self._turn:
            if partition not in self._held:
                return
            busy = self._busy = asyncio.create_task(self._advance(partition, end, record), name=self._name)
            try:
                await asyncio.wait({busy})
            finally:
                if not busy.done():  # the loop itself is cancelled; nothing of the record is committed
                    busy.cancel()
                    await asyncio.wait({busy}, timeout=_CANCEL_S)
                self._busy = None
            if not busy.cancelled() and (error := busy.exception()) is not None:
                self._held.discard(partition)
                _log.critical("the agent %s cannot go on, so this worker ends: %s", self._name, error)
                await self._app.crash(error)

    async def _advance(self, partition: TopicPartition, end: int, record: Record | None) -> None:
        patiently = partial(self._patiently, self._letting_go)
        try:
            await self._begin(partition, patiently)
            await self._take_all(partition, end, record, self._letting_go, patiently)
        except Stopped:
            return
        except BaseException:
            self._next.pop(partition, None)  # the handler may be in the middle: it begins again
            raise

    async def _begin(self, partition: TopicPartition, patiently: _Patiently) -> None:
        if self._dead is None:
            self._dead = await patiently(partial(dead_positions, self._app.kafka_log, self._group))
        if partition not in self._next:
            self._next[partition] = await patiently(partial(self._position, partition))

    async def _position(self, partition: TopicPartition) -> int:
        """Return where the group stands, or the beginning."""
        committed = (await self._app.kafka_log.committed(self._app.conf.id)).get(partition)
        return (await self._app.kafka_log.begin_offsets([partition]))[partition] if committed is None else committed

    async def _take_all(
        self,
        partition: TopicPartition,
        end: int,
        record: Record | None,
        letting_go: asyncio.Event,
        patiently: _Patiently,
    ) -> None:
        while (offset := self._next[partition]) < end:
            if record is not None and record.offset == offset:
                records = [record]
            else:
                read = partial(self._app.kafka_log.read, partition, offset, end=end, limit=_PAGE)
                records = await patiently(read)
            if not records:  # what is left is no record but marks of somebody's transactions
                return
            for each in records:
                if letting_go.is_set():
                    return
                await self._finish(each, patiently)
                done = each.offset + 1
                if not await patiently(partial(commit, self._app, self._app.kafka, partition, done)):
                    self._held.discard(partition)  # another worker has it and begins where we were
                    return
                self._next[partition] = done

    async def _finish(self, record: Record, patiently: _Patiently) -> None:
        """Take one record, or put it aside: whatever it provokes must stop nobody."""
        partition = TopicPartition(record.topic, record.partition)
        dead = self._dead or {}
        if record.offset in dead.get(partition, ()):
            return
        try:
            arrival = arrival_of(record)
            await patiently(partial(self._handle, arrival))
        except (ConfigurationError, Stopped):
            raise
        except Exception as error:  # noqa: BLE001 - see above
            letter = dead_letter(self._group, record, unforeseen(error))
            await patiently(partial(self._app.kafka_log.append, [letter]))
            _log.warning(
                "%s put aside offset %d of %s",
                self._name,
                record.offset,
                partition,
                extra={"reason": unforeseen(error).reason, **place_of(record)},
            )

    async def _patiently(self, letting_go: asyncio.Event, what: Callable[[], Awaitable[T]]) -> T:
        told = ""

        def tell(error: RetryLater) -> None:
            nonlocal told
            if told != str(error):
                told = str(error)
                _log.warning("%s waits: %s", self._name, error)

        return await until_done(what, backoff=self._backoff, stopping=letting_go, on_retry=tell)
