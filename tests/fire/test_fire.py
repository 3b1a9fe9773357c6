"""The fire test: whatever is killed, frozen or restarted when, every effect is there once.

The short form, in `make test`, has a fixed seed. The long one (`HELAMEM_FIRE=long`, `make test-fire`) draws a new one
each time; `HELAMEM_FIRE_SEED` repeats a run's schedule.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from typing import Protocol

import pytest

from fire.fleet import STARTED_S, fleet
from fire.proof import prove
from fire.schedule import FIRST_WORKERS, drawn
from fixtures.kafka import Kafka

pytestmark = pytest.mark.slow

SHORT_SEED = 3
SHORT, LONG = 10, 30
"""Disturbances; of ten, each kind is one."""
MOST_AHEAD = {SHORT: 3000, LONG: 10_000}
"""Messages that the producer may be ahead of the fleet: what is left to drain in the end."""


class Tell(Protocol):
    """Says something to whoever runs the test."""

    def __call__(self, what: object, *, always: bool = False) -> None: ...


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Say something to whoever runs a long test; of a short one it is shown where it failed, unless it is `always`."""

    def say(what: object, *, always: bool = False) -> None:
        if not always and os.environ.get("HELAMEM_FIRE") != "long":
            print(what)  # noqa: T201 - captured
            return
        with capsys.disabled():
            print(what, flush=True)  # noqa: T201 - for whoever waits

    return say


async def test_fire(broker: Kafka, tell: Tell) -> None:
    """Nothing acknowledged is lost, nothing is doubled, and an undisturbed replay of the log gives the same."""
    long = os.environ.get("HELAMEM_FIRE") == "long"
    seed = int(os.environ.get("HELAMEM_FIRE_SEED", random.randrange(1_000_000) if long else SHORT_SEED))
    count = LONG if long else SHORT
    schedule = drawn(seed, count)
    kinds = ", ".join(f"{number} × {kind}" for kind, number in sorted(Counter(d.kind for d in schedule).items()))
    tell(f"\nfire with HELAMEM_FIRE_SEED={seed}: {kinds}", always=True)
    async with fleet(broker) as (running, log):
        for number in range(FIRST_WORKERS):
            running.worker(number).start()
        producer = running.produce(seed, MOST_AHEAD[count])
        await asyncio.gather(*(running.worker(number).says("ready", STARTED_S) for number in range(FIRST_WORKERS)))
        async with asyncio.TaskGroup() as tasks:
            for disturbance in schedule:
                await asyncio.sleep(disturbance.after_s)
                assert not running.troubles, running.troubles
                tell(disturbance)
                tasks.create_task(running.disturb(disturbance), name=str(disturbance))
        await producer.end()
        tell("the producer has ended and everything runs again")
        await running.drained(log)
        for worker in running.workers.values():
            if worker.wanted:
                await worker.end()
        tell(await prove(running, log))
