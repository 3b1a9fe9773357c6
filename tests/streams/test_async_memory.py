"""The library: what it refuses, what it remembers, and that stopping and going on lose nothing."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import UNSET

from fakes.directories import directory
from fakes.machine import SETTINGS
from fakes.words import wordllama
from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.schemas.events import MAX_TEXT, MemoryRecalled, MemoryReinforced
from helamem.schemas.ids import memory_id
from helamem.schemas.records import NewRecord
from helamem.schemas.settings import HebbianSettings, Settings
from helamem.schemas.topics import RECALLS
from helamem.schemas.wire import decode
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.embedded import ForgettingPolicy, Memory
from helamem.streams.instance import Instance
from helamem.streams.switch_interval import SWITCH_INTERVAL_S, yielding_sooner

SPACE = "acme/anna"
TIME = datetime(2025, 3, 1, 10, tzinfo=UTC)


def said(number: int, text: str = "", *, space: str = SPACE) -> Message:
    """Return a message."""
    return Message(
        space=space,
        conversation=f"c{number}",
        speaker="Anna",
        text=text or f"The tent near lake {number} is blue.",
        time=TIME + timedelta(minutes=number),
        message_id=f"m{number}",
    )


@pytest.fixture
def home() -> Iterator[Path]:
    with directory() as path:
        yield path / "home"


@pytest.fixture
async def memory(home: Path) -> AsyncIterator[AsyncMemory]:
    async with await AsyncMemory.open(home, settings=SETTINGS, embedder=wordllama()) as opened:
        yield opened


async def events(memory: AsyncMemory) -> list[MemoryRecalled | MemoryReinforced]:
    """Return what the log holds of recalls."""
    log = memory.instance.log
    records = [one for at in await log.partitions(RECALLS.name) for one in await log.read(at, 0)]
    found = [decode(record.value).data for record in records]
    return [data for data in found if isinstance(data, MemoryRecalled | MemoryReinforced)]


async def test_what_is_appended_is_recalled_after_processing(memory: AsyncMemory) -> None:
    """Ids come back at once; the same message again is one memory."""
    ids = await memory.append([said(0), said(1), said(0)])
    assert ids == [memory_id(SPACE, name) for name in ("m0", "m1", "m0")]
    assert (await memory.recall(SPACE, "tent")).hits == ()
    await memory.process()
    answer = await memory.recall(SPACE, "tent")
    assert {hit.result.id for hit in answer.hits} == set(ids)
    assert await memory.spaces() == {SPACE: 2}


async def test_messages_without_ids_or_times_get_them(memory: AsyncMemory) -> None:
    """Two messages that say the same are two memories."""
    same = Message(space=SPACE, conversation="c", speaker="Anna", text="Yes.")
    assert len(set(await memory.append([same, same]))) == 2
    await memory.process()
    assert await memory.spaces() == {SPACE: 2}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Message(space="anna", conversation="c", speaker="a", text="x"), "subject"),
        (Message(space=SPACE, conversation="", speaker="a", text="x"), "data.conversation"),
        (Message(space=SPACE, conversation="c", speaker="a" * 257, text="x"), "data.speaker"),
        (Message(space=SPACE, conversation="c", speaker="a", text=""), "data.text"),
        (Message(space=SPACE, conversation="c", speaker="a", text="x" * (MAX_TEXT + 1)), "data.text"),
        (Message(space=SPACE, conversation="c", speaker="a", text="x", time=datetime(2025, 1, 1)), "zone"),  # noqa: DTZ001 - that is the fault
    ],
)
async def test_one_bad_message_keeps_all_out(memory: AsyncMemory, bad: Message, reason: str) -> None:
    """The sentence names the field; nothing partial is left behind."""
    before = await memory.instance.ends()
    with pytest.raises(BadInput, match=reason):
        await memory.append([said(0), bad, said(1)])
    assert await memory.instance.ends() == before


async def test_a_recall_is_recorded_with_all_that_decided_it(memory: AsyncMemory) -> None:
    """Query, results, settings and the positions of the projection that answered."""
    await memory.append([said(n) for n in range(5)])
    await memory.process()
    answer = await memory.recall(SPACE, "the blue tent", k=2, m=1, facts=0, token_budget=500, as_of=TIME)
    (recorded,) = await events(memory)
    assert isinstance(recorded, MemoryRecalled)
    assert (recorded.query, recorded.as_of) == ("the blue tent", answer.as_of_ms)
    assert recorded.results == tuple(hit.result for hit in answer.hits)
    assert (recorded.settings.k, recorded.settings.m, recorded.settings.token_budget) == (2, 1, 500)
    assert 6 in recorded.applied.values(), "five messages and the settings before them"
    quiet = await memory.recall(SPACE, "the blue tent", record=False)
    assert not quiet.recorded
    assert len(await events(memory)) == 1


async def test_as_of_leaves_later_turns_out(memory: AsyncMemory) -> None:
    """An aware time or milliseconds; the very moment is included."""
    await memory.append([said(n) for n in range(5)])
    await memory.process()
    moment = TIME + timedelta(minutes=2)
    for as_of in (moment, int(moment.timestamp() * 1000)):
        hits = (await memory.recall(SPACE, "tent", as_of=as_of)).hits
        assert {hit.turn.message_id for hit in hits if hit.turn} == {"m0", "m1", "m2"}


@pytest.mark.parametrize(
    ("space", "query"), [("anna", "tent"), ("-acme/anna", "tent"), (SPACE, ""), (SPACE, "x" * 40_000), ("a/b\n", "t")]
)
async def test_a_recall_that_cannot_be_recorded_is_refused(memory: AsyncMemory, space: str, query: str) -> None:
    """Also where it would not be recorded; no space's name reaches what is hidden in another."""
    await memory.append([said(0)])
    await memory.process()
    await memory.forget(SPACE, [memory_id(SPACE, "m0")], "test")
    await memory.process()
    for record in (True, False):
        with pytest.raises(BadInput):
            await memory.recall(space, query, record=record)
    assert await events(memory) == []


