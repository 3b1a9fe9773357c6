"""Workers that end at awkward moments: nothing is left undone for ever, and nobody hangs."""

from __future__ import annotations

import asyncio

import pytest

from fakes.events import message, record
from fire.fleet import fleet
from fire.marked_worker import FROZEN
from fire.proof import prove
from fixtures.kafka import Kafka

pytestmark = pytest.mark.slow

REACHED_S = 180.0


async def test_killed_before_the_last_commit(broker: Kafka) -> None:
    """The last batch is in the store and its commit is missing: whoever takes the partition makes up for it."""
    async with fleet(broker) as (running, log):
        await log.append([record(message("m0", "The bakery in the harbour opens at six in the morning."))])
        marked = running.marked("encoding commit")
        marked.start()
        await marked.says(FROZEN, REACHED_S)
        await marked.kill()
        running.worker(0).start()
        await running.drained(log)
        await running.worker(0).end()
        await prove(running, log)


async def test_ended_while_a_rebalance_waits_for_the_store(broker: Kafka) -> None:
    """A worker that was given partitions and cannot begin with them, the store being away, ends when it is told."""
    async with fleet(broker) as (running, log):
        first, second = running.worker(0), running.worker(1)
        first.start()
        second.start()
        await first.says("ready", REACHED_S)
        await second.says("ready", REACHED_S)
        await running.store.kill()
        await second.end()
        await asyncio.sleep(5.0)
        await first.end()
        assert not running.troubles, running.troubles
        assert "stopping took more" not in await asyncio.to_thread(first.log.read_text)
        running.store.start()
        first.start()
        await running.drained(log)
        await first.end()
        await prove(running, log)
