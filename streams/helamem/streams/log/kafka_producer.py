"""The idempotent producer, and what to do when it is stuck."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError

from helamem.schemas.errors import RetryLater
from helamem.schemas.records import TopicPartition
from helamem.streams.log.kafka_errors import FAILURES, explained
from helamem.streams.log.kafka_settings import KafkaSettings

_DISCARD_S = 1.0


class _Session:
    """One producer and how many batches are on their way through it."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self.producer = producer
        self.in_flight = 0
        self.retired = False


class Producer:
    """Sends batches with `acks=all` and numbers them, so that the broker drops what a retry on the wire doubles.

    aiokafka's idempotent producer never gives a batch up, and once one batch has failed the numbers of its
    partition no longer fit. So a failed batch retires the producer: batches under way in it are waited for, the
    next ones go through a new one.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._session: _Session | None = None
        self._opening = asyncio.Lock()

    async def send(self, at: TopicPartition, fill: Callable[[Any], None]) -> int:
        """Send one batch and return the offset of its first record, once all in-sync replicas have it.

        Args:
            at: Where to.
            fill: Puts the records into an aiokafka `BatchBuilder`.

        Raises:
            RetryLater: It is not known whether the records are in the log; append them again.
            ConfigurationError: Kafka will never take them as things are.
        """
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                session = await self._opened()
        except FAILURES as error:
            raise explained(error, f"appending to {at}", self._settings) from error
        session.in_flight += 1
        try:
            batch = session.producer.create_batch()
            fill(batch)
            batch.close()
            if not batch.record_count():  # everybody who wanted to append has given up
                return 0
            async with asyncio.timeout(self._settings.timeout_s):
                sent = await session.producer.send_batch(batch, at.topic, partition=at.partition)
                offset = int((await sent).offset)
        except BaseException as error:
            session.retired = True
            if self._session is session:
                self._session = None
            if isinstance(error, FAILURES):
                raise explained(error, f"appending to {at}", self._settings) from error
            raise
        finally:
            session.in_flight -= 1
            if session.retired and not session.in_flight:
                await _discard(session.producer)
        if offset < 0:  # the broker knows the batch from a retry, but no longer where it is
            raise RetryLater(
                f"Kafka has records for {at} but not their offsets; append them again, doubles are skipped"
            )
        return offset

    async def close(self) -> None:
        """Close the producer. Nothing may be under way."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(*FAILURES):
                await session.producer.stop()

    async def _opened(self) -> _Session:
        async with self._opening:
            if self._session is None:
                producer = AIOKafkaProducer(
                    **self._settings.client_options(),
                    acks="all",
                    enable_idempotence=True,
                    compression_type=None if self._settings.compression == "none" else self._settings.compression,
                    max_batch_size=self._settings.max_batch_bytes,
                )
                try:
                    await producer.start()
                except BaseException:
                    await _discard(producer)
                    raise
                self._session = _Session(producer)
            return self._session


async def _discard(producer: AIOKafkaProducer) -> None:
    """Close a producer that may hold batches which it would go on sending for ever; `stop` alone waits for them."""
    # aiokafka has no public way to give batches up.
    sender, accumulator = producer._sender, producer._message_accumulator  # noqa: SLF001 - see above
    with contextlib.suppress(Exception):  # whatever it breaks with, it is over
        await asyncio.wait_for(sender.close(), _DISCARD_S)
    queued = [batch for batches in accumulator._batches.values() for batch in batches]  # noqa: SLF001 - see above
    accumulator.fail_all(KafkaTimeoutError())
    for batch in queued:
        for future in (batch.future, batch._drain_waiter):  # noqa: SLF001 - see above
            if future.done() and not future.cancelled():
                future.exception()  # else asyncio complains that nobody asked for it
    with contextlib.suppress(*FAILURES):
        await producer.stop()
