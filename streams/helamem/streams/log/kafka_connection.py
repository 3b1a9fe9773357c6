"""Clients of Kafka that are there when they are needed, also after the broker was away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from aiokafka import AIOKafkaConsumer

from helamem.streams.log.kafka_errors import FAILURES, explained
from helamem.streams.log.kafka_settings import KafkaSettings

C = TypeVar("C")
T = TypeVar("T")


class Consumers:
    """Starts consumers that follow nothing and store no positions by themselves.

    A start that is cancelled leaves a connection of aiokafka open, so one that nobody waits for any more goes on by
    itself, and its consumer is closed then.

    Args:
        settings: How to reach Kafka.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._given_up: set[asyncio.Task[None]] = set()

    async def open(self, **options: Any) -> AIOKafkaConsumer:
        """Return a started consumer.

        It sees committed records only, should somebody else write to our topics in transactions.

        Raises:
            KafkaError: It cannot be started.
            TimeoutError: Likewise.
        """
        consumer = AIOKafkaConsumer(
            **self._settings.client_options(),
            enable_auto_commit=False,
            auto_offset_reset="none",  # to go on elsewhere by itself would skip records
            isolation_level="read_committed",
            **options,
        )
        starting = asyncio.create_task(consumer.start())
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await asyncio.shield(starting)
        except BaseException:
            closing = asyncio.create_task(_close_started(consumer, starting))
            self._given_up.add(closing)
            closing.add_done_callback(self._given_up.discard)
            raise
        return consumer

    async def close(self) -> None:
        """Wait until those are closed that were given up; a start ends by itself within its time-out."""
        if self._given_up:
            _, late = await asyncio.wait(self._given_up, timeout=self._settings.timeout_s)
            for task in late:
                task.cancel()


async def _close_started(consumer: AIOKafkaConsumer, starting: asyncio.Task[None]) -> None:
    await asyncio.wait([starting])
    if not starting.cancelled():
        starting.exception()  # nobody will ask for it any more
    await close_consumer(consumer)


async def close_consumer(consumer: AIOKafkaConsumer) -> None:
    """Close a consumer, whatever state it is in."""
    with contextlib.suppress(*FAILURES):
        await consumer.stop()


class Connection(Generic[C]):
    """One client for many questions, opened when first asked and anew after a failure.

    A client that has lost all brokers it knew looks for them only where they were; a new one starts from the
    configured servers again.

    Args:
        settings: How to reach Kafka.
        opened: Returns a client that is ready.
        closed: Closes one, whatever state it is in.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        opened: Callable[[KafkaSettings], Awaitable[C]],
        closed: Callable[[C], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._opened = opened
        self._closed = closed
        self._client: C | None = None
        self._opening = asyncio.Lock()

    async def ask(self, doing: str, question: Callable[[C], Awaitable[T]]) -> T:
        """Return what `question` returns.

        Raises:
            RetryLater: Kafka is away, or did not answer in time.
            ConfigurationError: It never will answer this.
        """
        client = None
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                async with self._opening:
                    if self._client is None:
                        self._client = await self._opened(self._settings)
                    client = self._client
                return await question(client)
        except FAILURES as error:
            if client is not None and client is self._client:
                self._client = None
                await self._closed(client)
            raise explained(error, doing, self._settings) from error

    async def close(self) -> None:
        """Close the client, if there is one."""
        client, self._client = self._client, None
        if client is not None:
            await self._closed(client)
