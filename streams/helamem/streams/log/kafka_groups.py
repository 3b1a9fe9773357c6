"""The positions of groups in Kafka, read and stored from outside the group.

aiokafka's own `committed` overlooks the error of a coordinator that is still loading after a restart and says that
nothing was ever stored (0.14.0, also in its admin client). So the requests are sent and read here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from aiokafka import errors
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest

from helamem.schemas.records import TopicPartition
from helamem.streams.log.kafka_connection import Connection
from helamem.streams.log.kafka_errors import FAILURES
from helamem.streams.log.kafka_settings import KafkaSettings

T = TypeVar("T")

_NO_GENERATION = -1
_NO_MEMBER = ""
_NOT_STORED = -1
_RETRY_S = 0.1
_HAS_MEMBERS = (errors.UnknownMemberIdError, errors.IllegalGenerationError, errors.RebalanceInProgressError)


class GroupPositions:
    """Reads and stores what groups have processed.

    Args:
        settings: How to reach Kafka.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._connection = Connection(settings, _open, _close)
        self._coordinators: dict[str, int] = {}

    async def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the stored positions among those of `partitions`.

        Raises:
            RetryLater: Kafka is away.
            ConfigurationError: Kafka refuses to tell.
        """
        request = OffsetFetchRequest(group, _by_topic({partition: partition.partition for partition in partitions}))

        async def question(client: AIOKafkaClient, coordinator: int) -> dict[TopicPartition, int]:
            response = await client.send(coordinator, request, group=ConnectionGroup.COORDINATION)
            _raise_for(response.error_code)
            found = {}
            for topic, parts in response.topics:
                for partition, offset, _, code in parts:
                    _raise_for(code)
                    found[TopicPartition(topic, partition)] = int(offset)
            return {at: found[at] for at in partitions if found[at] != _NOT_STORED}

        return await self._ask(group, f"looking up positions of group {group}", question)

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Store positions of a group without members.

        Raises:
            RetryLater: Kafka is away.
            ConfigurationError: The group has members, which alone may move it; or Kafka refuses access.
        """
        topics = _by_topic({at: (at.partition, offset, "") for at, offset in offsets.items()})
        request = OffsetCommitRequest(
            group, _NO_GENERATION, _NO_MEMBER, OffsetCommitRequest.DEFAULT_RETENTION_TIME, topics
        )

        async def question(client: AIOKafkaClient, coordinator: int) -> None:
            response = await client.send(coordinator, request, group=ConnectionGroup.COORDINATION)
            for _, parts in response.topics:
                for _, code in parts:
                    _raise_for(code)

        await self._ask(group, f"storing positions of group {group}", question)

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def _ask(self, group: str, doing: str, question: Callable[[AIOKafkaClient, int], Awaitable[T]]) -> T:
        """Ask the group's coordinator, again for as long as it is moving or loading, within the time-out."""

        async def patiently(client: AIOKafkaClient) -> T:
            while True:
                try:
                    if group not in self._coordinators:
                        self._coordinators[group] = await client.coordinator_lookup(CoordinationType.GROUP, group)
                    return await question(client, self._coordinators[group])
                except _HAS_MEMBERS as error:
                    raise errors.CommitFailedError from error
                except errors.KafkaError as error:
                    self._coordinators.pop(group, None)
                    if not error.retriable:
                        raise
                    client.force_metadata_update()
                    await asyncio.sleep(_RETRY_S)

        return await self._connection.ask(doing, patiently)


async def _open(settings: KafkaSettings) -> AIOKafkaClient:
    client = AIOKafkaClient(**settings.client_options())
    try:
        await client.bootstrap()
    except BaseException:
        await _close(client)
        raise
    return client


async def _close(client: AIOKafkaClient) -> None:
    with contextlib.suppress(*FAILURES):
        await client.close()


def _raise_for(code: int) -> None:
    error = errors.for_code(code)
    if error is not errors.NoError:
        raise error


def _by_topic(values: Mapping[TopicPartition, T]) -> list[tuple[str, list[T]]]:
    topics: dict[str, list[T]] = {}
    for at, value in values.items():
        topics.setdefault(at.topic, []).append(value)
    return list(topics.items())
