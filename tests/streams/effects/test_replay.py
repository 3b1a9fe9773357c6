"""A replay reads what a service answered and calls nobody; what is missing is named; another embedder embeds anew."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from fakes.directories import directory
from fakes.embedding_service import Service, never_the_same, serving
from fakes.machine import SETTINGS
from fakes.words import wordllama
from helamem.processors.answers import hash_of
from helamem.processors.embedder.openai import OpenAIEmbedder
from helamem.processors.embedder.wordllama import WordLlamaEmbedder
from helamem.processors.encoding.state import embedded_by
from helamem.schemas.errors import BadInput, ConfigurationError, MissingRecord
from helamem.schemas.events import SettingsApplied
from helamem.schemas.settings import Settings
from helamem.schemas.topics import EFFECTS, TOPICS
from helamem.streams.archive.archiver import Archiver
from helamem.streams.archive.files import LocalFiles
from helamem.streams.archive.log import ArchiveLog
from helamem.streams.archive.restore import restore_home
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.home import wall_clock_ms
from helamem.streams.instance import Instance
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.past import past
from helamem.streams.rebuild import Replayed
from helamem.streams.replay import replay, replay_archive
from helamem.streams.settings_log import apply_settings
from streams.cli.shell import run
from streams.test_replay import QUERIES, SPACE, TEXTS, Clock, live, rounds

MODEL = "openai:m"


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as known:
        never_the_same(known)
        yield known


@asynccontextmanager
async def remote_home(service: Service, home: Path, clock: Clock | None = None) -> AsyncIterator[AsyncMemory]:
    """Open a home that a service embeds."""
    clock = clock or Clock()
    numbers = iter(range(10**6))
    remote = OpenAIEmbedder(base_url=service.url, model="m", dimension=3)
    with closing(remote._client):
        settings = None if home.exists() else embedded_by(SETTINGS, MODEL)  # noqa: ASYNC240 - of a test's own directory
        instance = await Instance.open(home, settings=settings, embedder=remote, clock=clock)
        async with AsyncMemory(instance, clock, lambda: f"id{clock.now_ms}-{next(numbers)}") as memory:
            yield memory


async def lived(service: Service, home: Path) -> str:
    """Live one round, with questions, hubs and facts; return the digest."""
    async with remote_home(service, home) as memory:
        await memory.append([said(n, text) for n, text in enumerate(TEXTS)])
        await memory.process()
        for query in QUERIES:
            answer = await memory.recall(SPACE, query, k=4, m=1)
            await memory.reinforce(answer.recall_id, [hit.result.id for hit in answer.hits if hit.turn][:3])
        await memory.process()
        assert len(await memory.facts()) >= 1
        return (await memory.digest()).digest


def said(number: int, text: str) -> Message:
    """Return something that Anna says."""
    return Message(space=SPACE, conversation="c", speaker="Anna", text=text, message_id=f"m{number}")


async def archived(home: Path, place: str) -> None:
    """Archive the log of a home."""
    async with await SqliteLog.open(home / "log.sqlite", TOPICS, lambda: 0, read_only=True) as log:
        await Archiver(LocalFiles(Path(place)), None, wall_clock_ms).archive(log, TOPICS)


async def test_replays_of_home_archive_and_restored_log_call_nobody(service: Service, place: Path) -> None:
    """All have the live digest, with the index there, thrown away, and without knowing where the service is."""
    digest = await lived(service, place / "home")
    calls = len(service.calls)
    results: dict[str, Replayed] = {"home": await replay(place / "home", place / "a")}
    (place / "home" / "effects.sqlite").unlink()
    results["index deleted"] = await replay(place / "home", place / "b")
    await archived(place / "home", str(place / "archive"))
    results["archive"] = await replay_archive(str(place / "archive"), place / "c")
    async with await ArchiveLog.open(str(place / "archive"), TOPICS) as log:
        await restore_home(log, TOPICS, place / "restored")
    results["restored"] = await replay(place / "restored", place / "d")
    assert {name: one.digest.digest for name, one in results.items()} == dict.fromkeys(results, digest)
    assert all(one.reproduced and one.newly_embedded == 0 for one in results.values())
    assert len(service.calls) == calls
    # The restored home itself, with nothing but its log, and the home without its index, ask for what is new alone.
    for home in ("restored", "home"):
        async with remote_home(service, place / home) as memory:
            await memory.process()
            assert (await memory.digest()).digest == digest
    assert len(service.calls) == calls


async def test_what_a_service_embedded_is_looked_at_without_it(service: Service, place: Path) -> None:
    """Digest and facts of a rebuilt home need no service; a question does, and says what is missing."""
    digest = await lived(service, place / "home")
    await replay(place / "home", place / "rebuilt")
    async with await AsyncMemory.open(place / "rebuilt") as memory:
        assert (await memory.digest()).digest == digest
        assert await memory.facts()
        with pytest.raises(ConfigurationError, match="needs HELAMEM_OPENAI_BASE_URL"):
            await memory.recall(SPACE, "tent?", record=False)
    with pytest.raises(ConfigurationError, match="needs HELAMEM_OPENAI_BASE_URL"):
        await AsyncMemory.open(place / "home")


async def test_a_moment_before_its_answers_were_recorded(service: Service, place: Path) -> None:
    """Messages belong to a moment by their own append time; what was answered to them may have come later."""
    clock = Clock()
    async with remote_home(service, place / "home", clock) as memory:
        await live(memory, 0)
        clock.now_ms += 10_000
        await memory.process()
        positions = {str(at): end for at, end in (await memory.instance.ends()).items()}
        digest = (await memory.digest()).digest
    calls = len(service.calls)
    until = place / "until.json"
    until.write_bytes(orjson.dumps({at: 0 if EFFECTS.name in at else end for at, end in positions.items()}))
    assert (await replay(place / "home", place / "a", until=str(until))).digest.digest == digest
    assert await past(place / "home", "2099-01-01T00:00:00Z") == await past(place / "home", "2098-01-01T00:00:00Z")
    assert len(service.calls) == calls


async def test_a_replay_that_would_have_to_ask_says_for_what(service: Service, place: Path) -> None:
    """Message, model, hash and position; it ends with 1, leaves nothing that could be taken for whole, and goes on."""
    await lived(service, place / "home")
    async with remote_home(service, place / "home") as memory:
        await memory.append([said(99, "Late.")])
        calls = len(service.calls)
        with pytest.raises(MissingRecord) as told:
            await replay(place / "home", place / "a")
    at = next(at for at in (str(one) for one in (await ends(place / "home"))) if at in str(told.value))
    assert str(told.value) == (
        f"what openai:m answered to the message m99 at {at}={(await ends(place / 'home'))[at] - 1} (input hash "
        f"{hash_of('Anna: Late.')}) is not recorded in helamem.effects, and a replay asks no model; process the log to "
        "its end first, or name a model with --embedder"
    )
    ran = run("replay", "--home", place / "home", "--into", place / "a")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"helamem: {told.value}\n"
    assert "did not finish; run it again" in run("digest", "--home", place / "a").err
    assert len(service.calls) == calls
    async with remote_home(service, place / "home") as memory:
        await memory.process()
        digest = (await memory.digest()).digest
    assert (await replay(place / "home", place / "a")).digest.digest == digest


async def ends(home: Path) -> dict[str, int]:
    """Return the ends of a home's log by name."""
    async with await SqliteLog.open(home / "log.sqlite", TOPICS, lambda: 0, read_only=True) as log:
        partitions = [at for spec in TOPICS for at in await log.partitions(spec.name)]
        return {str(at): end for at, end in (await log.end_offsets(partitions)).items()}


