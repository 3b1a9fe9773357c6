"""A store that is away for longer than a worker may be silent: the worker keeps its place in the group and waits."""

from __future__ import annotations

import asyncio

import pytest

from fakes.events import message, record
from fakes.words import wordllama
from fire.fleet import fleet
from fire.proof import prove
from fixtures.kafka import Kafka
from helamem.processors.encoding.processor import Encoding
from helamem.schemas.records import TopicPartition
from helamem.schemas.settings import Settings
from helamem.schemas.topics import CONVERSATIONS
from helamem.streams.fleet.group_pump import GroupPump

pytestmark = pytest.mark.slow

SESSION_S = 4.0
AWAY_S = 3 * SESSION_S
REACHED_S = 180.0


async def test_a_worker_that_cannot_begin_keeps_its_place(broker: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """It joins once, says that it is ready only when the store is back, and then has every partition."""
    async with fleet(broker) as (running, log):
        await log.append([record(message(f"m{n}", "The bakery opens at six.", space=f"t/{n}")) for n in range(20)])
        store = await running.remote()
        pump = GroupPump(
            running.settings,
            log,
            store,
            Encoding(store, wordllama(), Settings()),
            topics=[spec.name for spec in Encoding.topics],
            session_timeout_s=SESSION_S,
        )
        given: list[list[TopicPartition]] = []
        take = pump._take

        async def noted(partitions: list[TopicPartition]) -> None:
            given.append(partitions)
            await take(partitions)

        monkeypatch.setattr(pump._member._listener, "_on_assigned", noted)
        await running.store.kill()
        stopping = asyncio.Event()
        working = asyncio.create_task(pump.run(stopping))
        try:
            async with asyncio.timeout(REACHED_S):
                while not given:  # noqa: ASYNC110 - Kafka gives, and sets no event
                    await asyncio.sleep(0.1)
            await asyncio.sleep(AWAY_S)
            assert not pump.assigned.is_set()
            running.store.start()
            async with asyncio.timeout(REACHED_S):
                await pump.assigned.wait()
                ends = await log.end_offsets(await log.partitions(CONVERSATIONS.name))
                while not ends.items() <= (await log.committed("encoding")).items():  # noqa: ASYNC110 - nor does a position
                    await asyncio.sleep(0.2)
        finally:
            stopping.set()
            await working
            await store.close()
        assert len(given) == 1, f"it joined {len(given)} times"
        running.worker(0).start()
        await running.drained(log)
        await running.worker(0).end()
        await prove(running, log)
