"""`helamem gateway --kafka`: any number of gateways before one fleet, none of which keeps anything."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from fixtures.ports import free_ports
from helamem.schemas.events import ConversationMessage
from helamem.schemas.ids import memory_id
from helamem.schemas.topics import CONVERSATIONS, TOPICS
from helamem.schemas.wire import decode
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.cli.shell import logged, run, start
from streams.gateway.asking import SPACE, said
from streams.gateway.test_kill import Client

__all__ = ["fleet", "kafka", "own_kafka"]

READY_S = 60.0
CLIENTS = 3


class Serving:
    """One gateway as a process of its own."""

    def __init__(self, port: int = 0) -> None:
        self.process = start("gateway", "--kafka", "--port", port)
        assert self.process.stderr is not None
        self.said = logged(self.process.stderr.readline())
        self.address = self.said.rpartition(" at ")[2].split(";")[0].rstrip("/")
        if "the console is at" in self.said:
            self.address = self.said.split("; the console")[0].rpartition(" at ")[2]

    def ready(self) -> Serving:
        """Wait until broker and store have answered."""
        deadline = time.monotonic() + READY_S
        while httpx.get(f"{self.address}/ready", timeout=60).status_code != httpx.codes.OK:
            assert time.monotonic() < deadline, self.process.poll()
            time.sleep(0.05)
        return self

    def stop(self) -> str:
        """End it in good order and return what it said."""
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, err
        return err


@contextmanager
def serving(count: int) -> Iterator[list[Serving]]:
    """Start gateways, side by side; what still runs is killed."""
    started = [Serving() for _ in range(count)]
    try:
        yield [one.ready() for one in started]
    finally:
        for one in started:
            one.process.kill()
            one.process.communicate()


@pytest.mark.slow
def test_two_gateways_are_one(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one takes the other recalls, repeats, follows, explains and erases; both ask for keys and share a rate."""
    run("topics", "apply")
    fleet.store.start()
    worker = fleet.ready_worker()
    file = tmp_path / "keys.json"
    key = run("keys", "add", "--file", file, "--tenant", "acme", "--rights", "append,recall,audit,erase,admin").json
    rare = run("keys", "add", "--file", file, "--tenant", "acme", "--rate", 0.02).json["key"]
    monkeypatch.setenv("HELAMEM_GATEWAY_KEYS", str(file))
    monkeypatch.setenv("HELAMEM_GATEWAYS", "2")
    with serving(2) as (one, other):
        assert httpx.get(f"{one.address}/v1/spaces", timeout=60).status_code == 401
        for at in (one, other):
            asked = [
                httpx.get(f"{at.address}/v1/spaces", headers={"Authorization": f"Bearer {rare}"}, timeout=60)
                for _ in range(2)
            ]
            assert [answer.status_code for answer in asked] == [200, 429]
            assert "0.02 times a second (0.01 at each of 2 gateways)" in asked[1].json()["detail"]
        headers = {"Authorization": f"Bearer {key['key']}"}
        with (
            httpx.Client(base_url=one.address, headers=headers, timeout=30) as here,
            httpx.Client(base_url=other.address, headers=headers, timeout=30) as there,
        ):
            behave_as_one(here, there)
        assert one.stop().count("\n") == other.stop().count("\n") == 0
    accesses = run("access", "--kafka").json["accesses"]
    assert sum(one["did"] == "key added for acme" for one in accesses) == 2
    assert {"POST /v1/spaces/{tenant}/{name}/erase", "memory.recalled.v1"} <= {one["did"] for one in accesses}
    assert worker.stop().code == 0


