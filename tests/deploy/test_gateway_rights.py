"""The gateway's user at Kafka, on a broker that allows what the chart names and nothing else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import yaml

from fixtures.kafka_guarded import KNOWN_WORD, GuardedKafka, Right, guarding
from fixtures.programs import HELM, checked
from helamem.schemas.topics import CONVERSATIONS
from helamem.streams.log.generation import specs_of
from helamem.streams.log.kafka_generations import prepare
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import admin_client
from streams.cli.fleet import Worker
from streams.cli.shell import ended, run
from streams.cli.test_fleet_gateway import Serving, behave_as_one
from streams.gateway.asking import SPACE, said
from streams.store_process.process import StoreProcess

pytestmark = pytest.mark.slow  # the broker takes seconds to start

ROOT = Path(__file__).parents[2]
WITHOUT = {"no-read": "Read", "no-write": "Write", "no-describe-configs": "DescribeConfigs"}
"""Users who lack one right. Describe goes with the others: Kafka gives it to whoever may read or write."""


def rights() -> list[Right]:
    """Return what the chart gives the gateway's user."""
    values = "strimzi.enabled=true,gateway.enabled=true,gateway.keys.name=keys,gateway.keys.key=keys.json"
    text = checked(HELM, "template", "mem", ROOT / "deploy" / "helm" / "helamem", "--set", values)
    (user,) = (
        one
        for one in yaml.safe_load_all(text)
        if one and one["kind"] == "KafkaUser" and one["metadata"]["name"] == "mem-helamem-gateway"
    )
    return [
        Right(acl["resource"]["type"], acl["resource"]["name"] + "*", operation)
        for acl in user["spec"]["authorization"]["acls"]
        for operation in acl["operations"]
        if acl["resource"]["patternType"] == "prefix"
    ]


def test_the_docs_name_the_same_rights() -> None:
    """Those of the chart, no group among them."""
    page = (ROOT / "docs" / "gateway.md").read_text()
    ((operations, topics),) = re.findall(r"\*\*Rights at Kafka\*\*: (.+) of the topics `(.+?)`", page)
    named = {Right("topic", topics, operation) for operation in re.split(", | and ", operations)}
    assert named == {*rights()}


@pytest.fixture
def guarded() -> Iterator[GuardedKafka]:
    """A broker that checks rights."""
    with guarding("gateway", *WITHOUT) as broker:
        yield broker


@pytest.fixture
def fleet(guarded: GuardedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """Topics, a store and a worker, all of the broker's operator, and what a migration that was given up left."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HELAMEM_STORE_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("HELAMEM_KAFKA_SERVERS", guarded.servers)
    assert run("topics", "apply").code == 0
    asyncio.run(begin_migration(KafkaSettings(bootstrap_servers=guarded.servers)))
    store = StoreProcess(tmp_path / "store", options=())
    store.start()
    worker = Worker("all")
    yield worker
    worker.process.kill()
    worker.wait()
    store.kill()


async def begin_migration(settings: KafkaSettings) -> None:
    """Make a topic of the next generation: which one is in use then stands in the topics' configuration alone."""
    source, target = (specs_of(number, 4, [CONVERSATIONS]) for number in (1, 2))
    async with admin_client(settings, "preparing") as admin:
        await prepare(admin, source, target, 1)


def test_these_rights_are_enough_and_each_is_needed(
    guarded: GuardedKafka, fleet: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With them all that needs Kafka works; without one a sentence says that Kafka refused, and doing what."""
    named = rights()
    for user, lacking in (("gateway", None), *WITHOUT.items()):
        for right in named:
            if right.operation != lacking:
                asyncio.run(guarded.allow(user, right))
    file = tmp_path / "keys.json"
    key = run("keys", "add", "--file", file, "--tenant", "acme", "--rights", "append,recall,audit,erase,admin").json
    settings = guarded.settings_of("gateway")
    monkeypatch.setenv("HELAMEM_GATEWAY_KEYS", str(file))
    monkeypatch.setenv("HELAMEM_KAFKA_SERVERS", settings.bootstrap_servers)
    monkeypatch.setenv("HELAMEM_KAFKA_SECURITY", settings.security_protocol)
    monkeypatch.setenv("HELAMEM_KAFKA_PASSWORD", KNOWN_WORD)

    with ExitStack() as stack:

        def serving(user: str) -> Serving:
            monkeypatch.setenv("HELAMEM_KAFKA_USERNAME", user)
            one = Serving()
            stack.callback(one.process.communicate)
            stack.callback(one.process.kill)
            return one

        def asking(one: Serving) -> httpx.Client:
            headers = {"Authorization": f"Bearer {key['key']}"}
            return stack.enter_context(httpx.Client(base_url=one.ready().address, headers=headers, timeout=30))

        fleet.says("ready: ")
        able = serving("gateway")
        client = asking(able)
        behave_as_one(client, client)
        assert client.post("/v1/dead-letters/redrive").status_code == 200
        able.stop()

        blind, deaf, mute = (serving(user) for user in ("no-describe-configs", "no-read", "no-write"))
        ran = ended(blind.process)
        assert ran.code == 2
        assert "configuration of a topic (TopicAuthorizationFailedError, helamem.conversations.g1)" in ran.err
        for answer, doing in (
            (asking(deaf).get(f"{SPACE}/history"), "reading"),
            (asking(mute).post(f"{SPACE}/messages", json=said()), "appending to"),
        ):
            assert (answer.status_code, answer.json()["type"]) == (500, "urn:helamem:problem:configuration")
            assert re.fullmatch(
                rf"Kafka at {settings.bootstrap_servers} refused access, {doing} helamem\.\S+ "
                r"\((Topic|Cluster)AuthorizationFailedError\); check user, password and the user's rights",
                answer.json()["detail"],
            )
