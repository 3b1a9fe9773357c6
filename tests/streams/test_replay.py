"""Replay: the log alone gives back what the live instance had, at its end and at every moment before."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from fakes.directories import directory
from fakes.machine import SETTINGS
from fakes.words import CountingEmbedder, wordllama
from helamem.processors.encoding.processor import Encoding
from helamem.processors.encoding.reading import Reading, Said, read
from helamem.processors.port import Batch, Effects
from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.schemas.ids import memory_id
from helamem.schemas.records import NewRecord
from helamem.schemas.times import format_ms
from helamem.schemas.topics import CONVERSATIONS, HUBS
from helamem.streams import embedding_cache
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.dead_letters import read_dead_letters
from helamem.streams.instance import Instance
from helamem.streams.rebuild import Replayed
from helamem.streams.replay import replay

SPACE = "acme/anna"
START_MS = 1_750_000_000_000
TEXTS = (
    "We bought a blue tent for the trip to Lofoten.",
    "The tent has two poles and one of them is bent.",
    "Bring the gas stove, the tent and the map of Lofoten.",
    "Bert has an allergy to nuts, so no nut bars on the trip.",
    "The ferry to Lofoten leaves on Friday at seven.",
)
QUERIES = ("What about the tent?", "When does the ferry leave?", "What may Bert not eat?", "tent and stove")


class Interrupted(Exception):  # noqa: N818 - it stands for somebody's Ctrl-C
    """The replay ends here."""


class Clock:
    """A clock that a test sets; it never goes back by itself."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@asynccontextmanager
async def opened(home: Path, clock: Clock | None = None) -> AsyncIterator[AsyncMemory]:
    """Open a home with settings under which a few reinforcements form a hub."""
    clock = clock or Clock()
    numbers = iter(range(10**6))
    settings = None if home.exists() else SETTINGS  # noqa: ASYNC240 - of a test's own directory
    instance = await Instance.open(home, settings=settings, embedder=wordllama(), clock=clock)
    async with AsyncMemory(instance, clock, lambda: f"id{clock.now_ms}-{next(numbers)}") as memory:
        yield memory


async def live(memory: AsyncMemory, round_: int, space: str = SPACE) -> None:
    """Say things, ask, say what was useful, forget something: one round of a life."""
    texts = [f"{text} (part {round_})" for text in TEXTS]
    await memory.append(
        [
            Message(space=space, conversation=f"c{round_}", speaker="Anna", text=text, message_id=f"m{round_}-{n}")
            for n, text in enumerate(texts)
        ]
    )
    await memory.process()
    for query in QUERIES:
        answer = await memory.recall(space, query, k=4, m=1)
        ids = [hit.result.id for hit in answer.hits if hit.turn][:3]
        await memory.reinforce(answer.recall_id, ids, space=space)
    await memory.process()
    await memory.forget(space, [memory_id(space, f"m{round_}-0")], "test")
    await memory.process()


async def rounds(home: Path) -> tuple[str, list[tuple[int, str]]]:
    """Live three rounds and return the last digest, and each moment with the digest that held at it."""
    clock = Clock()
    moments = []
    async with opened(home, clock) as memory:
        for round_ in range(3):
            clock.now_ms += 86_400_000
            await live(memory, round_)
            moments.append((clock.now_ms, (await memory.digest()).digest))
        assert memory.instance.counts["hub-formed"] >= 2
        assert len(await memory.facts()) >= 2
        return moments[-1][1], moments


async def again(source: Path, into: Path, **options: Any) -> Replayed:
    """Replay with the default embedder, which is loaded already."""
    return await replay(source, into, **{"embedder": wordllama(), **options})


async def test_a_replay_gives_the_live_digest(place: Path) -> None:
    """With learning, hubs, facts and forgotten memories; the hubs are derived again, and are the recorded ones."""
    digest, _ = await rounds(place / "home")
    told: list[tuple[int, int]] = []
    replayed = await again(place / "home", place / "other", on_progress=lambda done, total: told.append((done, total)))
    assert replayed.digest.digest == digest
    assert replayed.reproduced
    hubs = replayed.hubs
    assert hubs.recorded == hubs.derived >= 2
    assert (hubs.missing, hubs.different, hubs.not_yet_recorded) == (0, 0, 0)
    assert replayed.dead_letters == 0
    assert told[-1] == (replayed.records, replayed.records)
    async with await AsyncMemory.open(place / "other", create=False, embedder=wordllama()) as memory:
        assert (await memory.digest()).digest == digest
        hits = (await memory.recall(SPACE, "What about the tent?", record=False)).hits
        assert hits
        with pytest.raises(BadInput, match="was filled by a replay and has no log of its own; write to"):
            await memory.append([Message(space=SPACE, conversation="c", speaker="Anna", text="One more.")])