async def test_only_what_a_recall_returned_can_be_reinforced(memory: AsyncMemory) -> None:
    """An unknown recall, a memory that it did not return and another space's recall: nothing is appended."""
    await memory.append([*(said(n) for n in range(4)), said(9, space="acme/bert")])
    await memory.process()
    answer = await memory.recall(SPACE, "tent lake 1", k=2, m=0)
    ids = [hit.result.id for hit in answer.hits]
    await memory.instance.log.append(
        [NewRecord(topic=RECALLS.name, key=SPACE.encode(), value=answer.recall_id.encode())]
    )
    for recall_id, memory_ids, space in (
        ("unknown", ids, None),
        (answer.recall_id, [memory_id("acme/bert", "m9")], None),
        (answer.recall_id, ids, "acme/bert"),
    ):
        with pytest.raises(BadInput):
            await memory.reinforce(recall_id, memory_ids, space=space)
    await memory.reinforce(answer.recall_id, ids)
    await memory.reinforce(answer.recall_id, ids, space=SPACE)
    await memory.process()
    rows = {row.memory_id for row in await memory.edges(SPACE)}
    assert rows == set(ids)
    assert memory.instance.counts["reinforced"] == 2
    assert memory.instance.counts["dead-lettered"] == 1, "the junk among the recalls was no obstacle"


async def test_what_was_found_first_is_tied_to_what_was_of_use(memory: AsyncMemory) -> None:
    """One memory of use is enough to learn the way to it, unless it came first anyway."""
    await memory.append([said(n) for n in range(4)])
    await memory.process()
    first, second, third = await recalled_ids(memory, "tent lake 1")
    answer = await memory.recall(SPACE, "tent lake 1", k=3, m=0, facts=0)
    await memory.reinforce(answer.recall_id, [third])
    await memory.reinforce(answer.recall_id, [first])
    await memory.reinforce(answer.recall_id, [first, second])
    told = [data for data in await events(memory) if isinstance(data, MemoryReinforced)]
    assert [data.cue for data in told] == [first, UNSET, UNSET]
    assert [data.together for data in told] == [(third, first), (first,), (first, second)]


async def recalled_ids(memory: AsyncMemory, query: str) -> list[str]:
    """Return what a question finds, best first, leaving no trace."""
    return [hit.result.id for hit in (await memory.recall(SPACE, query, k=3, m=0, facts=0, record=False)).hits]


async def test_forget_dry_run_then_forget_then_restore(memory: AsyncMemory) -> None:
    """Looking changes nothing; an event hides and another brings back."""
    await memory.append([said(n) for n in range(3)])
    await memory.process()
    policy = ForgettingPolicy(older_than_days=30)
    as_of = TIME + timedelta(days=30, minutes=1)
    before = (await memory.digest()).digest
    (choice,) = (await memory.forgettable(SPACE, policy, as_of=as_of)).choices
    assert [one.message_id for one in choice.memories] == ["m0", "m1"]
    assert (await memory.digest()).digest == before
    ids = [one.memory_id for one in choice.memories]
    await memory.forget(SPACE, ids, "weak")
    await memory.process()
    assert {hit.turn.message_id for hit in (await memory.recall(SPACE, "tent")).hits if hit.turn} == {"m2"}
    await memory.restore(SPACE, ids, "needed after all")
    await memory.process()
    assert (await memory.digest(SPACE)).spaces[SPACE].memories == (await memory.digest()).spaces[SPACE].memories
    assert len((await memory.recall(SPACE, "tent")).hits) == 3


