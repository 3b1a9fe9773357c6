"""Runs of forgetting: what was decided goes, by events, and can be brought back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec
import pytest

from fakes.directories import directory
from fakes.events import distilled
from fakes.machine import SETTINGS
from fakes.words import wordllama
from helamem.schemas.errors import BadInput
from helamem.schemas.events import MemoryForgotten
from helamem.schemas.ids import memory_id
from helamem.schemas.records import NewRecord
from helamem.schemas.settings import ForgettingPolicy
from helamem.schemas.topics import CONTROL, RECALLS
from helamem.schemas.wire import Event, decode
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.forgetting.decision import Decision, decide
from helamem.streams.forgetting.run import Forgetting
from helamem.streams.ingest.incoming import record_of
from helamem.streams.instance import Instance
from helamem.streams.lineage.reader import LogReader
from helamem.streams.lineage.why import why
from helamem.streams.replay import replay

DAY_MS = 86_400_000
START_MS = 1_750_000_000_000
SPACE, OTHER, STRANGER = "acme/anna", "acme/bert", "globex/carl"
POLICY = ForgettingPolicy(older_than_days=30, not_recalled_for_days=10)
LATER_MS = START_MS + 100 * DAY_MS


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def home() -> Iterator[Path]:
    with directory() as path:
        yield path / "home"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def memory(home: Path, clock: Clock) -> AsyncIterator[AsyncMemory]:
    """A home in which each of three spaces remembers six things; globex has a policy of its own."""
    settings = msgspec.structs.replace(
        SETTINGS, forgetting=POLICY, forgetting_of={"globex": msgspec.structs.replace(POLICY, budget=2)}
    )
    instance = await Instance.open(home, settings=settings, embedder=wordllama(), clock=clock)
    async with AsyncMemory(instance, clock) as opened:
        await opened.append(
            [
                Message(space=space, conversation="c", speaker="Anna", text=text, message_id=f"m{number}")
                for space in (SPACE, OTHER, STRANGER)
                for number, text in enumerate(
                    (
                        "I moved to Bergen.",
                        "The tent near the lake is blue.",
                        "Bert must not eat nuts.",
                        "The ferry leaves on Friday.",
                        "The stove needs gas.",
                        "We saw northern lights.",
                    )
                )
            ]
        )
        await opened.process()
        clock.now_ms = LATER_MS
        yield opened


def names(decision: Decision) -> dict[str, list[str]]:
    """Return the message ids of what goes, by space."""
    return {one.space: sorted(each.message_id for each in one.memories) for one in decision.choices}


async def control(memory: AsyncMemory) -> list[Event]:
    """Return the control events in the log."""
    log = memory.instance.log
    return [decode(one.value) for at in await log.partitions(CONTROL.name) for one in await log.read(at, 0)]


async def visible(memory: AsyncMemory, space: str) -> set[str]:
    """Return the message ids of what can be recalled."""
    return {one.message_id async for one in memory.instance.store.scan_turns(space) if not one.hidden}


async def test_what_was_decided_goes_and_nothing_else(memory: AsyncMemory) -> None:
    """The events carry the run, the reason and the moment; deciding again at that moment finds nothing."""
    await memory.recall(SPACE, "What must Bert not eat?", k=2, m=0)
    decision = await memory.forgettable([OTHER, SPACE], as_of=LATER_MS)
    assert [one.space for one in decision.choices] == [SPACE, OTHER]
    chosen = names(decision)
    assert (len(chosen[SPACE]), len(chosen[OTHER])) == (4, 6)
    assert await control(memory) == []
    run = await memory.forget_chosen(decision)
    await memory.process()
    for space in (SPACE, OTHER):
        assert await visible(memory, space) == {f"m{n}" for n in range(6)} - {*chosen[space]}
    assert len(await visible(memory, STRANGER)) == 6
    for event in await control(memory):
        assert isinstance(event.data, MemoryForgotten)
        assert (event.time_ms, event.data.run) == (LATER_MS, run)
        assert event.data.reason == "weaker than 0.02, older than 30 days, not recalled for 10 days"
    again = await memory.forgettable([OTHER, SPACE], as_of=LATER_MS)
    assert names(again) == {SPACE: [], OTHER: []}
    assert await memory.forget_chosen(again) is None
    assert len(await control(memory)) == 2


async def test_what_was_recalled_alone_lately_stays(memory: AsyncMemory, clock: Clock) -> None:
    """Such a recall strengthens no edge, and is read from the log; one that is long over protects nothing."""
    answer = await memory.recall(SPACE, "What must Bert not eat?", k=1, m=0, facts=0)
    assert [hit.turn.message_id for hit in answer.hits if hit.turn] == ["m2"]
    junk = NewRecord(topic=RECALLS.name, key=SPACE.encode(), value=b"no event")
    await memory.instance.log.append([junk])
    await memory.process()
    assert await memory.edges(SPACE) == []
    for days, stays in ((9, True), (10, False)):
        decision = await memory.forgettable(SPACE, as_of=LATER_MS + days * DAY_MS)
        assert ("m2" not in names(decision)[SPACE]) is stays
    clock.now_ms += 9 * DAY_MS
    await memory.reinforce(answer.recall_id, [hit.result.id for hit in answer.hits])
    decision = await memory.forgettable(SPACE, as_of=LATER_MS + 10 * DAY_MS)
    assert "m2" in names(decision)[SPACE], "a reinforcement has the time of its recall"


async def test_what_somebody_had_hidden_before_a_run_stays_hidden_after_its_undo(memory: AsyncMemory) -> None:
    """Also where the run was decided before that was processed, and named it too."""
    decision = await memory.forgettable(SPACE, as_of=LATER_MS)
    asked, shown = memory_id(SPACE, "m1"), memory_id(SPACE, "m2")
    await memory.forget(SPACE, [asked, shown], "asked for")
    await memory.restore(SPACE, [shown], "asked for")
    run = await memory.forget_chosen(decision)
    assert run is not None
    await memory.process()
    restored = await memory.restore_run(run)
    assert asked not in restored[SPACE]
    assert shown in restored[SPACE]
    await memory.process()
    assert await visible(memory, SPACE) == {f"m{n}" for n in range(6)} - {"m1"}


async def test_each_tenant_has_its_policy(memory: AsyncMemory) -> None:
    """The budget of one is no bound to another; a policy that is given takes the place of all."""
    early_ms = START_MS + DAY_MS
    decision = await memory.forgettable([SPACE, STRANGER], as_of=early_ms)
    assert {space: len(found) for space, found in names(decision).items()} == {SPACE: 0, STRANGER: 4}
    assert decision.counts == {"faded": 0, "over-budget": 4}
    run = await memory.forget_chosen(decision)
    await memory.process()
    assert len(await visible(memory, STRANGER)) == 2
    (event,) = await control(memory)
    assert event.data == MemoryForgotten(
        memory_ids=tuple(one.memory_id for one in decision.choices[1].memories),
        reason="over the budget of 2 memories, and others were used more",
        run=run or "",
    )
    everything = await memory.forgettable([SPACE, STRANGER], ForgettingPolicy(budget=5), as_of=early_ms)
    assert {space: len(found) for space, found in names(everything).items()} == {SPACE: 1, STRANGER: 0}


async def test_the_span_of_a_run_counts_its_records(memory: AsyncMemory) -> None:
    """One of each reason and thousand ids, not one of each space."""
    sent: list[tuple[str, int]] = []

    def sending(topic: str, spaces: Collection[str], records: int) -> AbstractContextManager[None]:
        sent.append((topic, records))
        return nullcontext()

    instance = memory.instance
    forgetting = Forgetting(instance.store, instance.log, instance.settings, sending=sending)
    decision = await memory.forgettable([SPACE, OTHER])
    first, second = decision.choices
    many = [msgspec.structs.replace(first.memories[0], memory_id=memory_id(SPACE, f"x{n}")) for n in range(1001)]
    over = msgspec.structs.replace(first.memories[1], reason="over-budget")
    first = msgspec.structs.replace(first, memories=(*many, over))
    await forgetting.carry_out(msgspec.structs.replace(decision, choices=(first, second)))
    assert sent == [(CONTROL.name, 4)] == [(CONTROL.name, len(await control(memory)))]


async def test_a_run_can_be_undone(memory: AsyncMemory) -> None:
    """All is as it was; a run of which nothing is hidden any more restores nothing, an unknown one is refused."""
    before = (await memory.digest()).digest
    run = await memory.forget_chosen(await memory.forgettable([SPACE, OTHER]))
    assert run is not None
    await memory.process()
    assert (await memory.digest()).digest != before
    with pytest.raises(BadInput, match=f"no run of forgetting {run} in {STRANGER}"):
        await memory.restore_run(run, space=STRANGER)
    assert {space: len(ids) for space, ids in (await memory.restore_run(run, space=SPACE)).items()} == {SPACE: 6}
    await memory.process()
    assert (len(await visible(memory, SPACE)), len(await visible(memory, OTHER))) == (6, 0)
    assert {space: len(ids) for space, ids in (await memory.restore_run(run)).items()} == {SPACE: 0, OTHER: 6}
    await memory.process()
    assert (await memory.digest()).digest == before
    with pytest.raises(BadInput, match="no run of forgetting nothing in the log"):
        await memory.restore_run("nothing")


async def test_undoing_leaves_what_came_later(memory: AsyncMemory) -> None:
    """What was restored and forgotten again by name, or by another run, is not the first run's any more."""
    first = await memory.forget_chosen(await memory.forgettable(SPACE))
    assert first is not None
    ids = [memory_id(SPACE, f"m{n}") for n in range(3)]
    await memory.restore(SPACE, ids, "needed")
    await memory.forget(SPACE, ids[:1], "wrong")
    await memory.process()
    second = await memory.forget_chosen(await memory.forgettable(SPACE, ForgettingPolicy(budget=1)))
    assert second is not None
    await memory.restore_run(first)
    await memory.process()
    left = await visible(memory, SPACE)
    assert {"m3", "m4", "m5"} < left
    assert len(left) == 4
    assert "m0" not in left


