"""`helamem merge` on a real Kafka: tenants' own producers, killed mergers, and who reaches whom."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from msgspec.structs import replace

from fakes.events import message
from helamem.schemas.events import ConversationMessage
from helamem.schemas.ids import derived_id
from helamem.schemas.records import Headers, Record, TopicPartition
from helamem.schemas.topics import CONVERSATIONS, TOPICS, TopicSpec, inlet_of
from helamem.schemas.wire import Event, decode, encode
from helamem.streams.inlet.rules import GROUP
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_inlets import delete_before, inlets_in
from helamem.streams.log.kafka_settings import KafkaSettings
from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.cli.shell import run

__all__ = ["fleet", "kafka", "own_kafka"]

pytestmark = pytest.mark.slow  # the broker takes seconds to start

SPACES = ("acme/mira", "acme/tom", "acme/team")
EACH = 500
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_WAIT_S = 60.0


class NoText(str):
    """The name of a header whose bytes are no UTF-8, which Kafka takes and aiokafka cannot read."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        """Return the bytes."""
        return b"\xff\xfe"


def produce(
    fleet: Fleet, tenant: str, events: Iterable[Event], headers: Headers = (), partition: int | None = None
) -> None:
    """Write whole CloudEvents as a tenant's own producer does: packed, with the space as key."""

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=fleet.broker.servers, compression_type="gzip") as producer:
            sent = [
                await producer.send(
                    inlet_of(tenant).name, encode(event), event.space.encode(), partition, headers=[*headers]
                )
                for event in events
            ]
            await asyncio.gather(*sent)

    asyncio.run(send())


def settings_of(fleet: Fleet) -> KafkaSettings:
    """Return how to reach the broker."""
    return KafkaSettings(bootstrap_servers=fleet.broker.servers)


async def merged(fleet: Fleet) -> list[Record]:
    """Return all messages in the topic that everybody reads, settings left out."""
    found: list[Record] = []
    async with await KafkaLog.open(settings_of(fleet), TOPICS) as log:
        for at in await log.partitions(CONVERSATIONS.name):
            offset = 0
            while records := await log.read(at, offset):
                offset = records[-1].offset + 1
                found += [one for one in records if isinstance(decode(one.value).data, ConversationMessage)]
    return found


async def left(fleet: Fleet) -> int:
    """Return how many records of inlets are not committed yet."""
    specs = (await inlets_in(settings_of(fleet))).sound
    async with KafkaLog(settings_of(fleet), specs) as log:
        places = [TopicPartition(spec.name, number) for spec in specs for number in range(spec.partitions)]
        done, ends = await log.committed(GROUP), await log.end_offsets(places)
    return sum(end - done.get(at, 0) for at, end in ends.items())


def until(what: Callable[[], bool]) -> None:
    """Wait for something."""
    deadline = time.monotonic() + _WAIT_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def said(space: str, number: int, **fields: str) -> Event:
    """Return a message of a producer."""
    return replace(message(f"m{number}", f"Turn {number}.", space=space), **fields)


