"""The life of a worker: its services, its leader, its end, and what it refuses to start with."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from fixtures.kafka import Kafka, kafka
from helamem.schemas.topics import FACTS
from streams.fleet.faust_program import Topic
from streams.fleet.faust_workers import Workers, own_generation

__all__ = ["kafka"]

pytestmark = pytest.mark.slow  # workers are processes


@pytest.fixture
async def workers(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Workers]:
    workers = await Workers.prepared(kafka.servers, tmp_path)
    yield workers
    await workers.close()


async def test_a_service_that_fails_for_good(workers: Workers) -> None:
    """The process ends with exit code 1 and says which service failed and why."""
    worker = workers.start(service="fail")
    assert await workers.ended(worker) == 1
    assert "service failed for good, so this worker ends: the service was told to fail" in workers.said()


async def test_services_alone(workers: Workers) -> None:
    """A worker without agents reads nothing, runs its services and ends in order."""
    worker = workers.start(agent="none", service="run")
    await workers.noted("service", "started")
    worker.terminate()
    assert await workers.ended(worker) == 0, workers.said()
    assert workers.notes("service") == {"started": 1, "asked": 1, "ended": 1}


async def test_sigterm_lets_work_under_way_finish(workers: Workers) -> None:
    """The event that an agent is at and the services end first; the event is committed, and no other is begun."""
    await workers.give("fine", "slow:3", "fine")
    worker = workers.start(service="run")
    await workers.noted("begin", "e1")
    worker.terminate()
    assert await workers.ended(worker) == 0, workers.said()
    assert workers.notes("end") == {"e0": 1, "e1": 1}
    assert await workers.committed() == 2
    assert workers.notes("service")["ended"] == 1


async def test_sigterm_ends_within_a_bound(workers: Workers) -> None:
    """What does not finish is abandoned, uncommitted; a service that does not end is cancelled."""
    await workers.give("fine", "slow:3600")
    worker = workers.start(service="stuck", drain_s=1.0)
    await workers.noted("begin", "e1")
    begin = time.monotonic()
    worker.terminate()
    assert await workers.ended(worker) == 0, workers.said()
    assert time.monotonic() - begin < 60  # and not an hour
    assert await workers.committed() == 1


async def test_sigterm_ends_a_blocked_worker_too(workers: Workers) -> None:
    """Where a handler blocks the event loop for ever, the process is ended all the same."""
    await workers.give("block:3600")
    worker = workers.start(drain_s=1.0)
    await workers.noted("begin", "e0")
    worker.terminate()
    assert await workers.ended(worker, 20) != 0
    assert await workers.committed() == 0


async def test_missing_topics_are_refused(workers: Workers) -> None:
    """The worker makes no topic: it says which one is missing and what to do."""
    missing = Topic(base_name=FACTS.base_name, partitions=1, generation=own_generation())
    workers.part = msgspec.structs.replace(workers.part, topics=(missing, *workers.part.topics[1:]))
    assert await workers.ended(workers.start()) == 1
    assert f"has no topic {missing.spec().name}; run `helamem topics apply`" in workers.said()


async def test_timers_on_the_leader(workers: Workers) -> None:
    """They run on one worker, without a topic for the election, and move to another when it dies."""
    first, second = workers.start(timer=True), workers.start(timer=True)

    async def both_know_who_leads() -> bool:
        return all("Worker ready" in workers.said(n) for n in (0, 1)) and sum(workers.notes("tick").values()) > 5

    await workers.until(both_know_who_leads, "ticks")
    before = workers.notes("tick")
    await workers.until(ticks(workers, sum(before.values()) + 10), "more ticks")
    (leading,) = workers.notes("tick") - before
    leader, other = (first, second) if leading == str(first.pid) else (second, first)
    os.kill(leader.pid, signal.SIGKILL)
    await workers.until(ticks(workers, workers.notes("tick")[str(other.pid)] + 5, other.pid), "the other to lead")


def ticks(workers: Workers, wanted: int, pid: int | None = None) -> Callable[[], Awaitable[bool]]:
    async def reached() -> bool:
        found = workers.notes("tick")
        return (sum(found.values()) if pid is None else found[str(pid)]) >= wanted

    return reached


async def test_timers_on_the_leader_that_faust_elects(workers: Workers) -> None:
    """Without its own topic Faust has no leader at all: such timers run nowhere, which is why we have ours."""
    await workers.give("fine")
    workers.start(timer=True, leader=False)
    await workers.drained()
    await workers.give("slow:2", prefix="later")
    await workers.drained()
    assert "[^-LeaderAssignor]" in workers.said()
    assert workers.notes("tick") == {}
