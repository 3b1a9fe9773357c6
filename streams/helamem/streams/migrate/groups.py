"""The consumer groups around a migration: who is at work, how far they are, and that nobody else migrates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocol, ConsumerProtocolMemberMetadata
from aiokafka.errors import NoError, for_code
from msgspec import Struct

from helamem.schemas.errors import RetryLater
from helamem.schemas.records import TopicPartition
from helamem.streams.fleet.membership import Membership
from helamem.streams.log.kafka_groups import GroupPositions
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import admin_client

LOCK = "helamem-migration"
"""Group whose only member may migrate, or give a migration up."""
_LOOK_AGAIN_S = 0.2
_MARGIN_S = 10.0

Positions = Mapping[str, Mapping[TopicPartition, int]]
"""Next offset to process by group and partition."""
Still = Callable[[], Awaitable[None]]
"""Raises `RetryLater` where somebody else may be migrating by now."""


class _Member(Struct, frozen=True, kw_only=True):
    """One running member of a group."""

    id: str
    subscribed: frozenset[str]
    """Topics that it reads, where it is known."""


async def positions(
    settings: KafkaSettings, partitions: Sequence[TopicPartition]
) -> dict[str, dict[TopicPartition, int]]:
    """Return every group that has committed positions in these partitions, and the positions.

    Raises:
        RetryLater: Kafka is away.
    """
    async with admin_client(settings, "looking at groups") as admin:
        names = sorted(one[0] for one in await admin.list_consumer_groups())
    asked = GroupPositions(settings)
    try:
        found = {name: await asked.committed(name, partitions) for name in names}
    finally:
        await asked.close()
    return {name: offsets for name, offsets in found.items() if offsets}


async def at_work(settings: KafkaSettings, groups: Collection[str], topics: Collection[str]) -> dict[str, int]:
    """Return the number of running members of those groups that have some.

    Args:
        settings: How to reach Kafka.
        groups: Whose members count, whatever they do.
        topics: Members of any other group count where they read one of these; it may not have committed anything yet.

    Raises:
        RetryLater: Kafka is away.
    """
    wanted, found = frozenset(topics), {}
    async with admin_client(settings, "looking at groups") as admin:
        for group in sorted({one[0] for one in await admin.list_consumer_groups()}.union(groups) - {LOCK}):
            members = await _members(admin, group)
            if count := len([one for one in members if group in groups or one.subscribed & wanted]):
                found[group] = count
    return found


@asynccontextmanager
async def only_one(settings: KafkaSettings, topic: str, session_timeout_s: float) -> AsyncIterator[Still]:
    """Be the only one who migrates, and find out whether one still is.

    One that was killed is a member until its session has run out; until then nothing of it can still be under way.
    One that stood still for longer than that is no member any more, and another may have begun.

    Args:
        settings: How to reach Kafka.
        topic: Some topic that is there.
        session_timeout_s: Of the membership.

    Raises:
        RetryLater: Somebody else migrates, or Kafka is away.
    """

    async def ignore(_: list[TopicPartition]) -> None:
        """Partitions mean nothing here."""

    async def members() -> list[str]:
        async with admin_client(settings, "looking who migrates") as admin:
            return [one.id for one in await _members(admin, LOCK)]

    member = Membership(
        settings, LOCK, [topic], on_assigned=ignore, on_revoked=ignore, session_timeout_s=session_timeout_s, revoke_s=1
    )
    ending = asyncio.Event()
    async with member:
        staying = asyncio.create_task(member.stay(ending))
        try:
            try:
                async with asyncio.timeout(session_timeout_s + _MARGIN_S):
                    while len(ours := await members()) != 1:  # noqa: ASYNC110 - Kafka tells nobody
                        await asyncio.sleep(_LOOK_AGAIN_S)
            except TimeoutError:
                raise RetryLater("somebody else is migrating; try again when that has ended") from None

            async def still() -> None:
                if ours[0] not in await members():  # a member that comes back has another id
                    raise RetryLater(
                        "this migration stood still for so long that another may have begun; look with"
                        " `helamem topics show` and run it again"
                    )

            yield still
        finally:
            ending.set()
            await staying


async def _members(admin: AIOKafkaAdminClient, group: str) -> list[_Member]:
    found: list[_Member] = []
    for response in await admin.describe_consumer_groups([group]):
        for code, _, _, protocol, _, members, *_ in response.groups:
            error = for_code(code)
            if error is not NoError:  # else a coordinator that is loading would say that nobody is there
                raise error(group)
            found += [
                _Member(id=one[0], subscribed=_subscribed(one[3]) if protocol == _CONSUMERS else frozenset())
                for one in members
            ]
    return found


_CONSUMERS = ConsumerProtocol.PROTOCOL_TYPE


def _subscribed(metadata: bytes) -> frozenset[str]:
    try:
        return frozenset(ConsumerProtocolMemberMetadata.decode(metadata or b"").subscription)
    except (ValueError, TypeError):  # while a group is forming, there is none
        return frozenset()
