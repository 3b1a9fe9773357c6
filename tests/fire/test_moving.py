"""Partitions move to a worker that is added while there is work, and back when it goes."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

from fire.fleet import READS, Fleet, fleet
from fire.proof import prove
from fixtures.kafka import Kafka

pytestmark = pytest.mark.slow

MOVED_S = 180.0


async def test_adding_and_removing_a_worker_moves_partitions(broker: Kafka) -> None:
    """A second worker takes its share while the first is at work, and gives it back; no effect is lost or doubled."""
    async with fleet(broker) as (running, log):
        first, second = running.worker(0), running.worker(1)
        first.start()
        producer = running.produce(seed=1, most_ahead=3000, pause_s=0.5)
        alone = await _shares(running, members=1)
        second.start()
        both = await _shares(running, members=2)
        for group, shares in both.items():
            assert all(shares), f"in {group} one of the two has nothing to do: {shares}"
            assert set.union(*shares) == set.union(*alone[group])
        await asyncio.sleep(3.0)
        await second.end()
        assert await _shares(running, members=1) == alone
        await asyncio.sleep(3.0)
        await producer.end()
        await running.drained(log)
        await first.end()
        await prove(running, log)


async def _shares(running: Fleet, members: int) -> dict[str, list[set[str]]]:
    """Wait until every group is at rest with so many members and return which partitions each has."""
    deadline = time.monotonic() + MOVED_S
    seen: object = "nothing yet"
    admin = AIOKafkaAdminClient(bootstrap_servers=running.broker.servers)
    await admin.start()
    try:
        while True:
            try:
                groups = {
                    group: (state, [_partitions(member[-1]) for member in found])
                    for name in READS  # one by one: aiokafka 0.14.0 cannot read an answer about several
                    for response in await admin.describe_consumer_groups([name])
                    for _, group, state, _, _, found, *_ in response.groups
                }
            except KafkaError:
                groups = {}
            seen = {group: (state, len(shares)) for group, (state, shares) in groups.items()}
            if groups.keys() == READS.keys() and set(seen.values()) == {("Stable", members)}:
                return {group: shares for group, (_, shares) in groups.items()}
            assert time.monotonic() < deadline, (
                f"no group of {members} within {MOVED_S:.0f} s: {seen}{running.troubles}"
            )
            await asyncio.sleep(0.2)
    finally:
        await admin.close()


def _partitions(assignment: bytes) -> set[str]:
    if not assignment:
        return set()
    return {f"{at.topic}/{at.partition}" for at in ConsumerProtocolMemberAssignment.decode(assignment).partitions()}
