"""A member of a consumer group at work: the partitions come and go, and each that is here is driven."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct

from helamem.schemas.records import TopicPartition
from helamem.streams.backoff import Stopped
from helamem.streams.fleet.membership import Membership
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.pump import Commit

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


class Drives(Protocol):
    """What works on partitions."""

    async def take_up(self, partitions: Sequence[TopicPartition], leaving: asyncio.Event) -> None:
        """Begin with partitions, none of which is being driven.

        Args:
            partitions: Which ones.
            leaving: Set when they are to be let go before that.

        Raises:
            Stopped: That was asked for while the log or the store was away.
        """
        ...

    async def drive(self, partition: TopicPartition, *, leaving: asyncio.Event) -> bool:
        """Work on one partition that was taken up, in order, until it is to be let go.

        Args:
            partition: Which one.
            leaving: Set when what is under way is to be finished, and no more begun.

        Returns:
            Whether all that was begun is finished.
        """
        ...


D = TypeVar("D", bound=Drives)


class Group(Generic[D]):
    """Drives the partitions that a consumer group gives its member.

    Args:
        settings: How to reach Kafka.
        name: Of the group.
        topics: Full names of what it reads.
        driver_of: Makes what works on them, given what moves the group's positions.
        session_timeout_s: A member that is silent for so long loses its partitions.
        on_assigned: Told which partitions the group gave this member, each time that they are shared out.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        name: str,
        topics: Sequence[str],
        driver_of: Callable[[Commit], D],
        *,
        session_timeout_s: float = 10.0,
        on_assigned: Callable[[list[TopicPartition]], None] = lambda partitions: None,
    ) -> None:
        self._on_assigned = on_assigned
        self.group = name
        self._member = Membership(
            settings,
            name,
            topics,
            on_assigned=self._take,
            on_revoked=self._give_up,
            session_timeout_s=session_timeout_s,
            revoke_s=LET_GO_S,
        )
        self.driver = driver_of(self._member.commit)
        self._driven: dict[TopicPartition, _Driven] = {}
        self._beginning: _Beginning | None = None
        self._failure: BaseException | None = None
        self._ending = asyncio.Event()
        self.assigned = asyncio.Event()
        """Set while this member is at work on the share that its group gave it, be it nothing."""
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
                finally:  # also where another group of this process failed: nothing is left running behind its back
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
                await self.driver.take_up(partitions, leaving)
        except Stopped:
            return
        if leaving.is_set():
            return
        for partition in partitions:
            going = asyncio.Event()
            task = asyncio.create_task(self.driver.drive(partition, leaving=going), name=f"{self.group} {partition}")
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