def behave_as_one(here: httpx.Client, there: httpx.Client) -> None:
    """Ask two gateways in turn."""
    appended = here.post(f"{SPACE}/messages?wait=searchable", json=said(), headers={"Idempotency-Key": "k"}).json()
    assert (appended["searchable"], appended["repeated"]) == (True, False)
    again = there.post(f"{SPACE}/messages", json=said(), headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.json()["repeated"]) == (200, True)
    assert again.json()["position"] == appended["position"]
    batch = {"messages": [said(f"Bergen has {what}.", message_id=what) for what in ("rain", "fish", "hills")]}
    assert there.post(f"{SPACE}/messages/batch?wait=searchable", json=batch).json()["searchable"]
    line = orjson.dumps(said("They are happy there.", space="acme/mira", message_id="line"))
    streamed = here.post("/v1/messages/stream", content=line, headers={"Content-Type": "application/x-ndjson"})
    assert streamed.json()["appended"] == 1

    recalled = there.post(f"{SPACE}/recall", json={"query": "Where does Mira live?"}).json()
    memories = [one["id"] for one in recalled["results"] if one["kind"] == "memory"]
    assert appended["memory_id"] in memories
    useful = {"recall_id": recalled["recall_id"], "memory_ids": memories[:2]}
    for one in (here, there):
        assert one.post(f"{SPACE}/reinforce", json=useful, headers={"Idempotency-Key": "r"}).status_code == 200
    deadline = time.monotonic() + 30
    while not (links := here.get(f"{SPACE}/memories/{memories[0]}/neighbours").json()["neighbours"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert links
    assert here.get("/v1/spaces").json()["spaces"][0]["space"] == "acme/mira"
    assert here.get(f"{SPACE}/facts").status_code == here.get(f"{SPACE}/profile").status_code == 200
    assert there.get(f"{SPACE}/why/{memories[0]}").json()["lineage"]
    kinds = [one["kind"] for one in here.get(f"{SPACE}/history").json()["changes"]]
    assert kinds.count("memory") == 5
    assert "links" in kinds
    assert there.get("/v1/dead-letters").json()["dead_letters"] == []
    moments = {"before": recalled["as_of"], "after": "2100-01-01T00:00:00Z"}
    between = here.get(f"{SPACE}/diff", params=moments)
    assert (between.status_code, between.json()) == (200, there.get(f"{SPACE}/diff", params=moments).json())
    assert between.json()["edges"]
    assert not any(between.json()["memories"].values())

    with there.stream("GET", f"{SPACE}/events?begin=first") as events:
        parts = events.iter_lines()
        told = [next(one for one in parts if one.startswith("event: ")) for _ in range(6)]
    assert told.count("event: conversation.message.v1") >= 1

    erased = here.post(f"{SPACE}/erase", json={"subject": "Mira"})
    assert (erased.status_code, erased.json()["memories"]) == (200, 5)
    assert there.get(f"{SPACE}/memories/{memories[0]}").json()["text"] in (None, "")
    texts = [one.get("text") for one in there.get(f"{SPACE}/history").json()["changes"] if one["kind"] == "memory"]
    assert texts == [None] * 5


@pytest.mark.slow
def test_no_answered_append_is_lost(fleet: Fleet) -> None:
    """A gateway is killed beneath clients that retry: each message is one memory, and is in the log."""
    run("topics", "apply")
    fleet.store.start()
    worker = fleet.ready_worker()
    (port,) = free_ports(1)
    gateway = Serving(port).ready()
    clients = [Client(number, gateway.address) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        time.sleep(0.7)
        gateway.process.kill()
        gateway.process.communicate()
        gateway = Serving(port).ready()
        time.sleep(0.4)
    finally:
        for client in clients:
            client.stopping.set()
        for client in clients:
            client.join()
    gateway.stop()
    answered = [answer for client in clients for answer in client.answered.values()]
    assert len(answered) > 50
    assert sum(client.retried for client in clients) > 0
    assert set(asyncio.run(messages(fleet))) >= {str(answer["memory_id"]) for answer in answered}
    fleet.catch_up()
    assert len({str(answer["memory_id"]) for answer in answered}) == len(answered)
    digest = run("digest", "--kafka").json
    assert digest["parts"]["acme/mira"]["counts"]["memories"] == len(answered)
    assert not worker.stop().json["counts"].get("conflict")


async def messages(fleet: Fleet) -> list[str]:
    """Return the memory ids of all messages in the log, in any order, also of those that stand there twice."""
    found: list[str] = []
    async with await KafkaLog.open(KafkaSettings(bootstrap_servers=fleet.broker.servers), TOPICS) as log:
        for place in await log.partitions(CONVERSATIONS.name):
            offset = 0
            while records := await log.read(place, offset):
                offset = records[-1].offset + 1
                said_: list[Any] = [decode(record.value) for record in records]
                found += [
                    memory_id(event.space, event.data.message_id)
                    for event in said_
                    if isinstance(event.data, ConversationMessage)
                ]
    return found
