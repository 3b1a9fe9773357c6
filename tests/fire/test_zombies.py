"""Zombies: a worker stops in the middle of a batch, loses its partitions, and goes on where it was."""

from __future__ import annotations

import asyncio
import time

import pytest

from fire.fleet import Fleet, fleet
from fire.marked_worker import FROZEN
from fire.proof import prove
from fire.schedule import SESSION_TIMEOUT_S
from fixtures.kafka import Kafka
from helamem.schemas.records import TopicPartition
from helamem.streams.log.kafka import KafkaLog

pytestmark = pytest.mark.slow

ROUNDS = (
    (
        *("encoding write", "co-activation append", "consolidation append"),
        *("encoding flush", "co-activation write", "consolidation flush"),
    ),
    (
        *("encoding checkpoint", "co-activation checkpoint", "consolidation checkpoint"),
        *("encoding commit", "co-activation commit", "consolidation commit"),
    ),
)
"""Two workers of each group at a time, and the step before which each stops."""
REACHED_S = 180.0


async def test_zombies_change_nothing(broker: Kafka) -> None:
    """Whatever step a worker was at when others took over, its late writes are ignored or say the same."""
    async with fleet(broker) as (running, log):
        running.worker(0).start()
        producer = running.produce(seed=2, most_ahead=3000, pause_s=0.5)
        for marks in ROUNDS:
            zombies = [running.marked(mark) for mark in marks]
            for zombie in zombies:
                zombie.start()
            await asyncio.gather(*(zombie.says(FROZEN, REACHED_S) for zombie in zombies))
            await _gone_past(running, log)
            for zombie in zombies:
                zombie.thaw()
            await asyncio.sleep(1.0)
            await asyncio.gather(*(zombie.end() for zombie in zombies))
        await producer.end()
        await running.drained(log)
        await running.worker(0).end()
        await prove(running, log)


async def _gone_past(running: Fleet, log: KafkaLog) -> None:
    """Wait until the frozen ones have lost their partitions and others have gone on with every one of encoding."""
    await asyncio.sleep(SESSION_TIMEOUT_S)
    before = await log.committed("encoding")
    deadline = time.monotonic() + REACHED_S

    def waiting(now: dict[TopicPartition, int]) -> list[str]:
        return [str(at) for at, offset in before.items() if "conversations" in at.topic and now[at] <= offset]

    while left := waiting(await log.committed("encoding")):
        assert time.monotonic() < deadline, f"nobody goes on with {left} after {REACHED_S:.0f} s{running.troubles}"
        await asyncio.sleep(0.2)
