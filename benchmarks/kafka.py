"""The fleet on a real Kafka: from the topic to searchable, beside what bounds it, and how long one message takes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.conversations import messages, turn_of
from benchmarks.fleet import Fleet, broker, fleet
from benchmarks.kafka_bounds import embed_and_store, faust_noop, plain_loop
from benchmarks.recalls import Drawn
from benchmarks.timing import medians, percentiles, significant
from msgspec import Struct

from helamem.processors.coactivation.processor import GROUP as CO_ACTIVATION
from helamem.processors.embedder.wordllama import WordLlamaEmbedder
from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.processors.store.port import MemoryStore
from helamem.schemas.ids import memory_id
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.schemas.topics import CONVERSATIONS, RECALLS, TOPICS, TopicSpec
from helamem.streams.async_memory import Message
from helamem.streams.ingest.incoming import message_event, record_of
from helamem.streams.log.kafka import KafkaLog

STREAMS = CONVERSATIONS.partitions
LOOK_S = 0.01
"""How often the store is asked."""
TICK_S = 0.01
"""How often messages are handed to the producer at half load."""
SAMPLED = 20
"""Of so many messages at half load one is looked for."""
RECALLED = 1000
"""Memories of a space that recalls are drawn from."""


class Sizes(Struct, frozen=True, kw_only=True):
    """How much is measured."""

    messages: int = 12_000
    recalls: int = 5_000
    warm_up: int = 2_000
    rounds: int = 2
    load_s: float = 15.0


FULL = Sizes()
QUICK = Sizes(messages=2_000, recalls=400, warm_up=200, rounds=1, load_s=2.0)


def record(said: Message) -> NewRecord:
    """Return a message as `helamem ingest` appends it."""
    assert said.time is not None
    data = {
        "message_id": said.message_id,
        "conversation": said.conversation,
        "speaker": said.speaker,
        "role": said.role,
        "text": said.text,
    }
    return record_of(message_event(said.space, said.time.isoformat(), data))


async def applied(store: MemoryStore, group: str, ends: Mapping[TopicPartition, int]) -> float:
    """Wait until the checkpoints of a group cover the ends, and return when that was.

    What a checkpoint covers was visible and on disk before.
    """
    while True:
        found = await store.load_checkpoints(group)
        if all(at in found and found[at].position.offset >= end for at, end in ends.items()):
            return time.perf_counter()
        await asyncio.sleep(LOOK_S)


async def ends_of(running: Fleet, spec: TopicSpec) -> dict[TopicPartition, int]:
    """Return the ends of a topic's partitions."""
    async with await KafkaLog.open(running.settings, TOPICS) as log:
        return await log.end_offsets(await log.partitions(spec.name))


async def catch_up(
    running: Fleet, store: MemoryStore, spec: TopicSpec, group: str, records: Sequence[NewRecord]
) -> dict[str, float]:
    """Let workers that are at rest and frozen find a topic full of records; return records a second and who worked."""
    for worker in running.workers:
        worker.freeze()
    await running.append(records)
    ends = await ends_of(running, spec)
    before = {process.name: process.cpu_s for process in running.processes()}
    begin = time.perf_counter()
    for worker in running.workers:
        worker.thaw()
    took = await applied(store, group, ends) - begin
    used = {f"{process.name}_cores": (process.cpu_s - before[process.name]) / took for process in running.processes()}
    return {"per_s": len(records) / took, **used}


