"""A broker without topics of the product, since each of these tests uses all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from fixtures.kafka import Kafka, kafka, own_kafka
from helamem.schemas.topics import TOPICS

__all__ = ["kafka", "own_kafka"]

_GONE_S = 120.0


@pytest.fixture
async def broker(own_kafka: Kafka) -> AsyncIterator[Kafka]:
    """A broker to do anything to, with none of our topics, before and after."""
    await _clear(own_kafka)
    yield own_kafka
    own_kafka.resume()
    await asyncio.to_thread(own_kafka.start)
    await _clear(own_kafka)


async def _clear(broker: Kafka) -> None:
    """Delete our topics, and with them the positions of our groups."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.servers)
    await admin.start()
    try:
        names = {spec.name for spec in TOPICS}
        if there := sorted(names.intersection(await admin.list_topics())):
            await admin.delete_topics(there)
        deadline = time.monotonic() + _GONE_S
        while names.intersection(await admin.list_topics()):
            assert time.monotonic() < deadline, f"Kafka did not delete our topics within {_GONE_S:.0f} s"
            await asyncio.sleep(0.1)
    finally:
        await admin.close()
