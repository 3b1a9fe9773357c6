"""A replay reads what a model distilled and calls nobody; a fact that no answer says stops it, and is named."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from fakes.chat_service import (
    ChatService,
    Reply,
    chatting,
    in_turn,
    quoting,
    refusing,
    says,
    shown,
    statement,
    statements,
)
from fakes.directories import directory
from fakes.machine import SETTINGS
from fakes.words import wordllama
from helamem.processors.consolidation.distiller import HubsWait
from helamem.processors.consolidation.llm.chat import ChatSettings
from helamem.schemas.errors import ConfigurationError, MissingRecord, RetryLater
from helamem.schemas.events import KnowledgeDistilled
from helamem.schemas.records import TopicPartition
from helamem.schemas.topics import EFFECTS, FACTS, TOPICS
from helamem.schemas.wire import decode
from helamem.streams import instance as instances
from helamem.streams.archive.archiver import Archiver
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.distilling import ModelSettings
from helamem.streams.erasure.erase import Work, erase
from helamem.streams.instance import Instance
from helamem.streams.log.port import Log
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.log.sqlite_schema import OFFSET_BITS
from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.registry import Metrics
from helamem.streams.replay import replay, replay_archive
from helamem.streams.sealing.tenants import seal_tenant
from streams.cli.shell import run
from streams.effects.test_replay import archived
from streams.test_replay import QUERIES, SPACE, TEXTS, Clock


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@pytest.fixture
def service() -> Iterator[ChatService]:
    with chatting() as known:
        known.reply = quoting
        yield known


def model_at(service: ChatService) -> ModelSettings:
    """Return the model behind a service."""
    return ModelSettings(chat=ChatSettings(base_url=service.url, model="g"))


@asynccontextmanager
async def home_of(service: ChatService, home: Path, metrics: Metrics | None = None) -> AsyncIterator[AsyncMemory]:
    """Open a home for which a model distils."""
    clock, numbers = Clock(), iter(range(10**6))
    settings = None if home.exists() else SETTINGS  # noqa: ASYNC240 - of a test's own directory
    instance = await Instance.open(
        home, settings=settings, embedder=wordllama(), distiller=model_at(service), clock=clock, metrics=metrics
    )
    async with AsyncMemory(instance, clock, lambda: f"id{clock.now_ms}-{next(numbers)}") as memory:
        yield memory


async def lived(service: ChatService, home: Path, metrics: Metrics | None = None) -> str:
    """Live one round, with questions, hubs and facts; return the digest."""
    async with home_of(service, home, metrics) as memory:
        texts = [Message(space=SPACE, conversation="c", speaker="Anna", text=t, message_id=t) for t in TEXTS]
        await memory.append(texts)
        await memory.process()
        await asked_and_used(memory)
        assert {fact.distiller for fact in await memory.facts()} == {"openai:g:distil.v1"}
        return (await memory.digest()).digest


async def asked_and_used(memory: AsyncMemory) -> None:
    """Ask, say what was of use, and have hubs distilled."""
    for query in QUERIES:
        answer = await memory.recall(SPACE, query, k=4, m=1)
        await memory.reinforce(answer.recall_id, [hit.result.id for hit in answer.hits if hit.turn][:3])
    await memory.process()


async def distilled(home: Path) -> list[tuple[str, KnowledgeDistilled]]:
    """Return the facts in a home's log, each with its place."""
    async with await SqliteLog.open(home / "log.sqlite", TOPICS, lambda: 0, read_only=True) as log:
        return [
            (f"{at}={record.offset}", data)
            for at in await log.partitions(FACTS.name)
            for record in await log.read(at, 0)
            if isinstance(data := decode(record.value).data, KnowledgeDistilled)
        ]


def rewrite(home: Path, old: bytes, new: bytes) -> None:
    """Change the recorded answers in a log, as nobody may."""
    with closing(sqlite3.connect(home / "log.sqlite", isolation_level=None)) as log:
        rows = log.execute(
            "SELECT id, value FROM records JOIN partitions ON partition_id = id >> ? WHERE topic = ?",
            (OFFSET_BITS, EFFECTS.name),
        ).fetchall()
        for id_, value in rows:
            assert old in value
            log.execute("UPDATE records SET value = ? WHERE id = ?", (value.replace(old, new), id_))
        assert rows


async def test_replays_call_nobody(service: ChatService, place: Path) -> None:
    """Of the home, without the index and of an archive: all have the live digest, and the service is gone."""
    metrics = Metrics()
    digest = await lived(service, place / "home", metrics)
    calls = len(service.calls)
    assert calls == metrics.value(c.DISTILLER_SECONDS) > 0
    assert metrics.value(c.STATEMENTS_ACCEPTED) >= 1
    service.reply = lambda asked: refusing(500)
    results = [await replay(place / "home", place / "a")]
    (place / "home" / "effects.sqlite").unlink()
    results.append(await replay(place / "home", place / "b"))
    await archived(place / "home", str(place / "archive"))
    results.append(await replay_archive(str(place / "archive"), place / "c"))
    assert [(one.digest.digest, one.reproduced) for one in results] == [(digest, True)] * 3
    async with home_of(service, place / "home") as memory:
        await memory.process()
        assert (await memory.digest()).digest == digest
    assert len(service.calls) == calls


