"""Appending once: what is in the log already is found in the store, or in what the log holds beyond it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from fakes.directories import directory
from fakes.machine import SETTINGS
from fakes.words import CountingEmbedder, wordllama
from helamem.schemas.errors import Conflict, Poison
from helamem.schemas.topics import CONVERSATIONS
from helamem.streams.appending import Appending
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.sealing.tenants import seal_tenant

MESSAGE = Message(
    space="acme/anna",
    conversation="c",
    speaker="Anna",
    text="The tent is blue.",
    time=datetime(2025, 3, 1, tzinfo=UTC),
    message_id="m",
)


@pytest.fixture
def home() -> Iterator[Path]:
    with directory() as path:
        yield path / "home"


@pytest.fixture
async def memory(home: Path) -> AsyncIterator[AsyncMemory]:
    async with await AsyncMemory.open(home, settings=SETTINGS, embedder=wordllama()) as opened:
        yield opened


async def records(memory: AsyncMemory) -> int:
    log = memory.instance.log
    return sum((await log.end_offsets(await log.partitions(CONVERSATIONS.name))).values())


@pytest.mark.parametrize("processed", [False, True])
async def test_what_is_there_is_not_appended_again(memory: AsyncMemory, *, processed: bool) -> None:
    """Wherever it is found, it is said where it stands; what contradicts it is refused, and its time counts too."""
    (first,) = await memory.append_once([MESSAGE])
    if processed:
        await memory.process()
    before = await records(memory)
    assert await memory.append_once([MESSAGE]) == [replace(first, repeated=True)]
    assert await memory.append_once([replace(MESSAGE, time=None)]) == [replace(first, repeated=True)]
    for change in ({"text": "It is red."}, {"speaker": "Ben"}, {"time": datetime(2025, 3, 2, tzinfo=UTC)}):
        with pytest.raises(Conflict, match="an id of its own"):
            await memory.append_once([replace(MESSAGE, **change)])
    assert await records(memory) == before


async def test_where_others_write_too_the_store_alone_is_asked(memory: AsyncMemory) -> None:
    """What it does not have yet is appended again, without effect; what it has is found, and contradicted."""
    memory._appending = Appending(memory.instance.log, memory.instance.store, sole_writer=False)
    before = await records(memory)
    (first,) = await memory.append_once([MESSAGE])
    (again,) = await memory.append_once([MESSAGE])
    assert (again.repeated, again.memory_id) == (False, first.memory_id)
    assert await records(memory) == before + 2
    await memory.process()
    assert await memory.spaces() == {MESSAGE.space: 1}
    assert await memory.append_once([MESSAGE]) == [replace(first, repeated=True)]
    with pytest.raises(Conflict, match="an id of its own"):
        await memory.append_once([replace(MESSAGE, text="It is red.")])
    assert await records(memory) == before + 2


async def test_what_others_appended_is_found(home: Path) -> None:
    """By `append`, and by a process that ended before anything was processed."""
    async with await AsyncMemory.open(home, settings=SETTINGS, embedder=wordllama()) as memory:
        await memory.append([MESSAGE])
    async with await AsyncMemory.open(home, embedder=wordllama()) as memory:
        (again,) = await memory.append_once([MESSAGE])
        assert again.repeated
        await memory.append([replace(MESSAGE, message_id="n")])
        (again, new) = await memory.append_once([replace(MESSAGE, message_id=name) for name in ("n", "o")])
        assert (again.repeated, new.repeated) == (True, False)


async def test_the_same_from_several_at_once_is_appended_once(memory: AsyncMemory) -> None:
    """While it is processed, too: a message never falls between the log's end and the store."""
    before = await records(memory)
    running = asyncio.create_task(memory.run())
    for number in range(30):
        message = replace(MESSAGE, message_id=f"m{number}", conversation=f"c{number}")
        answers = await asyncio.gather(*(memory.append_once([message]) for _ in range(4)))
        assert sorted(one.repeated for (one,) in answers) == [False, True, True, True]
        (late,) = await memory.append_once([message])
        assert late.repeated
    memory.stop()
    await running
    assert await records(memory) == before + 30


async def test_what_a_tail_knows_is_given_up_once_it_is_processed(memory: AsyncMemory) -> None:
    """Or a gateway would remember all that it ever appended."""
    await memory.append_once([replace(MESSAGE, message_id=f"m{number}") for number in range(100)])
    await memory.process()
    await memory.append_once([replace(MESSAGE, message_id="last")])
    await memory.append_once([replace(MESSAGE, message_id="last")])
    assert sum(len(tail.known) for tail in memory._appending._tails.values()) == 1


async def test_a_tail_that_nobody_processes_keeps_no_texts(memory: AsyncMemory) -> None:
    """It grows with every message; what was said need only be compared."""
    for _ in range(2):
        await memory.append_once([MESSAGE])
    (known,) = [known for tail in memory._appending._tails.values() for known in tail.known.values()]
    assert MESSAGE.text not in str(known)


async def test_sealed_words_are_no_contradiction(home: Path) -> None:
    """They cannot be compared in the log, so the first with an id counts."""
    async with await AsyncMemory.open(home, settings=SETTINGS, embedder=wordllama()):
        pass
    await seal_tenant(home, "acme")
    async with await AsyncMemory.open(home, embedder=wordllama()) as memory:
        await memory.append_once([MESSAGE])
        (again,) = await memory.append_once([MESSAGE])
        assert again.repeated


async def test_searchable_waits_for_encoding(memory: AsyncMemory) -> None:
    """It says no where nobody processes, and yes as soon as somebody has."""
    appended = await memory.append_once([MESSAGE])
    assert not await memory.searchable(appended, 0.01)
    waiting = asyncio.create_task(memory.searchable(appended, 30))
    await memory.process()
    assert await waiting
    assert (await memory.recall("acme/anna", "tent")).hits


class Refusing(CountingEmbedder):
    """Takes one text for a poison."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector per text."""
        if any(MESSAGE.text in text for text in texts):
            raise Poison("is no text", "data.text")
        return super().embed(texts)


@pytest.mark.parametrize("put_aside", [False, True])
async def test_what_cannot_be_recalled_is_not_called_searchable(home: Path, *, put_aside: bool) -> None:
    """Put aside or forgotten: the log was processed beyond it, and nobody waits for what does not come."""
    embedder = Refusing() if put_aside else wordllama()
    async with await AsyncMemory.open(home, settings=SETTINGS, embedder=embedder) as memory:
        appended = await memory.append_once([MESSAGE, replace(MESSAGE, message_id="other", text="It is green.")])
        await memory.process()
        if not put_aside:
            await memory.forget("acme/anna", [appended[0].memory_id], "it is a secret")
            await memory.process()
        assert not await memory.searchable(appended, 30)
        assert await memory.searchable(appended[1:], 30)