async def test_a_replay_reads_no_text_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read of it stands beside its vector; without that it is read anew, and comes to the same."""
    digest, _ = await rounds(place / "home")
    texts: list[str] = []

    def noted(said: Said) -> Reading:
        texts.append(said.text)
        return read(said)

    monkeypatch.setattr(embedding_cache, "read", noted)
    assert (await again(place / "home", place / "other")).digest.digest == digest
    assert texts == []
    (place / "home" / "embeddings.sqlite").unlink()
    assert (await again(place / "home", place / "another")).digest.digest == digest
    assert len(texts) == 15


async def test_a_replay_until_a_moment_gives_the_digest_of_that_moment(place: Path) -> None:
    """By the time of appending, the moment included; before the first record there is nothing to replay."""
    _, moments = await rounds(place / "home")
    assert len({digest for _, digest in moments}) == 3
    for number, (moment_ms, digest) in enumerate(moments):
        for later_ms in (0, 43_200_000):
            into = place / f"then{number}-{later_ms}"
            replayed = await again(place / "home", into, until=format_ms(moment_ms + later_ms))
            assert replayed.digest.digest == digest
            assert replayed.reproduced
    with pytest.raises(BadInput, match=r"held nothing yet at 2025-.*; name a later time"):
        await again(place / "home", place / "before", until=format_ms(START_MS - 1))


async def test_a_replay_beside_the_live_instance(place: Path) -> None:
    """The home may be in use; recalls that co-activation has not come to give hubs that are not yet recorded."""
    async with opened(place / "home") as memory:
        await live(memory, 0)
        answer = await memory.recall(SPACE, QUERIES[0], k=4, m=0)
        ids = [hit.result.id for hit in answer.hits if hit.turn]
        clock = memory._clock
        assert isinstance(clock, Clock)
        clock.now_ms += 400 * 86_400_000  # the members have rested long enough to form hubs again
        for _ in range(9):
            late = await memory.recall(SPACE, QUERIES[0], k=4, m=0)
            await memory.reinforce(late.recall_id, ids, space=SPACE)
        replayed = await again(place / "home", place / "other")
        assert replayed.hubs.not_yet_recorded > 0
        assert replayed.reproduced, "what is not yet recorded is no contradiction"
        await memory.process()
        now = await again(place / "home", place / "again")
        assert now.hubs.not_yet_recorded == 0
        assert now.digest.digest == (await memory.digest()).digest


async def test_an_interrupted_replay_can_be_run_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves a directory that says so, which nobody may look at, and which the next replay goes on with."""
    digest, _ = await rounds(place / "home")
    monkeypatch.setattr("helamem.streams.rebuild._MESSAGES", 1)  # what is under way at the end is applied all the same
    monkeypatch.setattr("helamem.streams.rebuild.BATCH_RECORDS", 1)

    def interrupt(done: int, total: int) -> None:
        if done > total // 4:
            raise Interrupted

    for _ in range(2):
        with pytest.raises(Interrupted):
            await again(place / "home", place / "other", on_progress=interrupt)
        with pytest.raises(BadInput, match=r"the replay into .* did not finish; run it again"):
            await AsyncMemory.open(place / "other", create=False, embedder=wordllama())
    assert (await again(place / "home", place / "other")).digest.digest == digest
    async with await AsyncMemory.open(place / "other", create=False, embedder=wordllama()) as memory:
        assert (await memory.digest()).digest == digest


async def test_a_directory_that_holds_something_is_refused(place: Path) -> None:
    """Somebody's files, a home with a log, a finished replay, the source itself: nothing in them is touched."""
    async with opened(place / "home") as memory:
        await memory.append([Message(space=SPACE, conversation="c", speaker="Anna", text=TEXTS[0])])
        await memory.process()
    (place / "papers").mkdir()
    (place / "papers" / "letter.txt").write_text("Dear Anna")
    async with opened(place / "second"):
        pass
    await again(place / "home", place / "done")
    shutil.copytree(place / "home", place / "served")
    for name in ("log.sqlite", "log.sqlite-wal", "log.sqlite-shm"):
        (place / "served" / name).unlink(missing_ok=True)  # what the store process serves has its log on Kafka
    for name, reason in (
        ("served", "is a helamem home already"),
        ("papers", "holds other things"),
        ("second", "is a helamem home already"),
        ("done", "is a helamem home already; name a new directory"),
        ("home", "is a helamem home already"),
    ):
        before = fingerprint(place / name)
        with pytest.raises(BadInput, match=reason):
            await again(place / "home", place / name)
        assert fingerprint(place / name) == before
    with pytest.raises(BadInput, match="there is no helamem home"):
        await again(place / "nowhere", place / "new")
    assert not (place / "new").exists()


def fingerprint(path: Path) -> dict[str, str]:
    """Return the hashes of all files under a directory, but those that SQLite's readers may make."""
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file() and not file.name.endswith(("-shm", "-wal", ".lock"))
    }