async def test_an_answer_that_is_missing_is_named(service: ChatService, place: Path) -> None:
    """The fact, its place, who wrote it and the answer's id; the replay ends with 1 and leaves nothing whole."""
    await lived(service, place / "home")
    rewrite(place / "home", b'"model.answered.v1"', b'"model.answered.v2"')
    with pytest.raises(MissingRecord) as told:
        await replay(place / "home", place / "a")
    places = {
        f"the answer {one.answer} that the fact {one.fact_id} at {at} by" for at, one in await distilled(place / "home")
    }
    assert any(str(told.value).startswith(one) for one in places)
    assert str(told.value).endswith(
        "by openai:g:distil.v1 rests on is not recorded in helamem.effects, and a replay asks no model; replay a log "
        "that has it"
    )
    ran = run("replay", "--home", place / "home", "--into", place / "b")
    assert (ran.code, ran.out, ran.err) == (1, "", f"helamem: {told.value}\n")
    assert "did not finish; run it again" in run("digest", "--home", place / "b").err


async def test_a_fact_that_its_answer_does_not_say_is_named(service: ChatService, place: Path) -> None:
    """Somebody wrote a fact, or an answer, that no model gave."""
    await lived(service, place / "home")
    rewrite(place / "home", b"Anna says", b"Anna lies")
    with pytest.raises(MissingRecord, match=r"recorded in helamem\.effects does not say the fact [0-9a-f-]{36} at"):
        await replay(place / "home", place / "a")


async def test_sealed_words_are_shown_to_no_model(service: ChatService, place: Path) -> None:
    """What it answers would stand in the log unsealed."""
    await seal_tenant(place / "home", "acme")
    with pytest.raises(
        ConfigurationError, match="what g answers would stand in its log unsealed; unset HELAMEM_DISTILLER"
    ):
        await Instance.open(place / "home", distiller=model_at(service))
    assert service.calls == []


async def test_an_erasure_counts_the_answers_that_stay(service: ChatService, place: Path) -> None:
    """They may quote who is erased, with a fact or without; the facts are gone."""
    replies = in_turn(says("Anna said a lot."), quoting)
    service.reply = replies
    await lived(service, place / "home")

    @asynccontextmanager
    async def working() -> AsyncIterator[Work]:
        async with home_of(service, place / "home") as memory:
            yield memory.instance, memory.process

    answers = {fact.answer for _, fact in await distilled(place / "home")}
    recorded = len(service.calls)
    assert recorded > len(answers)
    done = await erase(place / "home", working, space=SPACE, subject="Anna")
    assert done.facts >= 1
    assert done.remains.answers == recorded
    async with home_of(service, place / "home") as memory:
        digest = (await memory.digest()).digest
    assert (await replay(place / "home", place / "a")).digest.digest == digest


@pytest.mark.parametrize(
    "reply", [says("I cannot do that."), refusing(500), refusing(401)], ids=["words", "500", "401"]
)
async def test_an_erasure_waits_for_no_model(service: ChatService, place: Path, reply: Reply) -> None:
    """What is left is quoted, whatever the model does; so no erasure stands in the way of another one."""
    service.reply = lambda asked: says(
        statements(statement(f"{shown(asked)[0]['speaker']} says so.", *(told["id"] for told in shown(asked)[:8])))
    )
    async with home_of(service, place / "home") as memory:
        for number, text in enumerate(TEXTS):
            speaker = "Tom" if number % 2 else "Anna"
            await memory.append(
                [Message(space=SPACE, conversation="c", speaker=speaker, text=text, message_id=f"{number}")]
            )
        await memory.process()
        await asked_and_used(memory)

    @asynccontextmanager
    async def working() -> AsyncIterator[Work]:
        async with home_of(service, place / "home") as memory:
            yield memory.instance, memory.process

    calls = len(service.calls)
    service.reply = lambda asked: reply
    done = await erase(place / "home", working, space=SPACE, subject="Anna")
    assert (done.facts > 0, done.distilled_again > 0, len(service.calls)) == (True, True, calls)
    again = {fact.distiller for _, fact in await distilled(place / "home")}
    assert again == {"openai:g:distil.v1", "extractive:1"}
    assert (await erase(place / "home", working, space=SPACE, subject="Tom")).memories > 0


async def test_everything_but_hubs_comes_to_its_end_without_the_model(
    service: ChatService, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call says why hubs were left, when all else is done; a later one takes them up."""
    monkeypatch.setattr(instances, "HUBS_WAIT_S", 0.0)
    async with home_of(service, place / "home") as memory:
        texts = [Message(space=SPACE, conversation="c", speaker="Anna", text=t, message_id=t) for t in TEXTS]
        await memory.append(texts)
        assert await memory.process() is None
        service.reply = lambda asked: refusing(401)
        async with asyncio.timeout(60):
            await asked_and_used(memory)
        many = [Message(space=SPACE, conversation=f"d{n}", speaker="Tom", text=f"Ship {n} sails.") for n in range(2100)]
        await memory.append(many)
        async with asyncio.timeout(60):
            waiting = await memory.process()
        assert isinstance(waiting, HubsWait)
        assert "refuses the call with 401" in str(waiting)
        assert await memory.facts() == []
        assert (await memory.spaces())[SPACE] == len(texts) + len(many)
    service.reply = quoting
    async with home_of(service, place / "home") as memory:
        assert await memory.process() is None
        assert await memory.facts()


async def test_a_cut_archive_has_the_answers_to_its_facts(
    service: ChatService, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archiver that was killed once facts were archived leaves what can be replayed."""
    digest = await lived(service, place / "home")
    archive, done = Archiver._archive, set[str]()

    async def cut(self: Archiver, log: Log, at: TopicPartition, *args: Any) -> None:
        if FACTS.name in done and at.topic != FACTS.name:
            raise RetryLater("killed here")
        done.add(at.topic)
        await archive(self, log, at, *args)

    monkeypatch.setattr(Archiver, "_archive", cut)
    with suppress(RetryLater):
        await archived(place / "home", str(place / "archive"))
    assert {FACTS.name, EFFECTS.name} <= done
    assert (await replay_archive(str(place / "archive"), place / "a")).digest.digest == digest
