"""Safe agents on a real broker: whatever happens in the middle, no event is lost, and committed offsets say so."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fixtures.kafka import Kafka, kafka, own_kafka
from streams.fleet.faust_workers import Workers

__all__ = ["kafka", "own_kafka"]

pytestmark = pytest.mark.slow  # workers are processes, and rebalances take seconds


@pytest.fixture
async def workers(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Workers]:
    workers = await Workers.prepared(kafka.servers, tmp_path)
    yield workers
    await workers.close()


async def test_a_handler_that_raises(workers: Workers) -> None:
    """The record is put aside with its reason, those behind it are taken, and the position passes it once."""
    ids = await workers.give("fine", "raise", "fine", "away", "fine")
    workers.start()
    await workers.drained()
    assert set(workers.notes("end")) == {ids[0], *ids[2:]}
    assert workers.notes("begin")[ids[1]] == 1
    (letter,) = await workers.dead()
    assert (letter.offset, letter.reason.partition(":")[0]) == (1, "ValueError at __main__")
    assert workers.notes("begin")[ids[3]] == 2, "RetryLater is tried again"


async def test_a_poison_record(workers: Workers) -> None:
    """What is no event is put aside once and holds nobody up; a restart does not put it aside again."""
    await workers.give("fine", b"\xff no JSON", b"", b'{"specversion":"1.0"}', "fine", "slow:3", "fine")
    first = workers.start()
    await workers.noted("begin", "e5")
    assert await workers.committed() == 5, "what came before is committed while the next one takes its time"
    assert [letter.offset for letter in await workers.dead()] == [1, 2, 3]
    first.kill()
    workers.start()
    await workers.drained()
    assert set(workers.notes("end")) == {"e0", "e4", "e5", "e6"}
    assert [letter.offset for letter in await workers.dead()] == [1, 2, 3]


async def test_a_worker_killed_in_the_middle(workers: Workers) -> None:
    """The event that it was at is not committed, and the next worker takes it."""
    ids = await workers.give("fine", "fine", "kill", "fine", "fine")
    assert await workers.ended(workers.start()) == -signal.SIGKILL
    assert await workers.committed() == 2
    assert workers.notes("begin")[ids[2]] == 1
    workers.start()
    await workers.drained()
    assert set(workers.notes("end")) == set(ids)
    assert await workers.dead() == []


async def test_a_second_worker_joins_in_the_middle(kafka: Kafka, tmp_path: Path) -> None:
    """The first finishes what it is at before the partition may go, and nothing is taken twice for it."""
    workers = await Workers.prepared(kafka.servers, tmp_path, partitions=4)
    try:
        ids = []
        for partition in range(4):
            ids += await workers.give("slow:2", *["slow:0.2"] * 8, partition=partition, prefix=f"p{partition}-")
        first = workers.start()
        await workers.noted("begin", "p0-0")
        second = workers.start()
        await workers.drained()
        assert set(workers.notes("end")) == set(ids)
        assert max(workers.notes("end").values()) == 1, "a partition was let go before its event was committed"
        assert workers.pids("end") == {first.pid, second.pid}
    finally:
        await workers.close()


async def test_a_rebalance_that_does_not_wait(workers: Workers) -> None:
    """An event that takes longer than the bound is abandoned uncommitted; whoever has the partition takes it again."""
    ids = await workers.give("fine", "slow-once:20", "fine")
    workers.start(drain_s=1.0)
    await workers.noted("begin", ids[1])
    workers.start(drain_s=1.0)
    await workers.noted("begin", ids[1], times=2)
    await workers.drained()
    assert workers.notes("end") == dict.fromkeys(ids, 1)
    assert any("abandons a record" in workers.said(n) for n in (0, 1))


@pytest.mark.parametrize("how", ["slow", "block"])
async def test_a_slow_event(workers: Workers, how: str) -> None:
    """It may take much longer than a session: heartbeats go on, even where the handler blocks the event loop."""
    ids = await workers.give("fine", f"{how}:10", *["fine"] * 400)
    workers.start(session_timeout_s=3.0)
    await workers.noted("begin", ids[1])
    assert await workers.committed() == 1
    await workers.drained()
    assert workers.notes("begin") == dict.fromkeys(ids, 1)
    assert workers.notes("end") == dict.fromkeys(ids, 1)


async def test_a_zombie_comes_back(workers: Workers) -> None:
    """A worker that stood still longer than its session moves no position any more."""
    ids = await workers.give("fine", "slow-once:3", *["fine"] * 5)
    zombie = workers.start(session_timeout_s=3.0)
    await workers.noted("begin", ids[1])
    os.kill(zombie.pid, signal.SIGSTOP)
    other = workers.start(session_timeout_s=3.0)
    await workers.drained()
    os.kill(zombie.pid, signal.SIGCONT)
    await asyncio.sleep(5)
    await workers.give("fine", "fine", prefix="later")
    await workers.drained()
    assert set(workers.notes("end")) == {*ids, "later0", "later1"}
    assert await workers.dead() == []
    assert zombie.poll() is None
    assert other.poll() is None


async def test_faust_falls_asleep(workers: Workers) -> None:
    """Where Faust brings nothing any more, the agent looks into the log by itself."""
    ids = await workers.give("fine", "raise", "fine")
    workers.start(deaf=True, look_again_s=1.0)
    await workers.drained()
    assert set(workers.notes("end")) == {ids[0], ids[2]}
    await workers.give("fine", prefix="later")
    await workers.drained()


async def test_the_broker_is_killed(workers: Workers, own_kafka: Kafka) -> None:
    """The agent waits until it is back, and nothing is lost; the worker lives on."""
    ids = await workers.give("fine", "slow-once:4", *["fine"] * 5)
    worker = workers.start(session_timeout_s=3.0)
    await workers.noted("begin", ids[1])
    await asyncio.to_thread(own_kafka.kill)
    await asyncio.sleep(6)  # the event is finished meanwhile, but its position cannot be committed
    await asyncio.to_thread(own_kafka.start)
    await workers.drained()
    await workers.give("fine", prefix="later")
    await workers.drained()
    assert set(workers.notes("end")) == {*ids, "later0"}
    assert worker.poll() is None


@pytest.mark.xfail(strict=True, reason="Faust 0.15.3 commits the message whose handler raised")
async def test_why_not_a_plain_agent(workers: Workers) -> None:
    """An agent as Faust's manual writes it, without the recipe, loses the event at which it raises."""
    await workers.give("fine", "raise", "fine", "fine")
    workers.start(agent="plain")
    await workers.noted("end", "e3")
    await asyncio.sleep(5)  # longer than Faust's commit interval
    assert await workers.committed() <= 1
