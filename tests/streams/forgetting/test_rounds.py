"""Rounds: a running instance forgets by itself, as often as the policy says, in event time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import cast

import msgspec
import pytest

from fakes.directories import directory
from fakes.machine import SETTINGS, Watch, WatchedLog
from fakes.words import wordllama
from helamem.schemas.errors import RetryLater
from helamem.schemas.records import Record, TopicPartition, base_name_of
from helamem.schemas.settings import ForgettingPolicy, Settings
from helamem.schemas.topics import CONTROL, RECALLS
from helamem.schemas.wire import decode
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.forgetting.rounds import SOURCE, Round, Rounds
from helamem.streams.instance import Instance
from helamem.streams.log.port import Log

DAY_MS = 86_400_000
START_MS = 1_750_000_000_000
POLICY = ForgettingPolicy(older_than_days=30, every_days=7)
WEEKLY = msgspec.structs.replace(
    SETTINGS, forgetting=ForgettingPolicy(older_than_days=30), forgetting_of={"acme": POLICY}
)
NEVER_MS = 4_000_000_000_000


@pytest.fixture
async def memory() -> AsyncIterator[AsyncMemory]:
    with directory() as path:
        instance = await Instance.open(path / "home", settings=WEEKLY, embedder=wordllama())
        async with AsyncMemory(instance) as opened:
            yield opened


async def say(memory: AsyncMemory, days: int, space: str = "acme/anna") -> None:
    """Have something said, so many days after the start."""
    time = datetime.fromtimestamp((START_MS + days * DAY_MS) / 1000, UTC)
    text = f"On day {days} the harbour was calm."
    await memory.append([Message(space=space, conversation="c", speaker="Anna", text=text, time=time)])
    await memory.process()


def rounds(memory: AsyncMemory, clock_ms: int = NEVER_MS) -> Rounds:
    """Return rounds of a new process."""
    instance = memory.instance
    return Rounds(instance.store, instance.log, instance.settings, clock=lambda: clock_ms)


def told(found: list[Round]) -> list[tuple[str, int, int]]:
    """Return of each round the tenant, the day and how many memories went."""
    return [
        (one.tenant, (one.decision.as_of_ms - START_MS) // DAY_MS, sum(one.decision.counts.values())) for one in found
    ]


async def test_a_round_is_due_by_event_time(memory: AsyncMemory) -> None:
    """The clock of what is said and recalled decides, also in another process; a tenant without a period has none."""
    going = asyncio.Event()
    await say(memory, 0)
    await say(memory, 0, "globex/bert")
    mine = rounds(memory)
    assert told(await mine.look(going)) == [("acme", 0, 0)]
    assert await mine.look(going) == []
    await say(memory, 6)
    assert await mine.look(going) == []
    await memory.recall("acme/anna", "harbour", as_of=START_MS + 31 * DAY_MS, k=1, m=0)
    await say(memory, 40, "globex/bert")
    (first,) = await mine.look(going)
    assert told([first]) == [("acme", 31, 0)], "one was recalled on that day, and the other is not old"
    await say(memory, 37)
    assert await mine.look(going) == []
    await say(memory, 38)
    (second,) = await mine.look(going)
    assert told([second]) == [("acme", 38, 1)]
    await memory.process()
    await say(memory, 44)
    assert await rounds(memory).look(going) == [], "a new process reads in the log when the last one was"
    await say(memory, 45)
    assert told(await rounds(memory).look(going)) == [("acme", 45, 0)]
    assert second.run is not None
    assert {space: len(ids) for space, ids in (await memory.restore_run(second.run)).items()} == {"acme/anna": 1}


async def test_a_run_by_hand_is_no_round(memory: AsyncMemory) -> None:
    """It neither counts nor delays the next one."""
    await say(memory, 0)
    await say(memory, 50)
    await memory.forget_chosen(await memory.forgettable("acme/anna", as_of=START_MS + 50 * DAY_MS))
    await memory.process()
    assert told(await rounds(memory).look(asyncio.Event())) == [("acme", 50, 0)]


async def test_a_wrong_clock_makes_nothing_old(memory: AsyncMemory) -> None:
    """What is said to come from next year counts as of now, and what becomes due by the clock alone is done."""
    await say(memory, 0)
    await say(memory, 365)
    now_ms = START_MS + DAY_MS
    instance = memory.instance
    mine = Rounds(instance.store, instance.log, instance.settings, clock=lambda: now_ms)
    assert told(await mine.look(asyncio.Event())) == [("acme", 1, 0)]
    assert await mine.look(asyncio.Event()) == []
    now_ms = START_MS + 31 * DAY_MS
    assert told(await mine.look(asyncio.Event())) == [("acme", 31, 1)]


async def test_it_waits_until_all_is_processed_and_stops_when_told(memory: AsyncMemory) -> None:
    """What it decides by is what the log holds; told to stop meanwhile, it does nothing."""
    await say(memory, 0)
    time = datetime.fromtimestamp((START_MS + 60 * DAY_MS) / 1000, UTC)
    await memory.append([Message(space="acme/anna", conversation="c", speaker="Anna", text="Calm.", time=time)])
    stopping = asyncio.Event()
    looking = asyncio.create_task(rounds(memory).look(stopping))
    await asyncio.sleep(0.05)
    assert not looking.done()
    stopping.set()
    assert await looking == []
    looking = asyncio.create_task(rounds(memory).look(asyncio.Event()))
    await memory.process()
    assert told(await looking) == [("acme", 60, 1)]


async def test_it_runs_beside_what_processes(memory: AsyncMemory) -> None:
    """Look after look, until it is stopped; what is away is told and tried again."""
    await say(memory, 0)
    await say(memory, 60)
    done: list[Round] = []
    away: list[RetryLater] = []
    stopping = asyncio.Event()

    def on_round(one: Round) -> None:
        done.append(one)
        if len(done) == 1:
            raise RetryLater("the store is away")
        stopping.set()

    instance = memory.instance
    both = msgspec.structs.replace(WEEKLY, forgetting_of={"acme": POLICY, "globex": POLICY})
    await say(memory, 60, "globex/bert")
    looking = Rounds(
        instance.store,
        instance.log,
        both,
        clock=lambda: NEVER_MS,
        on_round=on_round,
        on_retry=away.append,
        look_every_s=0.01,
    )
    following = asyncio.create_task(memory.run())
    await asyncio.wait_for(looking.run(stopping), 60)
    memory.stop()
    await following
    assert told(done) == [("acme", 60, 1), ("globex", 60, 0)]
    assert [str(one) for one in away] == ["the store is away"]
    log = instance.log
    records = [one for at in await log.partitions(CONTROL.name) for one in await log.read(at, 0)]
    assert [decode(one.value).source for one in records] == [SOURCE]


class CountingLog(WatchedLog):
    """A log that notes from where the recalls are read."""

    def __init__(self, log: Log) -> None:
        super().__init__(log, Watch())
        self.read_from: list[tuple[TopicPartition, int]] = []

    async def read(
        self, partition: TopicPartition, start: int, *, end: int | None = None, limit: int = 1000
    ) -> list[Record]:
        """Read, noted."""
        if base_name_of(partition.topic) == RECALLS.base_name:
            self.read_from.append((partition, start))
        return await self._log.read(partition, start, end=end, limit=limit)


async def test_the_recalls_are_read_once_for_all_rounds(memory: AsyncMemory) -> None:
    """However many tenants have one; what was used lately stays all the same."""
    for space in ("acme/anna", "acme/bert", "globex/bert"):
        for days in (0, 60):
            await say(memory, days, space)
    await memory.recall("acme/anna", "harbour on day 0", as_of=START_MS + 59 * DAY_MS, k=1, m=0)
    await memory.process()
    instance = memory.instance
    both = msgspec.structs.replace(WEEKLY, forgetting_of={"acme": POLICY, "globex": POLICY})
    log = CountingLog(instance.log)
    looking = Rounds(instance.store, cast("Log", log), both, clock=lambda: NEVER_MS)
    assert told(await looking.look(asyncio.Event())) == [("acme", 60, 1), ("globex", 60, 1)]
    assert len(log.read_from) == len(set(log.read_from)) > 0


async def test_nothing_is_looked_at_where_no_policy_says_how_often(memory: AsyncMemory) -> None:
    """It ends at once."""
    instance = memory.instance
    await asyncio.wait_for(
        Rounds(instance.store, instance.log, Settings(), clock=lambda: 0).run(asyncio.Event()), timeout=60
    )