async def check_found(store: MemoryStore, said: Sequence[Message], embedder: WordLlamaEmbedder) -> None:
    """Fail unless every message is a memory and a sample of them is found by a search for its own words."""
    stored = sum((await store.spaces()).values())
    if stored != len(said):
        raise RuntimeError(f"{len(said)} messages were sent and {stored} are stored")
    for one in said[:: max(1, len(said) // 50)]:
        (vector,) = embedder.embed([f"{one.speaker}: {one.text}"])
        found = await store.search_memories(one.space, vector, one.text, 10)
        if memory_id(one.space, str(one.message_id)) not in found.dense.keys() | found.lexical.keys():
            raise RuntimeError(f"{one.text!r} is stored and not found")


async def throughput(servers: str, said: Sequence[Message], sizes: Sizes, workers: int) -> dict[str, float]:
    """Return messages a second from Kafka to searchable."""
    records = [record(one) for one in said]
    async with fleet(servers) as running:
        store = await running.connect()
        await running.work("all", workers)
        await running.append(records[: sizes.warm_up])
        await applied(store, ENCODING, await ends_of(running, CONVERSATIONS))
        rates = await catch_up(running, store, CONVERSATIONS, ENCODING, records[sizes.warm_up :])
        await check_found(store, said, WordLlamaEmbedder())
        await store.close()
    return rates


async def bounds(servers: str, said: Sequence[Message], embedder: WordLlamaEmbedder) -> dict[str, float]:
    """Return messages a second of what does less."""
    turns = [turn_of(number, one) for number, one in enumerate(said)]
    rates = {}
    for name, streams in (("one_by_one", 1), ("side_by_side", STREAMS)):
        async with fleet(servers) as running:
            store = await running.connect()
            rates[f"embed_and_store_{name}"] = await embed_and_store(store, turns, embedder, streams)
            await store.close()
    async with fleet(servers) as running:
        await running.append([record(one) for one in said])
        rates["plain_loop"] = await plain_loop(running, len(said))
        rates["faust_noop"] = await faust_noop(running, len(said))
    return rates


async def folding(servers: str, sizes: Sizes) -> dict[str, float]:
    """Return recalls a second from Kafka to stored rows of links, into empty lists of neighbours and into full ones."""
    rates = {}
    async with fleet(servers) as running:
        store = await running.connect()
        await running.work("all", 1)
        for seed, name in enumerate(("into_empty_lists", "into_full_lists")):
            records = [*Drawn(RECALLED, seed=seed).records(sizes.recalls)]
            rates[name] = (await catch_up(running, store, RECALLS, CO_ACTIVATION, records))["per_s"]
        await store.close()
    return rates


async def delay(servers: str, said: Sequence[Message], per_s: float, sizes: Sizes) -> dict[str, Any]:
    """Send messages at an even rate and return the milliseconds until the store returns them.

    What is due within 10 ms goes to the producer together, and there the clock of these messages begins.
    """
    async with fleet(servers) as running:
        store = await running.connect()
        await running.work("all", 1)
        await running.append([record(one) for one in said[: sizes.warm_up]])
        await applied(store, ENCODING, await ends_of(running, CONVERSATIONS))
        load = said[sizes.warm_up :][: int(per_s * sizes.load_s)]
        waiting = _Waiting(store)
        before = {process.name: process.cpu_s for process in running.processes()}
        looking = asyncio.create_task(waiting.look())
        sent_s = await _send(running, load, per_s, waiting)
        used = {
            f"{process.name}_cores": significant((process.cpu_s - before[process.name]) / sent_s)
            for process in running.processes()
        }
        await applied(store, ENCODING, await ends_of(running, CONVERSATIONS))
        waiting.last = True
        await looking
        await check_found(store, said[: sizes.warm_up + len(load)], WordLlamaEmbedder())
        await store.close()
    return {"messages_per_s": significant(len(load) / sent_s), **used, **percentiles(waiting.took_ms)}


class _Waiting:
    """Memories that are waited for.

    Args:
        store: What is asked for them.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._since: dict[str, float] = {}
        self.last = False
        """Whether no more will come."""
        self.took_ms: list[float] = []

    def add(self, id_: str) -> None:
        """Wait for one from now on."""
        self._since[id_] = time.perf_counter()

    async def look(self) -> None:
        """Ask again and again, until the last one is there."""
        while self._since or not self.last:
            found = await self._store.origins(list(self._since))
            now = time.perf_counter()
            self.took_ms.extend((now - self._since.pop(id_)) * 1e3 for id_ in found)
            await asyncio.sleep(LOOK_S)


async def _send(running: Fleet, load: Sequence[Message], per_s: float, waiting: _Waiting) -> float:
    """Send messages at a rate and return the seconds until the last one was acknowledged."""
    records = [(record(one), memory_id(one.space, str(one.message_id))) for one in load]
    async with await KafkaLog.open(running.settings, TOPICS) as log, asyncio.TaskGroup() as sending:
        begin = time.perf_counter()
        sent = 0
        while sent < len(records):
            due = min(len(records), int((time.perf_counter() - begin) * per_s))
            for number in range(sent, due):
                if number % SAMPLED == 0:
                    waiting.add(records[number][1])
            if due > sent:
                sending.create_task(log.append([one for one, _ in records[sent:due]]))
            sent = due
            await asyncio.sleep(TICK_S)
        return time.perf_counter() - begin


async def measure(sizes: Sizes, servers: str) -> dict[str, Any]:
    """Measure everything in turn, several times."""
    embedder = WordLlamaEmbedder()
    said = messages(sizes.warm_up + sizes.messages)
    embedder.embed([one.text for one in said[:1000]])
    rounds: dict[str, list[dict[str, float]]] = {"one_worker": [], "two_workers": [], "bounds": [], "recalls": []}
    for _ in range(sizes.rounds):
        rounds["one_worker"].append(await throughput(servers, said, sizes, 1))
        rounds["bounds"].append(await bounds(servers, said[: sizes.messages], embedder))
        rounds["two_workers"].append(await throughput(servers, said, sizes, 2))
        rounds["recalls"].append(await folding(servers, sizes))
    ratios = [
        {
            f"to_{name}": one["per_s"] / bound[name]
            for name in ("embed_and_store_one_by_one", "embed_and_store_side_by_side")
        }
        for one, bound in zip(rounds["one_worker"], rounds["bounds"], strict=True)
    ]
    result: dict[str, Any] = {name: medians(figures) for name, figures in rounds.items()}
    half = result["one_worker"]["per_s"] / 2
    spoken = messages(sizes.warm_up + int(half * sizes.load_s) + 1)
    return {
        **result,
        "ratio": medians(ratios),
        "ratios": [{name: significant(ratio) for name, ratio in one.items()} for one in ratios],
        "delay_ms_at_half_load": await delay(servers, spoken, half, sizes),
        "target": {"ratio": {"to_embed_and_store_one_by_one": 0.7}, "delay_ms_at_half_load": {"p50": 250, "p99": 1000}},
    }


def run(*, quick: bool) -> dict[str, Any]:
    """Return the figures."""
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    with broker() as kafka:
        return asyncio.run(measure(QUICK if quick else FULL, kafka.servers))
