"""A place in a consumer group: which partitions are ours, and committing in the group's name.

The member never fetches records itself. Reading is the log's affair, at the positions of the checkpoints; the group
only says who has which partition, and takes commits from nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Self

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.structs import TopicPartition as KafkaPartition

from helamem.schemas.records import TopicPartition
from helamem.streams.log.kafka_errors import FAILURES, explained
from helamem.streams.log.kafka_settings import KafkaSettings

_log = logging.getLogger(__name__)

_POLL_S = 0.5
_MARGIN_S = 5.0
_NO_LONGER_OURS = (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

OnChange = Callable[[list[TopicPartition]], Awaitable[None]]


class Membership:
    """One member of a consumer group, an async context manager.

    Args:
        settings: How to reach Kafka.
        group: Its name.
        topics: Full names of the topics whose partitions the group shares.
        on_assigned: Told which partitions are ours now. No heartbeats are sent until it returns.
        on_revoked: Told which partitions go; they are held until it returns.
        session_timeout_s: A member that is silent for so long is taken for dead.
        revoke_s: How long `on_revoked` may take. The group waits for so long; a member that takes longer is put out,
            and others take its partitions while it may still be at work on them.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        group: str,
        topics: Sequence[str],
        *,
        on_assigned: OnChange,
        on_revoked: OnChange,
        session_timeout_s: float = 10.0,
        revoke_s: float = 10.0,
    ) -> None:
        self._settings = settings
        self._group = group
        self._topics = topics
        self._listener = _Listener(self, on_assigned, on_revoked)
        self._session_timeout_s = session_timeout_s
        self._rebalance_timeout_s = revoke_s + _MARGIN_S
        self._consumer: AIOKafkaConsumer | None = None

    async def __aenter__(self) -> Self:
        options = self._settings.client_options()
        # Joining takes as long as the slowest member takes to let go.
        waits_s = max(self._settings.timeout_s, self._rebalance_timeout_s + _MARGIN_S)
        consumer = AIOKafkaConsumer(
            **options | {"request_timeout_ms": int(waits_s * 1000)},
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=int(self._session_timeout_s * 1000),
            heartbeat_interval_ms=int(self._session_timeout_s * 1000 / 4),
            rebalance_timeout_ms=int(self._rebalance_timeout_s * 1000),
        )
        consumer.subscribe(list(self._topics), listener=self._listener)
        self._consumer = consumer
        try:
            await consumer.start()
        except FAILURES as error:
            with contextlib.suppress(*FAILURES):
                await consumer.stop()
            raise explained(error, f"joining the group {self._group}", self._settings) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._consumer is not None:
            await self._consumer.stop()  # it waits for a rebalance under way, in which batches may end and commit
            self._consumer = None

    async def stay(self, stopping: asyncio.Event) -> None:
        """Keep the place until a stop: a member that never polls is put out of its group."""
        assert self._consumer is not None
        while not stopping.is_set():
            try:
                await self._consumer.getmany(timeout_ms=int(_POLL_S * 1000))
            except FAILURES:
                await asyncio.sleep(_POLL_S)  # Kafka is away; aiokafka joins again by itself

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store how far the group has come.

        Where a partition is ours no longer, nothing is stored and no harm done: the checkpoint says it already, and
        whoever has the partition begins there.

        Raises:
            RetryLater: Kafka is away.
            ConfigurationError: Kafka refuses access.
        """
        assert self._consumer is not None
        try:
            await self._consumer.commit({KafkaPartition(*at): offset for at, offset in offsets.items()})
        except _NO_LONGER_OURS as error:
            _log.warning(
                "a commit was refused: the group gave the partitions to another worker, which begins at the checkpoint",
                extra={"group": self._group, "partitions": [str(at) for at in offsets], "error": type(error).__name__},
            )
            return
        except FAILURES as error:
            raise explained(error, f"committing for the group {self._group}", self._settings) from error

    def hold_still(self) -> None:
        """Let the member fetch nothing of what it was assigned."""
        if self._consumer is not None:
            self._consumer.pause(*self._consumer.assignment())


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types
    """Passes on what a rebalance decides."""

    def __init__(self, member: Membership, on_assigned: OnChange, on_revoked: OnChange) -> None:
        self._member = member
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked

    async def on_partitions_revoked(self, revoked: Sequence[KafkaPartition]) -> None:
        """Let go of partitions; the group waits for it."""
        await self._on_revoked([TopicPartition(at.topic, at.partition) for at in sorted(revoked)])

    async def on_partitions_assigned(self, assigned: Sequence[KafkaPartition]) -> None:
        """Take partitions."""
        self._member.hold_still()
        await self._on_assigned([TopicPartition(at.topic, at.partition) for at in sorted(assigned)])
