"""The rights that docs/fleet.md names are those that a migration needs, on a Kafka that gives no others."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import NoError, for_code
from aiokafka.protocol.admin import CreateAclsRequest

from fixtures.kafka_jars import CannotFetch
from fixtures.kafka_java import JavaKafka
from fixtures.ports import free_ports
from helamem.schemas.errors import ConfigurationError
from helamem.schemas.topics import FACTS
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from streams.cli.idle_fleet import IdleFleet
from streams.store_process.process import StoreProcess

pytestmark = pytest.mark.slow  # the broker takes seconds to start

FLEET = Path(__file__).parents[3] / "docs" / "fleet.md"
USER, PASSWORD = "migrator", "a-word"
KINDS = {"topic": 2, "group": 3}
ANY, LITERAL, PREFIXED = "*", 3, 4
OPERATIONS = {
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Describe": 8,
    "DescribeConfigs": 10,
    "AlterConfigs": 11,
}
ALLOW = 3


class Right(NamedTuple):
    """What a user may do with which topics or groups."""

    kind: str
    name: str
    operation: str


def rights() -> list[Right]:
    """Return the rights of the table in the docs."""
    rows = re.findall(r"^\| (topic|group)s? (.+?) \| (.+?) \|", FLEET.read_text(), re.MULTILINE)
    return [
        Right(kind, name, operation)
        for kind, names, operations in rows
        for name in re.findall(r"`(.+?)`", names)
        for operation in operations.split(", ")
    ]


class GuardedKafka(JavaKafka):
    """A broker that asks for a password and allows nothing, but to its operator at the other door."""

    def __init__(self) -> None:
        self._door = free_ports(1)[0]
        super().__init__()
        self.settings = KafkaSettings(
            bootstrap_servers=f"127.0.0.1:{self._door}",
            security_protocol="SASL_PLAINTEXT",
            sasl_username=USER,
            sasl_password=PASSWORD,
        )

    async def allow(self, right: Right) -> None:
        """Give the user a right."""
        prefix = right.name.removesuffix(ANY)
        name, pattern = (prefix, PREFIXED) if prefix and prefix != right.name else (right.name, LITERAL)
        request = CreateAclsRequest(
            KINDS[right.kind], name, pattern, f"User:{USER}", ANY, OPERATIONS[right.operation], ALLOW
        )
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            response = await admin._send_request(request)
        finally:
            await admin.close()
        assert [for_code(code) for code, _ in response.creation_responses] == [NoError], right

    def _properties(self, node: int) -> str:
        properties = super()._properties(node)
        door = rf"\g<0>,GUARDED://127.0.0.1:{self._door}"
        properties = re.sub(r"^(advertised\.)?listeners=.*", door, properties, flags=re.MULTILINE)
        login = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        more = {
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,GUARDED:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.guarded.plain.sasl.jaas.config": login,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }
        return properties + "".join(f"{name}={value}\n" for name, value in more.items())


@pytest.fixture
def guarded() -> Iterator[GuardedKafka]:
    """A broker that checks rights; where there is no Java there is none."""
    try:
        broker = GuardedKafka()
    except CannotFetch as reason:
        give_up = pytest.fail if os.environ.get("HELAMEM_REQUIRE_KAFKA") else pytest.skip
        give_up(f"a Kafka that checks rights cannot be had here: {reason}")
    yield broker
    broker.close(keep_logs=None)


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
    named = rights()
    assert {right.operation for right in named} == {*OPERATIONS}
    idle = IdleFleet(guarded.settings, home)
    for right in named:
        if right.operation != "AlterConfigs":
            await guarded.allow(right)
    with pytest.raises(ConfigurationError, match=r"TopicAuthorizationFailedError.*DescribeConfigs and AlterConfigs"):
        await idle.migrate(6)
    assert (await operator.states())[0] == "in use"
    for right in named:
        if right.operation == "AlterConfigs":
            await guarded.allow(right)
    assert await idle.migrate(6) == 2
    async with await KafkaLog.open(operator.settings, [FACTS]) as log:
        assert len(await log.committed("platform-webhook")) == 6
