"""A platform's own agent, as the example shows it, runs beside everything else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from fakes.events import distilled, event
from fixtures.kafka import Kafka, kafka
from fixtures.webhook import Address, address
from helamem.schemas.events import KnowledgeRetracted
from helamem.schemas.ids import fact_id
from helamem.schemas.records import NewRecord
from helamem.schemas.topics import DEAD_LETTERS, FACTS
from helamem.schemas.wire import encode
from helamem.streams.dead_letters import read_dead_letters
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import apply_topics

__all__ = ["address", "kafka"]

pytestmark = pytest.mark.slow  # the example is a process, on a real broker

ROOT = Path(__file__).parents[3]


async def test_facts_are_posted(kafka: Kafka, address: Address) -> None:
    """Each fact once the address is there; what it refuses is put aside; the group's position is at the end."""
    settings = KafkaSettings(bootstrap_servers=kafka.servers)
    await apply_topics(settings, [FACTS, DEAD_LETTERS], replication=1)
    name = f"webhook-{uuid.uuid4().hex[:8]}"
    space = f"acme/{name}"
    events = [distilled(f"{name}-{n}", text, space=space) for n, text in enumerate(["tea", "a secret", "coffee"])]
    events.append(
        event(f"{name}-r", KnowledgeRetracted(fact_id=fact_id(space, "fact", "tea"), reason="x"), space=space)
    )
    async with await KafkaLog.open(settings, [FACTS, DEAD_LETTERS]) as log:
        places = await log.append([NewRecord(topic=FACTS.name, key=space.encode(), value=encode(e)) for e in events])
        ends = await log.end_offsets(await log.partitions(FACTS.name))
        example = subprocess.Popen(  # noqa: ASYNC220 - it takes milliseconds
            [sys.executable, str(ROOT / "examples" / "facts_webhook.py")],
            env=os.environ
            | {
                "PYTHONPATH": os.pathsep.join(str(ROOT / root) for root in ("schemas", "processors", "streams")),
                "HELAMEM_KAFKA_SERVERS": kafka.servers,
                "WEBHOOK_NAME": name,
                "WEBHOOK_URL": f"http://127.0.0.1:{address.server_port}/facts",
            },
        )
        try:
            async with asyncio.timeout(60):
                while await log.committed(name) != {at: end for at, end in ends.items() if end}:
                    assert example.poll() is None
                    await asyncio.sleep(0.2)
            example.terminate()
            assert await asyncio.to_thread(example.wait, 30) == 0
        finally:
            example.kill()
            example.wait()
        own = {key: text for key, text in address.posted.items() if key.startswith(name)}
        assert own == {f"{name}-0": "tea", f"{name}-2": "coffee"}
        letters = [letter async for letter in read_dead_letters(log) if letter.group == name]
        at, offset = places[1]
        (letter,) = [each for each in letters if (each.partition, each.offset) == (at.partition, offset)]
        assert letter.reason == f"http://127.0.0.1:{address.server_port}/facts refused the fact with status 422"