async def test_following_then_stopping_then_processing(memory: AsyncMemory) -> None:
    """A stop ends the run; what comes afterwards is processed when it is asked for, and it can follow again."""
    for number in range(3):
        task = asyncio.create_task(memory.run())
        await memory.append([said(2 * number)])
        while (await memory.spaces()).get(SPACE, 0) < 2 * number + 1:  # noqa: ASYNC110 - a real store is awaited
            await asyncio.sleep(0.01)
        memory.stop()
        await task
        await memory.append([said(2 * number + 1)])
        await memory.process()
        assert await memory.spaces() == {SPACE: 2 * number + 2}


async def test_threads_give_way_sooner_only_while_it_follows(memory: AsyncMemory) -> None:
    """Recalls go on beside the pumps; afterwards the process has its own switch interval again."""
    before_s = sys.getswitchinterval()
    task = asyncio.create_task(memory.run())
    await memory.append([said(0)])
    while not (await memory.recall(SPACE, "tent", record=False)).hits:
        assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
    memory.stop()
    await task
    assert sys.getswitchinterval() == pytest.approx(before_s)


def test_the_last_of_several_gives_the_interval_back() -> None:
    """It is the process's: whoever ends first leaves it to the other, in whatever order they began."""
    before_s = sys.getswitchinterval()
    first, second = yielding_sooner(), yielding_sooner()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
    second.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(before_s)


async def test_a_stop_before_it_follows_is_not_lost(memory: AsyncMemory) -> None:
    """Whoever stops it in the moment before it begins does not wait for ever."""
    task = asyncio.create_task(memory.run())
    memory.stop()
    await asyncio.wait_for(task, 60)


async def test_a_home_is_opened_again_as_it_was(home: Path) -> None:
    """Settings stand in the log: none or the same are taken, others refused; the digest is what it was."""
    async with await AsyncMemory.open(home, settings=SETTINGS, embedder=wordllama()) as memory:
        await memory.append([said(n) for n in range(4)])
        await memory.process()
        before = await memory.digest()
    other = Settings(hebbian=HebbianSettings(eta_recalled=0.5))
    with pytest.raises(ConfigurationError, match="has other settings in its log"):
        await AsyncMemory.open(home, settings=other, embedder=wordllama())
    for settings in (None, SETTINGS):
        async with await AsyncMemory.open(home, settings=settings, embedder=wordllama()) as memory:
            assert memory.instance.settings == SETTINGS
            assert await memory.digest() == before
    with pytest.raises(BadInput, match="there is no helamem home"):
        await AsyncMemory.open(home.with_name("elsewhere"), create=False, embedder=wordllama())


async def test_a_home_has_one_writer(home: Path) -> None:
    """A second one is refused, and the first goes on."""
    async with await AsyncMemory.open(home, embedder=wordllama()) as memory:
        with pytest.raises(ConfigurationError, match=r"process \d+"):
            await Instance.open(home, embedder=wordllama())
        await memory.append([said(0)])
        await memory.process()
        assert await memory.spaces() == {SPACE: 1}


def test_the_same_without_async(home: Path) -> None:
    """`Memory` waits for what `AsyncMemory` does, in a thread of its own."""
    with Memory.open(home, embedder=wordllama()) as memory:
        memory.append([said(n) for n in range(3)])
        memory.process()
        answer = memory.recall(SPACE, "tent")
        assert len(answer.hits) == 3
        memory.reinforce(answer.recall_id, [hit.result.id for hit in answer.hits])
        memory.process()
        assert len(memory.edges(SPACE)) == 3
        assert list(memory.digest().spaces) == [SPACE]
        with pytest.raises(BadInput):
            memory.recall("nowhere", "tent")
    memory.close()
    with pytest.raises(BadInput, match="there is no helamem home"):
        Memory.open(home.with_name("elsewhere"), create=False)


def test_it_opens_as_with_async(home: Path) -> None:
    """By the same arguments, which whoever reads help sees."""
    assert inspect.signature(Memory.open) == inspect.signature(AsyncMemory.open)
    with Memory.open(home, embedder=wordllama(), recall_audit="relaxed") as memory:
        memory.append([said(0)])
        memory.process()
        answer = memory.recall(SPACE, "tent")
        memory.reinforce(answer.recall_id, [answer.hits[0].result.id])
