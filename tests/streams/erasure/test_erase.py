"""An erasure: what it takes away, what it leaves, and what a replay makes of the log afterwards."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from fakes.directories import directory
from fakes.events import distilled, event, record
from fakes.subjects import MIRA, OTHER, SPACE, START, WORDS, erased, leaks, lived, opened
from fakes.words import wordllama
from helamem.processors.digest import Digest, digest
from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.schemas.errors import BadInput, ConfigurationError, Poison
from helamem.schemas.events import EVERYONE, KnowledgeDistilled, MemoryRestored, SubjectErased
from helamem.schemas.ids import fact_id, memory_id
from helamem.schemas.settings import EncodingSettings, Settings
from helamem.schemas.topics import TOPICS
from helamem.schemas.wire import decode
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.dead_letters import dead_letter
from helamem.streams.home import Home, wall_clock_ms
from helamem.streams.instance import Instance
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.past import past
from helamem.streams.redrive import letters, redrive
from helamem.streams.replay import replay
from helamem.streams.sealing.tenants import seal_tenant
from helamem.streams.settings_log import apply_settings


@pytest.fixture(scope="module")
def lives() -> Iterator[dict[str, Path]]:
    """One life twice: its words sealed, and not."""
    with directory() as place:
        for name in ("sealed", "plain"):
            asyncio.run(lived(place / name, sealed=name == "sealed"))
        yield {"sealed": place / "sealed", "plain": place / "plain"}


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


async def state(home: Path) -> Digest:
    async with opened(home) as (instance, process):
        await process()
        return await digest(instance.store)


async def rebuilt(home: Path, into: Path, **wanted: str) -> Digest:
    return (await replay(home, into, embedder=wordllama(), **wanted)).digest  # type: ignore[arg-type]


async def facts(home: Path) -> dict[str, bool]:
    """Return the texts of facts in the first space and whether they are hidden; tombstones by their ids."""
    async with opened(home) as (instance, _):
        return {fact.text or fact.id: fact.hidden async for fact in instance.store.scan_facts(SPACE)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sealed", "plain"])
async def test_what_was_said_is_gone_and_a_replay_agrees(lives: dict[str, Path], place: Path, kind: str) -> None:
    """Memories become hidden tombstones, facts are retracted and told again from what is left, and no file has a word.

    Where words are not sealed, the log keeps them; nothing else does.
    """
    home = place / "home"
    shutil.copytree(lives[kind], home)
    before, told = await state(home), await facts(home)
    assert any(WORDS[1] in text for text in told)
    assert any(file.startswith("store/memories") for file in leaks(home))
    assert any(file.startswith("embeddings") for file in leaks(home)) == (kind == "plain")
    found = await erased(home)
    assert (found.memories, found.erased_before) == (4, False)
    assert found.facts > 0
    assert found.keys == (2 if kind == "sealed" else 0)
    assert (found.remains.messages, found.remains.recalls > 0) == ((0, False) if kind == "sealed" else (4, True))
    kept = {file.partition(":")[0] for file in leaks(home)}
    assert kept == (set() if kind == "sealed" else {"log.sqlite"} if "log.sqlite" in kept else {"log.sqlite-wal"})
    after, left = await state(home), await facts(home)
    assert after.spaces[OTHER] == before.spaces[OTHER]
    assert after.spaces[SPACE].counts["memories"] == before.spaces[SPACE].counts["memories"]
    assert after.spaces[SPACE].edges == before.spaces[SPACE].edges, "links depend on recalls alone"
    assert after.digest != before.digest
    assert found.distilled_again > 0
    assert [text for text, hidden in left.items() if not hidden]
    assert all("Tom" in text and "Mira" not in text for text, hidden in left.items() if not hidden)
    assert await rebuilt(home, place / "again") == after
    assert not leaks(place / "again")


async def test_a_moment_before_it_is_proven_by_commitments(lives: dict[str, Path], place: Path) -> None:
    """The digest that was written down then is that of a replay until then, and the words are not there."""
    home = place / "home"
    shutil.copytree(lives["sealed"], home)
    then = await state(home)
    (place / "then.json").write_bytes(orjson.dumps({"positions": await _positions(home)}))
    assert leaks((await past(home, str(place / "then.json"), embedder=wordllama())).home)
    await erased(home)
    assert not leaks(home)
    assert await rebuilt(home, place / "then", until=str(place / "then.json")) == then
    assert not leaks(place / "then")
    async with await AsyncMemory.open(place / "then", create=False, embedder=wordllama()) as memory:
        answer = await memory.recall(SPACE, "Who has the piano?", as_of=START, record=False)
        assert all(hit.text for hit in answer.hits)


@pytest.mark.parametrize("kind", ["sealed", "plain"])
async def test_what_was_shown_at_a_moment_before_it_is_shown_there(
    lives: dict[str, Path], place: Path, kind: str
) -> None:
    """A restoration that stands before the erasure counts in a replay until then, and at the end hides nothing less."""
    home, target = place / "home", memory_id(SPACE, "m0")
    shutil.copytree(lives[kind], home)
    async with await AsyncMemory.open(home, embedder=wordllama()) as memory:
        await memory.forget(SPACE, [target], "once")
        await memory.restore(SPACE, [target], "and back")
    then = await state(home)
    (place / "then.json").write_bytes(orjson.dumps({"positions": await _positions(home)}))
    await erased(home)
    replayed = await rebuilt(home, place / "then", until=str(place / "then.json"))
    async with await AsyncMemory.open(place / "then", create=False, embedder=wordllama()) as memory:
        turn = (await memory.turns(SPACE, [target]))[target]
        assert (turn.erased, turn.hidden) == (True, False)
    assert (replayed == then) == (kind == "sealed"), "only a commitment stands for words that are gone"
    assert await rebuilt(home, place / "again") == await state(home)


async def test_the_log_has_no_plain_hash_of_what_is_sealed(lives: dict[str, Path], place: Path) -> None:
    """The same life sealed twice: no commitment, no fact and no evidence has the same hash, so none can be guessed."""
    await lived(place / "home", sealed=True)
    hashes = []
    for home in (lives["sealed"], place / "home", lives["plain"]):
        async with opened(home) as (instance, _):
            found: set[str] = set()
            async for turn in instance.store.scan_turns(SPACE):
                found.add(turn.content_hash)
            async for fact in instance.store.scan_facts(SPACE):
                found |= {fact.id, *fact.evidence_hashes}
            hashes.append(found)
    assert not hashes[0] & hashes[1]
    assert not hashes[0] & hashes[2]


async def test_a_second_time_does_nothing(lives: dict[str, Path], place: Path) -> None:
    home = place / "home"
    shutil.copytree(lives["sealed"], home)
    await erased(home)
    before = await _records(home)
    found = await erased(home)
    assert found.erased_before
    assert (found.memories, found.facts, found.keys, found.distilled_again) == (0, 0, 0, 0)
    assert await _records(home) == before


async def test_a_stranger_is_refused_and_nothing_changes(lives: dict[str, Path], place: Path) -> None:
    home = place / "home"
    shutil.copytree(lives["plain"], home)
    before = await _records(home)
    with pytest.raises(BadInput, match=r"nothing in acme/team is from or about the data subject Nobody"):
        await erased(home, "Nobody")
    assert await _records(home) == before
    assert not (home / "erasing.json").exists()


async def test_a_dry_run_changes_nothing(lives: dict[str, Path], place: Path) -> None:
    home = place / "home"
    shutil.copytree(lives["sealed"], home)
    before, digests = await _records(home), await state(home)
    found = await erased(home, dry_run=True)
    assert (found.memories, found.keys) == (4, 2)
    assert await _records(home) == before
    assert await state(home) == digests


async def test_who_speaks_again_gets_another_key(lives: dict[str, Path], place: Path) -> None:
    """Later words are remembered, an old message that comes again stays a tombstone; a second erasure takes both."""
    home = place / "home"
    shutil.copytree(lives["sealed"], home)
    await erased(home)
    async with await AsyncMemory.open(home, embedder=wordllama()) as memory:
        again = {"space": SPACE, "conversation": "monday", "speaker": "Mira", "time": START}
        await memory.append([Message(text=f"{WORDS[0]} again and again.", message_id="m0", **again)])  # type: ignore[arg-type]
        (fresh,) = await memory.append([Message(text=f"I am back from {WORDS[0]}.", message_id="new", **again)])  # type: ignore[arg-type]
        await memory.process()
        turns = await memory.turns(SPACE, [memory_id(SPACE, "m0"), fresh])
        assert turns[memory_id(SPACE, "m0")].erased
        assert turns[fresh].text == f"I am back from {WORDS[0]}."
    assert (await erased(home)).memories == 1
    assert not leaks(home)
    assert await rebuilt(home, place / "again") == await state(home)


async def test_erased_memories_cannot_be_restored(lives: dict[str, Path], place: Path) -> None:
    """Whatever restores say, before or after: nothing shows a tombstone, live or replayed."""
    home, target = place / "home", memory_id(SPACE, "m0")
    shutil.copytree(lives["sealed"], home)
    async with await AsyncMemory.open(home, embedder=wordllama()) as memory:
        await memory.forget(SPACE, [target], "once")
        await memory.restore(SPACE, [target], "and back")
    await erased(home)
    async with await AsyncMemory.open(home, embedder=wordllama()) as memory:
        await memory.restore(SPACE, [target], "please")
        await memory.process()
        assert (await memory.turns(SPACE, [target]))[target].hidden
    assert MemoryRestored in {type(decode(value).data) for value in await _records(home)}
    assert await rebuilt(home, place / "again") == await state(home)


async def test_a_fact_that_was_put_aside_does_not_come_back(lives: dict[str, Path], place: Path) -> None:
    """Redriven after the erasure, it is a tombstone."""
    home, text = place / "home", f"Mira owns a piano from {WORDS[1]}."
    shutil.copytree(lives["plain"], home)
    async with opened(home) as (instance, _):
        told = record(distilled("aside", text, space=SPACE))
        ((at, offset),) = await instance.log.append([told])
        (stands,) = await instance.log.read(at, offset)
        await instance.log.append([dead_letter(ENCODING, stands, Poison("its text was refused"))])
    id_ = fact_id(SPACE, "fact", text)
    await erased(home)
    assert (await erased(home)).erased_before
    async with opened(home) as (instance, process):
        assert (await redrive(instance.log, await letters(instance.log)))[0].appended
        await process()
        fact = (await instance.store.facts(SPACE, [id_]))[id_]
        assert (fact.text, fact.erased, fact.hidden) == ("", True, True)


async def test_an_event_of_one_space_erases_nothing_in_another(lives: dict[str, Path], place: Path) -> None:
    """Also where it names their keys and memories, of a data subject with the same name."""
    home = place / "home"
    shutil.copytree(lives["sealed"], home)
    before = (await state(home)).spaces[SPACE]
    async with opened(home) as (instance, _):
        assert instance.keys is not None
        keys = tuple(key for subject in ("Mira", EVERYONE) for key in instance.keys.live(SPACE, subject))
        assert len(keys) == 2
        data = SubjectErased(subject="Mira", keys=keys, memory_ids=(memory_id(SPACE, "m0"),))
        await instance.log.append([record(event("another's", data, space=OTHER))])
    again = await rebuilt(home, place / "again")
    assert again.spaces[SPACE] == before
    assert again == await state(home)
    async with await AsyncMemory.open(place / "again", create=False, embedder=wordllama()) as memory:
        turn = (await memory.turns(SPACE, [memory_id(SPACE, "m0")]))[memory_id(SPACE, "m0")]
        assert (turn.text, turn.hidden) == (MIRA[0], False)


async def test_a_lost_store_comes_back_without_the_words(lives: dict[str, Path], place: Path) -> None:
    """A store that is thrown away is folded again from the log, which says at once what was erased."""
    home = place / "home"
    shutil.copytree(lives["plain"], home)
    await erased(home)
    after = await state(home)
    shutil.rmtree(home / "store")
    assert (await state(home)).spaces[SPACE].memories == after.spaces[SPACE].memories
    assert not [leak for leak in leaks(home) if not leak.startswith("log.sqlite")]


async def test_it_wants_the_home_for_itself(lives: dict[str, Path], place: Path) -> None:
    """Beside whoever writes the home it is refused, and nothing is begun."""
    home = place / "home"
    shutil.copytree(lives["sealed"], home)
    with Home.open(home), pytest.raises(ConfigurationError, match="is being written by process"):
        await erased(home)
    assert not (home / "erasing.json").exists()


async def test_keys_that_are_lost_are_no_erasure(lives: dict[str, Path], place: Path) -> None:
    """Without its keys a log is refused, and nothing becomes a tombstone."""
    home = place / "home"
    shutil.copytree(lives["sealed"], home)
    shutil.rmtree(home / "keys")
    with pytest.raises(ConfigurationError, match="no keys are at hand"):
        await rebuilt(home, place / "again")


async def test_a_replay_has_nothing_to_erase(lives: dict[str, Path], place: Path) -> None:
    await rebuilt(lives["sealed"], place / "again")
    with pytest.raises(BadInput, match="was filled by a replay"):
        await erased(place / "again")


async def test_nobody_reads_of_the_erased_in_the_events(lives: dict[str, Path], place: Path) -> None:
    """The event names memories, facts and keys; facts of sealed words are sealed themselves."""
    home = place / "home"
    shutil.copytree(lives["sealed"], home)
    await erased(home)
    events = [decode(value).data for value in await _records(home)]
    named = [one for one in events if isinstance(one, SubjectErased)]
    assert {id_ for one in named for id_ in one.memory_ids} == {memory_id(SPACE, f"m{n}") for n in range(4)}
    assert all(one.text == "[sealed]" for one in events if isinstance(one, KnowledgeDistilled))


async def test_words_are_not_sealed_where_a_service_embeds(place: Path) -> None:
    """What it answers is recorded, with a plain hash of the words."""
    with Home.open(place / "home") as home:
        async with await SqliteLog.open(home.log_path, TOPICS, wall_clock_ms) as log:
            elsewhere = Settings(encoding=EncodingSettings(embedder="openai:small@4"))
            await apply_settings(log, elsewhere, wall_clock_ms)
    with pytest.raises(ConfigurationError, match="stands in the log unsealed"):
        await seal_tenant(place / "home", "acme")
    assert not (place / "home" / "keys").exists()


async def _positions(home: Path) -> dict[str, int]:
    async with opened(home) as (instance, _):
        return {str(at): end for at, end in (await instance.ends()).items()}


async def _records(home: Path) -> list[bytes]:
    instance = await Instance.open(home, embedder=wordllama())
    try:
        return [
            record.value
            for spec in TOPICS
            for at in await instance.log.partitions(spec.name)
            for record in await instance.log.read(at, 0, limit=10_000)
        ]
    finally:
        await instance.close()
