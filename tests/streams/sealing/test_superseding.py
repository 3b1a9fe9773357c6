"""What a sealed fact claims is sealed with it: a later one supersedes it after a restart too, and a replay agrees."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from fakes.directories import directory
from fakes.machine import SETTINGS
from fakes.subjects import SPACE, START, erased, leaks
from fakes.words import wordllama
from helamem.processors.history.changes import FactSuperseded
from helamem.processors.store.port import FactRecord
from helamem.schemas.topics import FACTS
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.history import Walk
from helamem.streams.instance import Instance
from helamem.streams.lineage.reader import LogReader
from helamem.streams.replay import replay
from helamem.streams.sealing.tenants import seal_tenant

CITIES = ("Lisbon", "Bergen")
BESIDE = ("The piano arrived there without a scratch.", "My dentist there is excellent and kind.")


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


async def say(home: Path, number: int) -> None:
    """Say where one lives from now on, and have it distilled by an instance of its own."""
    instance = await Instance.open(home, settings=None if number else SETTINGS, embedder=wordllama())
    ids = iter(range(1000))
    async with AsyncMemory(instance, new_id=lambda: f"{number}-{next(ids)}") as memory:
        await tell(memory, number)


async def tell(memory: AsyncMemory, number: int) -> None:
    """Say it, ask for it, and say that the answer was useful."""
    at = START + timedelta(days=100 * number)
    texts = [f"I live in {CITIES[number]}.", *(f"{text} ({CITIES[number]})" for text in BESIDE)]
    said = [
        Message(space=SPACE, conversation=f"c{number}", speaker="Mira", text=text, time=at, message_id=f"{number}-{n}")
        for n, text in enumerate(texts)
    ]
    mine = await memory.append(said)
    await memory.process()
    for _ in range(2):
        answer = await memory.recall(SPACE, f"Who lives in {CITIES[number]}?", k=9, m=0, as_of=at)
        found = [hit.result.id for hit in answer.hits if hit.result.id in mine]
        await memory.reinforce(answer.recall_id, found)
        await memory.process()


async def claims(home: Path) -> dict[str, FactRecord]:
    """Return the visible facts with a key, by what they claim."""
    async with await AsyncMemory.open(home, create=False, embedder=wordllama()) as memory:
        return {one.value: one for one in await memory.facts(SPACE) if one.key and not one.hidden}


@pytest.mark.slow
@pytest.mark.broad
async def test_a_fact_is_superseded_after_a_restart(place: Path) -> None:
    """By the id that it has in the log, where nothing of what it claims can be read; the digest names none of it."""
    home = place / "home"
    await seal_tenant(home, "acme")
    for number in range(2):
        await say(home, number)
    first, second = (await claims(home))["lisbon"], (await claims(home))["bergen"]
    assert (first.key, first.subject) == (second.key, second.subject) == ("home", "Mira")
    assert second.supersedes == (first.id,)
    assert second.data_subjects == ("Mira",)
    replayed = await replay(home, place / "again", embedder=wordllama())
    async with await AsyncMemory.open(home, create=False, embedder=wordllama()) as memory:
        lived = (await memory.digest(SPACE)).spaces[SPACE]
        (mira,) = (await memory.profile(SPACE)).user_model
        records = [
            record.value
            for at in await memory.instance.log.partitions(FACTS.name)
            for record in await memory.instance.log.read(at, 0)
        ]
        reader = await LogReader.open(memory.instance.log, memory.instance.keys_path)
        page = await (await Walk.begin(reader, SPACE)).page(reader, 1000)
    assert replayed.digest.spaces[SPACE] == lived
    assert [one.value for one in mira.entries if one.key == "home"] == ["bergen"]
    assert records
    assert not any(word in value.lower() for value in records for word in (b"lisbon", b"bergen", b'"home"'))
    superseded = [(one.fact_id, one.by) for one in page.changes if isinstance(one, FactSuperseded)]
    assert (first.id, second.id) in superseded

    assert (await erased(home)).facts
    assert await claims(home) == {}
    assert leaks(home, ("Lisbon", "lisbon", "Bergen", "bergen")) == []
    gone = await replay(home, place / "gone", embedder=wordllama())
    async with await AsyncMemory.open(home, create=False, embedder=wordllama()) as memory:
        assert gone.digest.spaces == (await memory.digest(SPACE)).spaces
