"""The rights that docs/access.md names are enough for tenants' producers and for who merges, and no more than that."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError
from pydantic import SecretStr

from fakes.events import message
from fixtures.kafka_guarded import KNOWN_WORD, GuardedKafka, guarding, rights_in
from helamem.schemas.errors import ConfigurationError
from helamem.schemas.records import TopicPartition
from helamem.schemas.topics import CONVERSATIONS, DEAD_LETTERS, TOPICS, inlet_of
from helamem.schemas.wire import encode
from helamem.streams.config import Config
from helamem.streams.gateway.keys import Keys
from helamem.streams.inlet import merger
from helamem.streams.inlet.run import Merging
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import apply_topics

pytestmark = pytest.mark.slow  # the broker takes seconds to start

ROWS = re.findall(
    r"^\| (.+?) \| (topic|group)s? (.+?) \| (.+?) \|$",
    (Path(__file__).parents[3] / "docs" / "access.md").read_text(),
    re.MULTILINE,
)
TENANT = rights_in([row[1:] for row in ROWS if row[0] == "acme's producers"])
MERGING = rights_in([row[1:] for row in ROWS if row[0] == "`helamem merge`"])
INLETS = [inlet_of("acme"), inlet_of("acme-2")]
_WAIT_S = 60.0


@pytest.fixture
def guarded() -> Iterator[GuardedKafka]:
    """A broker that checks rights."""
    with guarding("acme", "merging") as broker:
        yield broker


def test_these_rights_are_enough(guarded: GuardedKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant's producer reaches its inlet and nothing else; who merges says which right it lacks."""
    monkeypatch.setattr(merger, "TRIM_S", 0.2)
    asyncio.run(tried(guarded))


async def tried(guarded: GuardedKafka) -> None:
    operator = KafkaSettings(bootstrap_servers=guarded.servers)
    await apply_topics(operator, [*TOPICS, *INLETS], replication=1)
    assert len(TENANT) == 2
    for right in TENANT:
        await guarded.allow("acme", right)
    assert {right.operation for right in MERGING} == {"Read", "Write", "Delete", "Describe", "DescribeConfigs"}
    for right in MERGING:
        if right.operation != "Delete":
            await guarded.allow("merging", right)

    said = encode(message("m1", "I moved to Bergen.", space="acme/mira"))
    options = guarded.settings_of("acme").client_options()
    async with AIOKafkaProducer(**options, enable_idempotence=True) as producer:
        await producer.send_and_wait(INLETS[0].name, said, b"acme/mira")
        for spec in (INLETS[1], CONVERSATIONS, DEAD_LETTERS):
            with pytest.raises(TopicAuthorizationFailedError):
                await producer.send_and_wait(spec.name, said, b"acme/mira")
    async with reading(guarded, INLETS[0].name) as reader:
        with pytest.raises(TopicAuthorizationFailedError):
            await reader.getone()

    async with await KafkaLog.open(operator, [*TOPICS, *INLETS]) as log:
        places = await log.partitions(CONVERSATIONS.name)
        with pytest.raises(ConfigurationError, match=r"deleting what is merged from inlets .*TopicAuthorization"):
            await merging(guarded).run(asyncio.Event())
        assert sum((await log.end_offsets(places)).values()) == 1
        for right in MERGING:
            if right.operation == "Delete":
                await guarded.allow("merging", right)
        stopping = asyncio.Event()
        running = asyncio.create_task(merging(guarded).run(stopping))
        at = TopicPartition(INLETS[0].name, 0)
        async with asyncio.timeout(_WAIT_S):
            while await log.begin_offsets([at]) != {at: 1} and not running.done():  # noqa: ASYNC110 - Kafka tells nobody
                await asyncio.sleep(0.1)
        stopping.set()
        await running


@asynccontextmanager
async def reading(guarded: GuardedKafka, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Try to read as the tenant."""
    consumer = AIOKafkaConsumer(topic, **guarded.settings_of("acme").client_options(), auto_offset_reset="earliest")
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


def merging(guarded: GuardedKafka) -> Merging:
    """Return who merges, with a user of its own."""
    settings = guarded.settings_of("merging")
    config = Config(
        kafka_servers=settings.bootstrap_servers,
        kafka_security="SASL_PLAINTEXT",
        kafka_username="merging",
        kafka_password=SecretStr(KNOWN_WORD),
        session_timeout_s=3,
    )
    return Merging(config, Keys(None))