async def test_a_log_without_a_single_answer(service: Service, place: Path) -> None:
    """Nothing was processed yet: the first message is named, and the store is made once its dimension is known."""
    async with remote_home(service, place / "home") as memory:
        await memory.append([said(1, "Hi.")])
        with pytest.raises(MissingRecord, match=r"to the message m1 at helamem\.conversations\.g1/\d=1 \(input hash"):
            await replay(place / "home", place / "a")
        assert (await replay(place / "home", place / "other", spaces=["acme/nobody"])).digest.spaces == {}
        await memory.process()
        digest = (await memory.digest()).digest
    assert (await replay(place / "home", place / "a")).digest.digest == digest


async def test_a_model_on_this_machine_is_not_recorded(place: Path) -> None:
    """Its vectors come again as they were."""
    await rounds(place / "home")
    found = await ends(place / "home")
    assert {end for at, end in found.items() if at.startswith(EFFECTS.base_name)} == {0}


async def test_another_embedder_embeds_everything_anew(service: Service, place: Path) -> None:
    """The projection has a digest of its own, the same each time; its settings say by what, and it is recalled by."""
    digest, _ = await rounds(place / "home")
    remote = OpenAIEmbedder(base_url=service.url, model="m", dimension=3)
    with closing(remote._client):
        asked: dict[str, Any] = {"re_embed": MODEL, "embedder": remote}
        first = await replay(place / "home", place / "a", **asked)
        assert first.digest.digest != digest
        assert first.settings.encoding.embedder == MODEL
        assert first.newly_embedded == len(set(service.texts)) == len(service.texts) >= 15
        mine = first.digest.spaces[SPACE]
        async with await AsyncMemory.open(place / "a", embedder=remote) as memory:
            assert memory.instance.settings.encoding.embedder == MODEL
            assert memory.instance.settings.hebbian.hub_degree == 2
            assert (await memory.digest()).spaces[SPACE] == mine
            assert (await memory.recall(SPACE, "tent", record=False)).hits
        with pytest.raises(BadInput, match="holds a"):
            await replay(place / "home", place / "a", embedder=wordllama(), since="2099-01-01T00:00:00Z")
    back = await replay(place / "home", place / "b", re_embed=WordLlamaEmbedder.name)
    assert back.digest.digest == digest
    assert back.digest.spaces[SPACE].edges == mine.edges


