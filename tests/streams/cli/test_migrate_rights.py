"""The rights that docs/fleet.md names are those that a migration needs, on a Kafka that gives no others."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.kafka_guarded import OPERATIONS, GuardedKafka, guarding, rights_in
from helamem.schemas.errors import ConfigurationError
from helamem.schemas.topics import FACTS
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from streams.cli.idle_fleet import IdleFleet
from streams.store_process.process import StoreProcess

pytestmark = pytest.mark.slow  # the broker takes seconds to start

FLEET = Path(__file__).parents[3] / "docs" / "fleet.md"
USER = "migrator"
RIGHTS = rights_in(re.findall(r"^\| (topic|group)s? (.+?) \| (.+?) \|", FLEET.read_text(), re.MULTILINE))
"""Those of the table in the docs."""


@pytest.fixture
def guarded() -> Iterator[GuardedKafka]:
    """A broker that checks rights."""
    with guarding(USER) as broker:
        yield broker


def test_these_rights_are_enough(guarded: GuardedKafka, tmp_path: Path) -> None:
    """With all of them it migrates, a platform's group included; without one it says which, and nothing has begun."""
    store = StoreProcess(tmp_path / "home", options=())
    store.start()
    try:
        asyncio.run(migrated(guarded, tmp_path / "home"))
    finally:
        store.kill()


async def migrated(guarded: GuardedKafka, home: Path) -> None:
    operator = IdleFleet(KafkaSettings(bootstrap_servers=guarded.servers), home)
    await operator.begin()
    await operator.distil("d1")
    await operator.processed()
    async with await KafkaLog.open(operator.settings, [FACTS]) as log:
        await log.commit("platform-webhook", await log.end_offsets(await log.partitions(FACTS.name)))
    named = RIGHTS
    assert {right.operation for right in named} == {*OPERATIONS} - {"Delete"}
    idle = IdleFleet(guarded.settings_of(USER), home)
    for right in named:
        if right.operation != "AlterConfigs":
            await guarded.allow(USER, right)
    with pytest.raises(ConfigurationError, match=r"TopicAuthorizationFailedError.*DescribeConfigs and AlterConfigs"):
        await idle.migrate(6)
    assert (await operator.states())[0] == "in use"
    for right in named:
        if right.operation == "AlterConfigs":
            await guarded.allow(USER, right)
    assert await idle.migrate(6) == 2
    async with await KafkaLog.open(operator.settings, [FACTS]) as log:
        assert len(await log.committed("platform-webhook")) == 6