async def test_a_replay_remembers_and_chooses_the_same(memory: AsyncMemory, home: Path) -> None:
    """The digest of a rebuild is that of the home, and it decides alike by the same log at the same moment."""
    answer = await memory.recall(SPACE, "What must Bert not eat?", k=3, m=0)
    await memory.reinforce(answer.recall_id, [hit.result.id for hit in answer.hits])
    await memory.process()
    run = await memory.forget_chosen(await memory.forgettable([SPACE, OTHER, STRANGER]))
    assert run is not None
    await memory.process()
    await memory.restore_run(run, space=OTHER)
    await memory.process()
    replayed = await replay(home, home.parent / "again", embedder=wordllama())
    assert replayed.digest.digest == (await memory.digest()).digest
    spaces = [SPACE, OTHER, STRANGER]
    policy = ForgettingPolicy(older_than_days=1, budget=2)
    here = await memory.forgettable(spaces, policy, as_of=LATER_MS)
    assert any(one.memories for one in here.choices)
    rebuilt = await Instance.open(home.parent / "again", create=False, embedder=wordllama())
    try:
        there = await decide(
            rebuilt.store, memory.instance.log, rebuilt.settings, spaces, as_of_ms=LATER_MS, policy=policy
        )
    finally:
        await rebuilt.close()
    assert there == here