async def test_a_log_whose_embedder_changed_needs_one(service: Service, place: Path) -> None:
    """Without --embedder it is refused, since one projection has one; with it, it has what the model gives."""
    async with remote_home(service, place / "home") as memory:
        await live(memory, 0)
        await memory.process()
        log = memory.instance.log
        await apply_settings(log, Settings(), Clock())
        events = [one for at in await log.partitions("helamem.conversations.g1") for one in await log.read(at, 0)]
        assert sum(SettingsApplied.event_type.encode() in one.value for one in events) == 8
    with pytest.raises(ConfigurationError, match="is embedded by openai:m, not by wordllama"):
        await replay(place / "home", place / "a", embedder=wordllama())
    first = await replay(place / "home", place / "b", re_embed=WordLlamaEmbedder.name)
    assert first.reproduced
    (place / "b" / "embeddings.sqlite").unlink()
    shutil.rmtree(place / "b")
    assert (await replay(place / "home", place / "b", re_embed=WordLlamaEmbedder.name)).digest == first.digest


async def test_the_command_re_embeds(service: Service, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how many texts were asked for and where their vectors are; going on asks for nothing again."""
    await rounds(place / "home")
    monkeypatch.setenv("HELAMEM_OPENAI_BASE_URL", service.url)
    monkeypatch.setenv("HELAMEM_OPENAI_DIMENSION", "3")
    into = place / "other"
    ran = run("replay", "--home", place / "home", "--into", into, "--embedder", MODEL)
    assert ran.code == 0, ran.err
    assert ran.json["settings"]["encoding"]["embedder"] == MODEL
    assert ran.json["newly_embedded"] == len(service.texts)
    assert f"openai:m was asked for {len(service.texts)} texts; their vectors are kept in {into}, not in" in ran.err
    assert run("digest", "--home", into).json["settings"]["encoding"]["embedder"] == MODEL
    unknown = run("replay", "--home", place / "home", "--into", place / "c", "--embedder", "nobody")
    assert (unknown.code, (place / "c").exists()) == (2, False)
    assert "there is no embedder 'nobody'; use" in unknown.err
