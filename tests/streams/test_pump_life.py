"""The pump from run to run: stopping, going on, cancelled in the middle, following."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fakes.directories import directory
from fakes.events import distilled, forgotten
from fakes.machine import Machine, Moment
from helamem.processors.store.port import Checkpoint
from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.schemas.ids import fact_id, memory_id
from helamem.schemas.records import TopicPartition
from helamem.streams.backoff import Backoff
from helamem.streams.pump import Pump
from streams.pump_script import (
    STEPS,
    assert_same,
    conversation,
    one,
    partition_of_conversations,
    place,
    recalls,
    undisturbed,
)

__all__ = ["one", "place", "undisturbed"]


async def test_a_stop_finishes_the_batch_and_a_resume_goes_on(one: Machine) -> None:
    """What is under way is applied and committed; after `resume` the same pump goes on where it was."""
    await one.append(*conversation(12))
    pump = one.pump(one.encoding(), batch_records=5)

    def fault(name: str, when: Moment) -> None:
        if (name, when) == ("write", "before"):
            pump.stop()

    one.watch.fault = fault
    at = await partition_of_conversations(one)
    await pump.run()  # following, yet it returns
    assert await one.log.committed("encoding") == {at: 5}
    assert await one.store.spaces() == {"acme/anna": 5}
    await pump.run()
    assert await one.log.committed("encoding") == {at: 5}, "a stop holds until it is taken back"
    one.watch.fault = lambda name, when: None
    pump.resume()
    await pump.run(until=await one.ends())
    written = [m.turn.message_id for name, w in one.watch.steps if name == "write" for m in w.memories]
    assert written == [f"m{n}" for n in range(12)]


@pytest.mark.parametrize("step", ["append", "write", "checkpoint", "load"])
async def test_a_stop_while_something_is_away_does_not_wait_for_it(one: Machine, step: str) -> None:
    """Whatever is away, also at the very beginning: the run returns without an error, and nothing is skipped later."""
    await one.append(*conversation(4), *recalls(6))

    def stop(error: RetryLater) -> None:
        pump.stop()

    pump: Pump = one.pump(one.coactivation(), backoff=Backoff(first_s=60.0, longest_s=60.0), on_retry=stop)
    if step == "load":
        real = pump._store

        class Away:
            async def load_checkpoints(self, group: str) -> dict[TopicPartition, Checkpoint]:
                raise RetryLater("no store")

        pump._store = Away()  # type: ignore[assignment]
    else:

        def fault(name: str, when: Moment) -> None:
            if name == step:
                raise RetryLater("away")

        one.watch.fault = fault
    await pump.run(until=await one.ends())
    assert not await one.log.committed("co-activation")
    one.watch.fault = lambda name, when: None
    if step == "load":
        pump._store = real
    pump.resume()
    await pump.run(until=await one.ends())
    live = await one.digest()
    with directory() as elsewhere:
        async with one.beside(elsewhere) as other:
            await other.pump(other.coactivation()).run(until=await one.ends())
            assert await other.digest() == live


async def test_run_until_leaves_later_records_alone(one: Machine) -> None:
    """The end is exclusive, and partitions that are not named are not touched."""
    await one.append(*conversation(9), *recalls(5))
    at = await partition_of_conversations(one)
    pump = one.pump(one.encoding(), batch_records=4)
    await pump.run(until={at: 6})
    assert await one.store.spaces() == {"acme/anna": 6}
    assert await one.log.committed("encoding") == {at: 6}
    await pump.run(until={at: 6})
    await pump.run(until={})
    assert await one.store.spaces() == {"acme/anna": 6}


async def test_two_runs_of_one_pump_go_on_where_they_were(one: Machine, undisturbed: dict[str, Any]) -> None:
    """The second run takes neither a record twice nor skips one."""
    pumps = [one.pump(p, batch_records=3) for p in (one.encoding(), one.coactivation(), one.consolidation())]
    events = [*conversation(), *recalls()]
    for start in range(0, len(events), 4):
        await one.append(*events[start : start + 4])
        for pump in pumps:
            await pump.run(until=await one.ends())
    await pumps[0].run(until=await one.ends())
    assert pumps[0].counts["encoded"] == 12
    assert pumps[1].counts["recalled"] + pumps[1].counts["reinforced"] == 12
    assert (await one.digest()) == undisturbed["digest"]


async def test_records_that_come_while_it_follows_are_taken(one: Machine) -> None:
    """A following pump needs nobody to tell it of new records, and returns when it is stopped."""
    pump = one.pump(one.encoding())
    task = asyncio.create_task(pump.run())
    for event in conversation(3):
        await one.append(event)
        async with asyncio.timeout(20):
            while event.id not in {f"message-{t.message_id}" async for t in one.store.scan_turns(None)}:  # noqa: ASYNC110 - another task writes into a real store
                await asyncio.sleep(0.01)
    pump.stop()
    await task
    assert pump.counts["encoded"] == 3


@pytest.mark.parametrize("step", STEPS)
async def test_cancelled_in_the_middle_it_can_run_again(one: Machine, undisturbed: dict[str, Any], step: str) -> None:
    """A cancellation before any step leaves the pump sound: the next run begins at the checkpoints."""
    await one.append(*conversation(), *recalls())
    pumps = [one.pump(p, batch_records=3) for p in (one.encoding(), one.coactivation(), one.consolidation())]
    passed = 0

    def fault(name: str, when: Moment) -> None:
        nonlocal passed
        if (name, when) == (step, "before"):
            passed += 1
            if passed == 2:
                raise asyncio.CancelledError

    one.watch.fault = fault
    for pump in pumps:
        for _ in range(4):
            task = asyncio.create_task(pump.run(until=await one.ends()))
            await asyncio.wait([task])
            if not task.cancelled():
                await task
    assert passed >= 2
    await pumps[0].run(until=await one.ends())
    await assert_same(one, undisturbed)


async def test_a_task_that_is_cancelled_from_outside_can_run_again(one: Machine, undisturbed: dict[str, Any]) -> None:
    """Cancelled at many moments, again and again, by whoever waits for it."""
    await one.append(*conversation(), *recalls())
    pumps = [one.pump(p, batch_records=2) for p in (one.encoding(), one.coactivation(), one.consolidation())]
    for pump in pumps:
        for ticks in range(1, 60, 3):
            task = asyncio.create_task(pump.run(until=await one.ends()))
            for _ in range(ticks):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        await pump.run(until=await one.ends())
    await pumps[0].run(until=await one.ends())
    await assert_same(one, undisturbed)


async def test_a_log_that_has_lost_what_is_needed_next_is_refused(one: Machine) -> None:
    """A projection that is behind the beginning of the log cannot be brought up from it: a clear sentence."""
    await one.append(*conversation(4))
    pump = one.pump(one.encoding())
    real = one.log.begin_offsets

    async def later(partitions: Any) -> dict[TopicPartition, int]:
        return dict.fromkeys(await real(partitions), 2)

    pump._log.begin_offsets = later  # type: ignore[method-assign]
    await one.pump(one.encoding()).run(until={await partition_of_conversations(one): 1})
    with pytest.raises(ConfigurationError, match="no longer holds the records 1 to 1 that encoding needs next"):
        await pump.run(until=await one.ends())


async def test_facts_and_control_go_through_the_same_pump(one: Machine) -> None:
    """Encoding reads three topics; each gets its own checkpoint."""
    await one.append(*conversation(2), distilled("f", "Anna owns a tent."), forgotten("x", "m1"))
    await one.pump(one.encoding()).run(until=await one.ends())
    turns = await one.store.turns("acme/anna", [memory_id("acme/anna", "m1")])
    assert [turn.hidden for turn in turns.values()] == [True]
    assert await one.store.facts("acme/anna", [fact_id("acme/anna", "fact", "Anna owns a tent.")])
    assert len(await one.log.committed("encoding")) == 3
