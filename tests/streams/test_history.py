"""The history of a space, put together up to a moment, is what the space was at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from fakes.directories import directory
from fakes.events import event, record
from fakes.subjects import OTHER, SPACE, START, erased, lived
from fakes.words import wordllama
from helamem.processors.consolidation.standing import ended
from helamem.processors.hebbian.decay import CAP
from helamem.processors.hebbian.packing import unpack
from helamem.processors.history import changes
from helamem.processors.history.changes import Change
from helamem.processors.store.port import MemoryStore
from helamem.schemas.events import KnowledgeRetracted
from helamem.schemas.ids import id_text, memory_id
from helamem.schemas.times import MAX_MS, format_ms, parse_time
from helamem.schemas.topics import CONVERSATIONS, TOPICS
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.history import Walk
from helamem.streams.home import Home, wall_clock_ms
from helamem.streams.lineage.reader import LogReader
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.past import past

LAST = memory_id(SPACE, "m6")
EARLY = memory_id(SPACE, "early")
LATER = {
    "m8": "I live in Bergen.",
    "m9": "We moved to Oslo.",
    "early": "It was forgotten before anybody said it.",
    "m0": "It has the id of what somebody else has said.",
}
"""What Tom says later on, by message id."""


async def told(memory: AsyncMemory, limit: int = 100_000, space: str = SPACE) -> list[Change]:
    """Return the whole history of a space."""
    return await walked(await LogReader.open(memory.instance.log, memory.instance.home.keys_path), limit, space)


async def walked(reader: LogReader, limit: int = 100_000, space: str = SPACE) -> list[Change]:
    """Return the whole history, each page by one walk that goes on."""
    walk = await Walk.begin(reader, space)
    pages = [await walk.page(reader, limit)]
    while pages[-1].more:
        pages.append(await walk.page(reader, limit))
    return [change for page in pages for change in page.changes]


class Drawn:
    """A graph and facts put together from changes, as a page would."""

    def __init__(self) -> None:
        self.memories: dict[str, dict[str, Any]] = {}
        self.edges: dict[tuple[str, str], tuple[float, str]] = {}
        self.facts: dict[str, dict[str, Any]] = {}

    def take(self, change: Change) -> None:
        match change:
            case changes.MemoryAdded():
                self.memories[change.memory_id] = {
                    "conversation": change.conversation,
                    "speaker": change.speaker,
                    "role": change.role,
                    "time": change.time,
                    "text": change.text,
                    "previous": change.previous,
                    "hidden": change.hidden,
                }
            case changes.LinksChanged():
                self.edges |= {edge.memory_ids: (edge.weight, edge.last_strengthened) for edge in change.edges}
                for pair in change.pruned:
                    del self.edges[pair]
            case changes.MemoriesHidden() | changes.MemoriesShown():
                self.mark(change.memory_ids, hidden=isinstance(change, changes.MemoriesHidden))
            case changes.Erased():
                self.mark(change.memory_ids, hidden=True)
            case _:
                self.know(change)

    def mark(self, memory_ids: Sequence[str], *, hidden: bool) -> None:
        for id_ in memory_ids:
            if id_ in self.memories:
                self.memories[id_]["hidden"] = hidden

    def know(self, change: Change) -> None:
        match change:
            case changes.FactTold():
                self.facts[change.fact_id] = {
                    "statement": change.statement,
                    "subject": change.subject,
                    "kind": change.fact_kind,
                    "valid_from": change.valid_from,
                    "valid_to": change.valid_to,
                    "evidence": change.evidence,
                    "retracted": change.hidden,
                }
            case changes.FactRetracted():
                self.facts[change.fact_id] |= {"retracted": True, "valid_to": None}
            case changes.FactSuperseded():
                self.facts[change.fact_id]["valid_to"] = change.valid_to
            case changes.FactReinstated():
                self.facts[change.fact_id]["valid_to"] = None
            case _:
                raise AssertionError(change)


def drawn(history: Sequence[Change], until_ms: int) -> Drawn:
    """Return what the changes up to a moment come to."""
    result = Drawn()
    for change in history:
        if parse_time(change.at) <= until_ms:
            result.take(change)
    return result


async def held(store: MemoryStore) -> Drawn:
    """Return what a store holds, in the same form."""
    result = Drawn()
    async for turn in store.scan_turns(SPACE):
        result.memories[turn.id] = {
            "conversation": turn.conversation,
            "speaker": turn.speaker,
            "role": turn.role,
            "time": format_ms(turn.time_ms),
            "text": turn.text[:300] or None,
            "previous": turn.previous,
            "hidden": turn.hidden,
        }
    async for row in store.scan_edges(SPACE):
        for neighbour, weight, as_of_ms in unpack(row.neighbours):
            one, other = sorted((row.memory_id, id_text(neighbour)))
            found = weight / CAP, format_ms(as_of_ms)
            result.edges[one, other] = max(result.edges.get((one, other), (0.0, "")), found)
    facts = [fact async for fact in store.scan_facts(SPACE)]
    over = ended(facts, MAX_MS)
    for fact in facts:
        result.facts[fact.id] = {
            "statement": fact.text or None,
            "subject": fact.subject,
            "kind": fact.kind,
            "valid_from": format_ms(fact.valid_from_ms),
            "valid_to": format_ms(over[fact.id].at_ms) if fact.id in over else None,
            "evidence": fact.evidence,
            "retracted": fact.hidden,
        }
    return result


@pytest.fixture(scope="module")
def life() -> Iterator[Path]:
    """A home in which much happened: people talked, moved, were asked about, forgotten, restored and erased."""
    with directory() as place:
        asyncio.run(lived(place / "home", sealed=False))
        asyncio.run(go_on(place / "home"))
        asyncio.run(erased(place / "home"))
        yield place / "home"


async def go_on(home: Path) -> None:
    async with await AsyncMemory.open(home, embedder=wordllama()) as memory:
        await memory.forget(SPACE, [LAST, EARLY], "once")
        await memory.append(
            [
                Message(
                    space=SPACE,
                    conversation="tuesday" if id_ == "m9" else "monday",
                    speaker="Tom",
                    text=text,
                    time=START + timedelta(days=number),
                    message_id=id_,
                )
                for number, (id_, text) in enumerate(LATER.items(), start=2)
            ]
        )
        await memory.process()
        await memory.restore(SPACE, [LAST], "and back")
        for query in ("Where does Tom live?", "Who lives in Oslo?", "The ferry to Bergen?"):
            for _ in range(3):
                answer = await memory.recall(SPACE, query, k=5, m=2, as_of=START + timedelta(days=9))
                found = [hit.result.id for hit in answer.hits if hit.result.kind == "memory"][:4]
                await memory.reinforce(answer.recall_id, found)
                await memory.process()
        (newest,) = [fact for fact in await memory.facts(SPACE) if fact.value == "oslo"]
        retracted = KnowledgeRetracted(fact_id=newest.id, reason="a slip of the tongue")
        await memory.instance.log.append([record(event("retraction", retracted, space=SPACE))])
        await memory.process()


@pytest.fixture
async def memory(life: Path) -> AsyncIterator[AsyncMemory]:
    async with await AsyncMemory.open(life, embedder=wordllama()) as memory:
        yield memory


async def test_it_tells_all_that_happened(memory: AsyncMemory) -> None:
    """Each kind of change is there, by the event that made it, and append times never run backwards."""
    history = await told(memory)
    assert {type(change) for change in history} == set(changes.Change.__subclasses__())
    assert [change.at for change in history] == sorted(change.at for change in history)
    facts = {change.fact_id: change.statement or "" for change in history if isinstance(change, changes.FactTold)}
    (ended_by,) = [change for change in history if isinstance(change, changes.FactSuperseded)]
    assert ("Bergen" in facts[ended_by.fact_id], "Oslo" in facts[ended_by.by]) == (True, True)
    retracted, reinstated = [change for change in history if change.event_id == "retraction"]
    assert isinstance(retracted, changes.FactRetracted)
    assert isinstance(reinstated, changes.FactReinstated)
    assert (retracted.fact_id, reinstated.fact_id) == (ended_by.by, ended_by.fact_id)


@pytest.mark.slow
async def test_up_to_a_moment_it_is_the_state_of_then(memory: AsyncMemory, life: Path) -> None:
    """Graph and facts, put together from it, are those that a replay gives, and in the end those of the home."""
    history = await told(memory)
    assert vars(drawn(history, MAX_MS)) == vars(await held(memory.instance.store))
    firsts: dict[type, int] = {}
    for change in history:
        firsts.setdefault(type(change), parse_time(change.at))
    moments = sorted(firsts.values())
    assert len(moments) == len(changes.Change.__subclasses__())
    for until_ms in sorted({*moments, moments[-1] - 1}):
        was = await past(life, format_ms(until_ms), space=SPACE, embedder=wordllama())
        async with await AsyncMemory.open(was.home, create=False, embedder=wordllama()) as then:
            assert vars(drawn(history, until_ms)) == vars(await held(then.instance.store)), format_ms(until_ms)


async def test_pages_of_any_size_are_one_history(memory: AsyncMemory) -> None:
    """By one walk that goes on, or by others that skip to where the one before it was."""
    whole = await told(memory)
    assert await told(memory, limit=1) == whole
    reader = await LogReader.open(memory.instance.log)
    walk, parts = await Walk.begin(reader, SPACE), list[Change]()
    while True:
        page = await walk.page(reader, 7)
        parts += page.changes
        if not page.more:
            break
        positions = walk.positions
        walk = await Walk.begin(reader, SPACE)
        await walk.skip(reader, positions)
    assert parts == whole
    assert (await walk.page(reader, 7)).changes == []


async def test_a_page_reads_only_so_many_records(memory: AsyncMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing of them is of the space; all pages together are the same history."""
    whole = await told(memory)
    monkeypatch.setattr("helamem.streams.history.MOST_RECORDS", 5)
    reader = await LogReader.open(memory.instance.log)
    place = await reader.place(CONVERSATIONS, SPACE)
    names = (f"acme/nobody{number}" for number in range(100))
    beside, *_ = [name for name in names if await reader.place(CONVERSATIONS, name) == place]
    walk, before = await Walk.begin(reader, beside), 0
    while (page := await walk.page(reader, 1000)).more:
        assert (page.changes, sum(walk.positions[1:]) - before) == ([], 5)
        before += 5
    assert before > 50
    assert await told(memory) == whole


async def test_of_another_space_nothing_is_told(memory: AsyncMemory) -> None:
    """Though it may share all partitions."""
    (only,) = await told(memory, space=OTHER)
    assert isinstance(only, changes.MemoryAdded)
    assert only.memory_id == memory_id(OTHER, "m0")


async def test_words_without_their_keys_are_not_told() -> None:
    """The changes are; and nothing says that they were erased."""
    with directory() as place:
        await lived(place / "home", sealed=True)
        async with await SqliteLog.open(place / "home" / "log.sqlite", TOPICS, wall_clock_ms, read_only=True) as log:
            keyless = await walked(await LogReader.open(log))
            opened = await walked(await LogReader.open(log, Home.look(place / "home").keys_path))
    assert len(keyless) == len(opened)
    for hidden, shown in zip(keyless, opened, strict=True):
        words = {name for name in ("text", "query", "statement") if getattr(shown, name, None) is not None}
        assert replace(shown, **dict.fromkeys(words)) == hidden