def test_a_killed_merger_loses_nothing_and_doubles_nothing(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the middle and followed by two: every message has effect once, and the order of its space."""
    monkeypatch.setenv("HELAMEM_BATCH_RECORDS", "5")
    assert run("topics", "apply", "--inlet", "acme", "--inlet-partitions", "2").code == 0
    produce(fleet, "acme", (said(space, number) for number in range(EACH) for space in SPACES))
    first = fleet.merger()
    first.says("ready: ")
    fleet.next_commit(GROUP)  # the first of some hundred
    first.process.kill()
    first.wait()
    assert asyncio.run(left(fleet)) > 0
    following = [fleet.merger("--ready-file", f"ready-{number}") for number in range(2)]
    for one in following:
        one.says("ready: ")
    until(lambda: asyncio.run(left(fleet)) == 0)
    for one in following:
        stopped = one.stop()
        assert stopped.code == 0, stopped.err
        assert stopped.json["abandoned"] == []
    records = asyncio.run(merged(fleet))
    events = [decode(one.value) for one in records]
    assert all(one.key == event.space.encode() for one, event in zip(records, events, strict=True))
    for space in SPACES:
        found = list(dict.fromkeys(event.id for event in events if event.space == space))
        assert found == [derived_id("message", space, f"m{number}") for number in range(EACH)]
    doubled = Counter((event.id, one.value) for one, event in zip(records, events, strict=True))
    assert len(doubled) == len(SPACES) * EACH  # what stands there twice is the same bytes: readers pass over it


def test_a_tenant_reaches_its_own_spaces_alone(fleet: Fleet) -> None:
    """Its inlet says who it is: what names another tenant's space is put aside, with its place, and delays nobody."""
    assert run("topics", "apply").code == 0
    assert GROUP not in run("lag", "--kafka").json["groups"]
    assert run("topics", "apply", "--inlet", "acme").code == 0
    assert fleet.lag(GROUP) == 0
    process = fleet.merger()
    process.says("ready: merging 1 inlet")
    theirs = said("globex/tom", 1, id=derived_id("message", "globex/tom", "m7"))
    produce(fleet, "acme", [said("acme/mira", 1), theirs, said("acme/mira", 2)], (("traceparent", TRACE.encode()),))
    made = run("topics", "apply", "--inlet", "globex")
    assert [one["name"] for one in made.json["topics"] if one["created"]] == [inlet_of("globex").name]
    produce(fleet, "globex", [said("globex/tom", 7)])
    process.says("ready: merging 2 inlets")
    until(lambda: asyncio.run(left(fleet)) == 0)

    records = asyncio.run(merged(fleet))
    events = {event.id: event for event in (decode(one.value) for one in records)}
    assert sorted((one.space, str(one.traceparent)) for one in events.values()) == [
        ("acme/mira", TRACE),
        ("acme/mira", TRACE),
        ("globex/tom", "None"),
    ]
    assert {dict(one.headers).get("traceparent") for one in records} == {TRACE.encode(), None}
    (letter,) = run("dead-letters", "list", "--kafka").json["dead_letters"]
    assert (letter["topic"], letter["offset"], letter["group"]) == (inlet_of("acme").name, 1, "merge")
    assert letter["field"] == "subject"
    refused = run("dead-letters", "redrive", "--all", "--kafka")
    assert refused.code == 1
    assert "have its producer send what was meant there again" in refused.err

    shown = run("topics", "show")
    assert shown.code == 0, shown.err
    assert [one["name"] for one in shown.json["topics"]][-2:] == [inlet_of("acme").name, inlet_of("globex").name]
    again = run("topics", "apply", "--inlet", "acme", "--inlet-partitions", "3")
    assert (again.code, "keeps them" in again.err) == (2, True)
    stopped = process.stop()
    assert stopped.code == 0, stopped.err
    assert stopped.json["counts"] == {"merged": 3, "refused other-tenant": 1}
    produce(fleet, "acme", [said("acme/mira", 3)])
    assert fleet.lag(GROUP) == 1
    asyncio.run(deleted(fleet, inlet_of("acme")))


def test_what_cannot_be_read_stops_its_own_inlet_alone(fleet: Fleet) -> None:
    """The other tenant's is merged; once the record is deleted, as the page says, the first one's goes on behind it."""
    assert run("topics", "apply", "--inlet", "acme", "--inlet", "globex").code == 0
    acme = TopicPartition(inlet_of("acme").name, 0)

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=fleet.broker.servers) as producer:
            batch = producer.create_batch()
            batch._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, 100_000)
            value = encode(said("acme/mira", 0))
            assert batch.append(timestamp=1, key=b"acme/mira", value=value, headers=[(NoText("n"), b"")]) is not None
            batch.close()
            await (await producer.send_batch(batch, acme.topic, partition=acme.partition))

    asyncio.run(send())
    produce(fleet, "acme", [said("acme/mira", 1)])
    produce(fleet, "globex", [said("globex/tom", 1)])
    process = fleet.merger()
    process.says("an inlet cannot be read and waits: UnicodeDecodeError")
    until(lambda: asyncio.run(left(fleet)) == 2)
    asyncio.run(delete_before(settings_of(fleet), {acme: 1}))
    until(lambda: asyncio.run(left(fleet)) == 0)
    stopped = process.stop()
    assert (stopped.code, stopped.json["counts"]) == (0, {"merged": 2})


async def deleted(fleet: Fleet, spec: TopicSpec) -> None:
    """Delete what is merged, and go on behind it."""
    at = TopicPartition(spec.name, 0)
    await delete_before(settings_of(fleet), {at: 3})
    async with KafkaLog(settings_of(fleet), [spec]) as log:
        assert await log.begin_offsets([at]) == {at: 3}
        assert [one.offset for one in await log.read(at, 3)] == [3]
