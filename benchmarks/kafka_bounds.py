"""What the fleet is measured against: a loop that only decodes, a Faust agent that does nothing, and no Kafka."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from benchmarks.conversations import chunks, lexical, memory
from benchmarks.fleet import Fleet

from helamem.processors.embedder.port import Embedder
from helamem.processors.store.port import Checkpoint, MemoryStore, Turn, Writes
from helamem.schemas.records import Position, TopicPartition
from helamem.schemas.topics import CONVERSATIONS
from helamem.schemas.wire import decode

BATCH = 1000
"""Messages that a worker embeds, writes and flushes together."""


async def plain_loop(fleet: Fleet, count: int) -> float:
    """Return the messages a second that aiokafka and our decoding manage, with a commit after every fetch."""
    consumer = AIOKafkaConsumer(
        CONVERSATIONS.name,
        bootstrap_servers=fleet.settings.bootstrap_servers,
        group_id="benchmark-plain-loop",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        seen, begin = 0, 0.0
        while seen < count:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                begin = begin or time.perf_counter()
                for record in records:
                    decode(record.value)
                seen += len(records)
            await consumer.commit()
        return seen / (time.perf_counter() - begin)
    finally:
        await consumer.stop()


async def faust_noop(fleet: Fleet, count: int) -> float:
    """Return the messages a second of a Faust agent that does nothing with them."""
    program = [sys.executable, "-m", "benchmarks.faust_noop"]
    ran = await asyncio.to_thread(
        subprocess.run,
        [*program, fleet.settings.bootstrap_servers, CONVERSATIONS.name, str(count)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    return count / float(ran.stdout.split()[-1])


async def embed_and_store(store: MemoryStore, turns: Sequence[Turn], embedder: Embedder, streams: int) -> float:
    """Return the messages a second of embedding and storing what was prepared before, without Kafka.

    As durable as the product: a write, a flush and a checkpoint for every batch.

    Args:
        store: The store process.
        turns: What is stored.
        embedder: The product's.
        streams: So many batches are under way at once, like the partitions of a worker.
    """
    texts = [lexical(turn) for turn in turns]
    waiting = [*zip(chunks(turns, BATCH), chunks(texts, BATCH), strict=True)]
    waiting.reverse()

    async def stream(number: int) -> None:
        at = TopicPartition(CONVERSATIONS.name, number)
        while waiting:
            batch, words = waiting.pop()
            vectors = await asyncio.to_thread(embedder.embed, words)
            await store.write(Writes(memories=tuple(map(memory, batch, words, vectors))))
            await store.flush()
            position = Position(1, batch[-1].position.offset)
            await store.save_checkpoint(Checkpoint(group="benchmark", partition=at, position=position, state=b""))

    begin = time.perf_counter()
    await asyncio.gather(*map(stream, range(streams)))
    return len(turns) / (time.perf_counter() - begin)
