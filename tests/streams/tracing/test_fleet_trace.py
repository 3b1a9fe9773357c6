"""Traces across processes: the command that sends, and workers of three processes, by the headers of a real Kafka."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from fakes.events import SPACE, record, reinforced
from fixtures.otlp import Collector, collector
from helamem.schemas.records import Record
from helamem.schemas.topics import CONVERSATIONS, FACTS, HUBS, TOPICS
from helamem.schemas.traceparent import HEADER, headers_of
from helamem.schemas.wire import decode
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.cli.shell import message, run, write_lines

__all__ = ["collector", "fleet", "kafka", "own_kafka"]

AGENT = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
"""The span of an agent that is no helamem: its events have the context in the header of the record alone."""
SAID = ("I love the old harbour.", "I moved to Lisbon.", "My sister is called Vera.", "I prefer tea to coffee.")


@pytest.mark.slow
def test_a_trace_crosses_processes_in_the_headers_of_kafka(
    fleet: Fleet, collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message's memory is in the trace of who sent it; a foreign agent's event has edges, hubs and facts below it."""
    run("topics", "apply")
    fleet.store.start()
    chat = write_lines(tmp_path / "chat.jsonl", *(message(n, text, space=SPACE) for n, text in enumerate(SAID)))
    assert run("ingest", chat, "--kafka").code == 0
    used = [reinforced(f"used-{n}", ["m0", "m1", "m2", "m3"]) for n in range(3)]
    fleet.append(*(replace(record(one), headers=headers_of(f"00-{'-'.join(AGENT)}-01")) for one in used))
    for part in ("encoding", "co-activation", "consolidation"):
        with monkeypatch.context() as named:
            named.setenv("OTEL_SERVICE_NAME", part)
            fleet.ready_worker(part)
    fleet.catch_up()
    collector.until(lambda seen: bool(seen.named("encode knowledge.distilled")))
    assert [worker.stop().code for worker in fleet.workers] == [0, 0, 0]

    (sent,) = collector.named("send helamem.conversations.g1")
    memories = collector.below(sent, "encode conversation.message")
    assert (sent.service, len(memories)) == ("helamem", len(SAID))
    for memory in memories:
        assert memory.service == "encoding"
        (batch,) = collector.linked(memory, "encode helamem.conversations.g1")
        assert batch.attributes["messaging.system"] == "kafka"
        assert batch.links == (sent.number,)
    assert [one.parent for one in collector.named("fold memory.reinforced")] == [AGENT] * len(used)
    hubs = collector.named("hub formed")
    assert {one.parent for one in hubs} == {AGENT}
    assert {one.service for one in hubs} == {"co-activation"}
    facts = collector.named("fact distilled")
    assert {collector.above(fact).name for fact in facts} == {"hub formed"}
    assert {fact.service for fact in facts} == {"consolidation"}
    for fact in facts:
        (encoded,) = collector.below(fact, "encode knowledge.distilled")
        assert encoded.service == "encoding"

    records = asyncio.run(_records(fleet.broker.servers))
    for topic, numbers in (
        (CONVERSATIONS.name, {sent.number}),
        (HUBS.name, {one.number for one in hubs}),
        (FACTS.name, {one.number for one in facts}),
    ):
        assert {_in_header(one) for one in records if one.topic == topic and one.headers} == numbers
        assert all(_in_envelope(one) in (None, _in_header(one)) for one in records if one.headers)


def _in_header(one: Record) -> tuple[str, str]:
    _, trace_id, span_id, _ = dict(one.headers)[HEADER].decode().split("-")
    return trace_id, span_id


def _in_envelope(one: Record) -> tuple[str, str] | None:
    found = decode(one.value).traceparent
    return None if found is None else (found[3:35], found[36:52])


async def _records(servers: str) -> list[Record]:
    """Return all that stands in the log."""
    async with await KafkaLog.open(KafkaSettings(bootstrap_servers=servers), TOPICS) as log:
        partitions = [at for spec in TOPICS for at in await log.partitions(spec.name)]
        ends = await log.end_offsets(partitions)
        found: list[Record] = []
        for at, end in ends.items():
            while (start := sum(one.topic == at.topic and one.partition == at.partition for one in found)) < end:
                found += await log.read(at, start, end=end)
        return found