async def test_a_fact_goes_with_what_its_words_are_from_and_comes_back(memory: AsyncMemory) -> None:
    """While it holds it protects them; a policy that protects nothing takes both, and an undo brings both back."""
    fact = distilled("f", "Anna moved to Bergen.", space=SPACE, time_ms=START_MS, evidence=("m0",))
    await memory.instance.log.append([record_of(fact)])
    await memory.process()

    async def facts() -> list[str]:
        answer = await memory.recall(SPACE, "Where does Anna live?", as_of=LATER_MS, record=False)
        return [hit.text for hit in answer.hits if hit.result.kind == "fact"]

    assert await facts() == ["Anna moved to Bergen."]
    (choice,) = (await memory.forgettable(SPACE)).choices
    assert (choice.spared, "m0" in {one.message_id for one in choice.memories}) == ({"facts": 1}, False)
    before = (await memory.digest()).digest
    all_of_it = await memory.forgettable(SPACE, msgspec.structs.replace(POLICY, protected=()))
    run = await memory.forget_chosen(all_of_it)
    assert run is not None
    await memory.process()
    assert await facts() == []
    found = await why(await LogReader.open(memory.instance.log), memory_id(SPACE, "m0"), space=SPACE)
    (hidden,) = [one for one in found.node.children if one.kind == "forgotten"]
    assert hidden.details["run"] == run
    await memory.restore_run(run)
    await memory.process()
    assert await facts() == ["Anna moved to Bergen."]
    assert (await memory.digest()).digest == before
