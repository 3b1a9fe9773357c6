"""The pump: the order of durability, and failures and ends at every step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes.machine import Machine, Moment, machine
from helamem.processors.store.port import Writes
from helamem.schemas.errors import RetryLater
from helamem.schemas.topics import CONVERSATIONS, HUBS, RECALLS
from helamem.schemas.wire import decode
from helamem.streams.backoff import Backoff
from streams.pump_script import (
    STEPS,
    Crash,
    assert_same,
    conversation,
    one,
    place,
    recalls,
    undisturbed,
)

__all__ = ["one", "place", "undisturbed"]


def test_the_script_has_hubs_and_facts(undisturbed: dict[str, Any]) -> None:
    """What the other tests disturb is worth disturbing: co-activation and consolidation both emit."""
    assert len(undisturbed["hubs"]) >= 3
    assert len(undisturbed["facts"]) >= 1


async def test_every_batch_becomes_durable_in_one_order(one: Machine) -> None:
    """Promise 2: outputs, then the store's writes, then its flush, then the checkpoint, then the commit."""
    await one.append(*conversation(), *recalls())
    with_outputs = 0
    for processor, topic, batches in (
        (one.encoding(), CONVERSATIONS.name, 4),
        (one.coactivation(), RECALLS.name, 4),
        (one.consolidation(), HUBS.name, None),
    ):
        one.watch.steps.clear()
        pump = one.pump(processor, batch_records=3)
        await pump.run(until={at: end for at, end in (await one.ends()).items() if at.topic == topic})
        names = one.watch.names
        seen = 0
        while names:
            if names[0] == "append":
                with_outputs += 1
                names = names[1:]
            assert names[:4] == ["write", "flush", "checkpoint", "commit"]
            names = names[4:]
            seen += 1
        assert seen == (batches or seen) > 0
        # What is committed is what the checkpoint before it says.
        checkpoints = [subject for name, subject in one.watch.steps if name == "checkpoint"]
        commits = [subject for name, subject in one.watch.steps if name == "commit"]
        assert [{c.partition: c.position.offset} for c in checkpoints] == commits
    assert with_outputs >= 2


async def test_outputs_are_those_of_the_batch_whose_writes_follow(one: Machine) -> None:
    """A hub is in the log before the rows that know that it was formed."""
    await one.append(*recalls())
    await one.pump(one.coactivation(), batch_records=1).run(until=await one.ends())
    emitted: set[str] = set()
    formed = 0
    for name, subject in one.watch.steps:
        if name == "append":
            emitted |= {decode(r.value).data.memory_id for r in subject}  # type: ignore[attr-defined]
        elif name == "write":
            assert isinstance(subject, Writes)
            now = {row.memory_id for row in subject.edges if row.hub_formed_ms >= 0}
            assert now <= emitted
            formed += len(now)
    assert formed > 0


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_step_that_fails_is_tried_again(
    one: Machine, undisturbed: dict[str, Any], step: str, moment: Moment
) -> None:
    """`RetryLater` before or after any step, three times in a row: the same digest and events, no effect doubled."""
    await one.append(*conversation(), *recalls())
    left = 3

    def fault(name: str, when: Moment) -> None:
        nonlocal left
        if (name, when) == (step, moment) and left:
            left -= 1
            raise RetryLater("away for a test")

    one.watch.fault = fault
    retries: list[RetryLater] = []
    await one.settle(batch_records=3, on_retry=retries.append)
    assert len(retries) == 3
    await assert_same(one, undisturbed)
    assert one.counts["encoded"] == 12
    assert one.counts["recalled"] + one.counts["reinforced"] == 12


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_at_a_step_changes_nothing_in_the_end(
    place: Path, undisturbed: dict[str, Any], step: str, moment: Moment
) -> None:
    """A process ends before or after any step, at its first and at later times; a new one on the same files goes on."""
    async with machine(place) as one:
        await one.append(*conversation(), *recalls())
    crashes = 0
    for at in (1, 2, 3, None):
        async with machine(place) as one:
            passed = 0

            def fault(name: str, when: Moment, at: int | None = at) -> None:
                nonlocal passed
                if (name, when) == (step, moment):
                    passed += 1
                    if passed == at:
                        raise Crash

            one.watch.fault = fault
            if at is None:
                await one.settle(batch_records=3)
                await assert_same(one, undisturbed)
                continue
            try:
                await one.settle(batch_records=3)
            except Crash:
                crashes += 1
    assert crashes >= 2


async def test_a_store_that_is_away_for_a_while_loses_nothing(one: Machine, undisturbed: dict[str, Any]) -> None:
    """Writes fail many times in a row: everything is written in the end, once, in the order of the log."""
    await one.append(*conversation(), *recalls())
    away = {"left": 25}

    def fault(name: str, when: Moment) -> None:
        if name == "write" and when == "before" and away["left"]:
            away["left"] -= 1
            raise RetryLater("no store")

    one.watch.fault = fault
    await one.pump(one.encoding(), batch_records=2).run(until=await one.ends())
    written = [m.turn.message_id for name, w in one.watch.steps if name == "write" for m in w.memories]
    assert written == [f"m{n}" for n in range(12)]
    assert away["left"] == 0
    await one.settle(batch_records=3)
    await assert_same(one, undisturbed)


def test_waits_double_up_to_a_bound() -> None:
    """A store that is away for days is asked every few seconds, not less and less."""
    backoff = Backoff(first_s=0.05, longest_s=5.0)
    assert [backoff.wait_s(n) for n in (1, 2, 3)] == [0.05, 0.1, 0.2]
    assert backoff.wait_s(8) == 5.0
    assert backoff.wait_s(10**6) == 5.0


async def test_reading_is_tried_again_too(one: Machine) -> None:
    """A log that cannot be read now, for positions, records or dead letters, stops a pump no more than a store does."""
    await one.append(*conversation(4))
    pump = one.pump(one.encoding())
    failing = dict.fromkeys(("partitions", "begin_offsets", "read", "load_checkpoints"), 2)

    class Flaky:
        def __init__(self, real: object) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            async def call(*args: Any, **options: Any) -> Any:
                if failing.get(name):
                    failing[name] -= 1
                    raise RetryLater(f"{name} is away")
                return await getattr(self._real, name)(*args, **options)

            return call

    pump._log, pump._store = Flaky(one.log), Flaky(one.store)
    await pump.run(until=await one.ends())
    assert not any(failing.values())
    assert await one.store.spaces() == {"acme/anna": 4}