async def test_a_replay_leaves_the_source_alone_and_calls_no_embedder(place: Path) -> None:
    """Not a byte of the home changes, and every vector comes from the cache beside the log."""
    await rounds(place / "home")
    before = fingerprint(place / "home")
    embedder = CountingEmbedder()
    replayed = await again(place / "home", place / "other", embedder=embedder)
    assert embedder.texts == 0
    assert replayed.records > 30
    assert fingerprint(place / "home") == before


async def test_without_the_cache_the_vectors_are_computed_again(place: Path) -> None:
    """The cache may be thrown away: the digest is the same, and no new cache is made."""
    digest, _ = await rounds(place / "home")
    for file in (place / "home").glob("embeddings.sqlite*"):
        file.unlink()
    embedder = CountingEmbedder()
    assert (await again(place / "home", place / "other", embedder=embedder)).digest.digest == digest
    assert embedder.texts > 15
    assert not (place / "home" / "embeddings.sqlite").exists()


async def test_another_embedder_is_refused(place: Path) -> None:
    """A digest of other vectors would prove nothing."""
    await rounds(place / "home")
    embedder = CountingEmbedder()
    embedder.name = "model2vec:other"
    with pytest.raises(ConfigurationError, match="is embedded by wordllama:l2_supercat_256, not by model2vec:other"):
        await again(place / "home", place / "other", embedder=embedder)


def tamper(home: Path, topic: str, change: dict[str, Any], number: int = 0) -> None:
    """Change the data of one record of a topic where it stands in the log's file."""
    with closing(sqlite3.connect(home / "log.sqlite")) as file:
        rows = [
            (id_, orjson.loads(value))
            for id_, value in file.execute("SELECT id, value FROM records ORDER BY id")
            if b'"type":"%s' % topic.encode() in value
        ]
        id_, event = rows[number]
        event["data"] |= change
        value = orjson.dumps(event, option=orjson.OPT_SORT_KEYS)
        file.execute("UPDATE records SET value = ? WHERE id = ?", (value, id_))
        file.commit()


async def test_a_recorded_hub_that_was_altered_is_found(place: Path) -> None:
    """The recalls give another hub than the one in the log: the log is not what was folded."""
    await rounds(place / "home")
    tamper(place / "home", "memory.hub-formed", {"strength": 1})
    replayed = await again(place / "home", place / "other")
    assert replayed.hubs.different == 1
    assert not replayed.reproduced


async def test_a_recall_that_was_altered_is_found(place: Path) -> None:
    """Without the reinforcements that formed them, hubs are missing."""
    digest, _ = await rounds(place / "home")
    for number in range(4):
        ids = [memory_id(SPACE, f"none{number}-{n}") for n in range(3)]
        tamper(place / "home", "memory.reinforced", {"memory_ids": ids}, number)
    replayed = await again(place / "home", place / "other")
    assert replayed.digest.digest != digest
    assert replayed.hubs.missing + replayed.hubs.different > 0
    assert not replayed.reproduced


async def test_dead_letters_are_passed_over_also_when_the_fault_is_mended(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a bug once put aside stays aside where it stands: a redrive brings it back at a new position."""
    real = Encoding.process

    async def process(self: Encoding, batch: Batch) -> Effects:
        if any(b"boom" in delivery.value for delivery in batch.deliveries):
            raise ValueError("a bug of that time")
        return await real(self, batch)

    async with opened(place / "home") as memory:
        with monkeypatch.context() as patch:
            patch.setattr(Encoding, "process", process)
            said = [
                Message(space=SPACE, conversation="c", speaker="Anna", text=text, message_id=f"x{n}")
                for n, text in enumerate(("Before it.", "It went boom.", "After it."))
            ]
            await memory.append(said)
            undecodable = [
                NewRecord(topic=CONVERSATIONS.name, key=SPACE.encode(), value=b'{"type": "settings.applied.v1'),
                NewRecord(topic=HUBS.name, key=SPACE.encode(), value=b"no hub"),
            ]
            await memory.instance.log.append(undecodable)
            await memory.process()
        await live(memory, 0)
        digest = (await memory.digest()).digest
        assert len([letter async for letter in read_dead_letters(memory.instance.log)]) == 3
        turns = await memory.turns(SPACE, [memory_id(SPACE, f"x{n}") for n in range(3)])
        assert sorted(turn.text for turn in turns.values()) == ["After it.", "Before it."]
    replayed = await again(place / "home", place / "other")
    assert replayed.digest.digest == digest
    assert replayed.dead_letters == 2, "the hub is for consolidation, which a replay leaves out"
    async with opened(place / "home") as memory:
        assert (await memory.digest()).digest == digest, "an undecodable record keeps no home from opening"


async def test_a_home_that_nobody_has_used(place: Path) -> None:
    """Its log holds its settings and nothing else; that is reproduced too."""
    async with opened(place / "home"):
        pass
    replayed = await again(place / "home", place / "other")
    assert replayed.digest.spaces == {}
    assert replayed.reproduced
