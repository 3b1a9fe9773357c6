"""The pump as a member of a consumer group: the partitions come and go, each is driven as everywhere else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from helamem.processors.port import Processor
from helamem.processors.store.port import MemoryStore
from helamem.schemas.errors import RetryLater
from helamem.schemas.records import TopicPartition
from helamem.streams.backoff import Stopped
from helamem.streams.fleet.membership import Membership
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.port import Log
from helamem.streams.logs import putting_aside
from helamem.streams.pump import Progress, Pump

_log = logging.getLogger(__name__)

LET_GO_S = 10.0
"""How long a batch under way may take to end when its partition goes; then it is abandoned, as in a crash."""


class _Driven(Struct, frozen=True, kw_only=True):
    """A partition that is being driven."""

    task: asyncio.Task[bool]
    leaving: asyncio.Event


class _Beginning(Struct, frozen=True, kw_only=True):
    """Partitions that are being taken up."""

    task: asyncio.Task[None]
    leaving: asyncio.Event


class GroupPump:
    """Drives a processor over the partitions that its group gives it.

    Args:
        settings: How to reach Kafka.
        log: The same Kafka, as a log.
        store: Where effects go; shared by the whole group.
        processor: What computes them; its group is the consumer group.
        topics: Full names of what it reads, in the generation in use.
        batch_records: Most records in one batch.
        interval_s: Batches begin at ticks so far apart, unless there is more than one of them; see `Pump`.
        session_timeout_s: A worker that is silent for so long loses its partitions.
        on_progress: Told after every applied batch.
        on_retry: Told whenever something is tried again.
        on_assigned: Told which partitions the group gave this worker, each time that they are shared out.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        log: Log,
        store: MemoryStore,
        processor: Processor,
        *,
        topics: Sequence[str],
        batch_records: int = 1000,
        interval_s: float = 0.0,
        session_timeout_s: float = 10.0,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        on_retry: Callable[[RetryLater], None] = lambda error: None,
        on_assigned: Callable[[list[TopicPartition]], None] = lambda partitions: None,
    ) -> None:
        self._on_assigned = on_assigned
        self.group = processor.group
        self._member = Membership(
            settings,
            processor.group,
            topics,
            on_assigned=self._take,
            on_revoked=self._give_up,
            session_timeout_s=session_timeout_s,
            revoke_s=LET_GO_S,
        )
        self._pump = Pump(
            log,
            store,
            processor,
            commit=self._member.commit,
            batch_records=batch_records,
            interval_s=interval_s,
            on_progress=on_progress,
            on_retry=on_retry,
            on_put_aside=putting_aside(processor.group),
        )
        self._driven: dict[TopicPartition, _Driven] = {}
        self._beginning: _Beginning | None = None
        self._failure: BaseException | None = None
        self._ending = asyncio.Event()
        self.assigned = asyncio.Event()
        """Set while this worker is at work on the share that its group gave it, be it nothing."""
        self.abandoned: list[TopicPartition] = []
        """Partitions whose last batch waited or took too long when the work was stopped; others take it again."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set, then finish what is under way and leave the group.

        Raises:
            ConfigurationError: The log and the processor disagree, or Kafka refuses access.
            RetryLater: Kafka is away at the start.
        """
        watch = asyncio.create_task(self._pass_on(stopping))
        try:
            async with self._member:
                try:
                    await self._member.stay(self._ending)
                finally:  # also where another pump of this worker failed: nothing is left running behind its back
                    self._ending.set()
                    await self._begin_no_more()
                    self.abandoned = await self._let_go(list(self._driven))
        finally:
            watch.cancel()
        if self._failure is not None:
            raise self._failure

    async def _pass_on(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self._ending.set()

    async def _take(self, partitions: list[TopicPartition]) -> None:
        """Have what the group gave begun with, and return at once.

        The member sends no heartbeats while aiokafka waits here. Where the store is away for longer than a session
        lasts, it would be put out of the group, and join again, until the store is back.
        """
        if self._ending.is_set():  # nobody would end it: what was driven is being let go, or is already
            return
        leaving = asyncio.Event()
        task = asyncio.create_task(self._begin(partitions, leaving), name=f"{self.group} begins")
        task.add_done_callback(self._look_at)
        self._beginning = _Beginning(task=task, leaving=leaving)

    async def _begin(self, partitions: list[TopicPartition], leaving: asyncio.Event) -> None:
        """Take partitions up, each at its checkpoint, and have them driven."""
        try:
            if partitions:
                await self._pump.take_up(partitions, leaving)
        except Stopped:
            return
        if leaving.is_set():
            return
        for partition in partitions:
            going = asyncio.Event()
            task = asyncio.create_task(self._pump.drive(partition, leaving=going), name=f"{self.group} {partition}")
            task.add_done_callback(self._look_at)
            self._driven[partition] = _Driven(task=task, leaving=going)
        _log.debug("partitions taken up", extra={"group": self.group, "partitions": [str(at) for at in partitions]})
        self._on_assigned(partitions)
        self.assigned.set()

    async def _give_up(self, partitions: list[TopicPartition]) -> None:
        """End with partitions that go to others."""
        self.assigned.clear()
        await self._begin_no_more()
        await self._let_go(partitions)

    async def _begin_no_more(self) -> None:
        """End beginning with partitions; nothing of them is under way yet."""
        if self._beginning is None:
            return
        beginning, self._beginning = self._beginning, None
        beginning.leaving.set()
        _, late = await asyncio.wait([beginning.task], timeout=LET_GO_S)
        if late:
            beginning.task.cancel()
            await asyncio.wait(late)

    async def _let_go(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """End with partitions and return those whose batch under way was abandoned: it waited, or took too long."""
        going = {partition: self._driven.pop(partition) for partition in partitions if partition in self._driven}
        if not going:
            return []
        for driven in going.values():
            driven.leaving.set()
        _, late = await asyncio.wait([driven.task for driven in going.values()], timeout=LET_GO_S)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
        abandoned = [partition for partition, driven in going.items() if not _finished(driven.task)]
        if abandoned:
            _log.warning(
                "a batch under way was given up, and will be taken again",
                extra={"group": self.group, "partitions": [str(at) for at in abandoned]},
            )
        return abandoned

    def _look_at(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._ending.set()


def _finished(task: asyncio.Task[bool]) -> bool:
    """Return whether a partition was left with nothing begun; of a failure the worker tells otherwise."""
    return not task.cancelled() and (task.exception() is not None or task.result())
