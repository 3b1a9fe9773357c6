"""What a service answered is recorded before it is used, asked for once, and the first record is in force for all."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fakes.embedding_service import Service, never_the_same, serving
from fakes.events import message
from fakes.machine import AT_ONCE, SETTINGS, Machine, Moment, machine
from helamem.processors.answers import Answered, NotRecorded, Question, hash_of
from helamem.processors.embedder.openai import OpenAIEmbedder
from helamem.processors.embedder.recorded import RecordedEmbedder
from helamem.processors.encoding.processor import Encoding
from helamem.processors.encoding.state import embedded_by
from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.schemas.events import ModelAnswered
from helamem.schemas.records import NewRecord
from helamem.schemas.topics import EFFECTS, TOPICS
from helamem.schemas.wire import decode, encode
from helamem.streams.effects.index import AnswerIndex
from helamem.streams.effects.recorded import RecordedAnswers
from helamem.streams.effects.records import answer_record, found_in
from helamem.streams.log.sqlite import SqliteLog

MODEL = "openai:m"


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as known:
        never_the_same(known)
        yield known


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    async with await SqliteLog.open(tmp_path / "log.sqlite", TOPICS, lambda: 1_750_000_000_000) as opened:
        yield opened


@asynccontextmanager
async def asking(service: Service | None, log: SqliteLog, index: Path) -> AsyncIterator[RecordedEmbedder]:
    """Open what embeds by a service and an index of its own; without a service it asks nobody."""
    async with AsyncExitStack() as stack:
        remote = None
        if service is not None:
            remote = OpenAIEmbedder(base_url=service.url, model="m", dimension=3)
            stack.enter_context(closing(remote._client))
        answers = RecordedAnswers(log, stack.enter_context(AnswerIndex(index)), lambda: 1_750_000_000_000)
        yield RecordedEmbedder(MODEL, 3, answers, remote)


async def recorded(log: SqliteLog) -> list[ModelAnswered]:
    """Return what stands in the log."""
    found = [decode(one.value) for at in await log.partitions(EFFECTS.name) for one in await log.read(at, 0)]
    return [event.data for event in found if isinstance(event.data, ModelAnswered)]


def question(text: str) -> Question:
    """Return what it is to embed a text."""
    return Question(kind="embedding", model=MODEL, input_hash=hash_of(text))


async def test_each_text_is_asked_for_once(service: Service, log: SqliteLog, tmp_path: Path) -> None:
    """Also after the index was thrown away; the record says model, version and hash, and nothing of the text."""
    async with asking(service, log, tmp_path / "index") as one:
        first = await one.embed_async(["tent", "lake", "tent"])
        assert first[0].tobytes() == first[2].tobytes() != first[1].tobytes()
        assert (await one.embed_async(["lake", "stove"]))[0].tobytes() == first[1].tobytes()
        assert (await one.embed_async([])).shape == (0, 3)
    assert service.texts == ["tent", "lake", "stove"]
    tent = next(data for data in await recorded(log) if data.input_hash == hash_of("tent"))
    assert (tent.kind, tent.model, tent.version, tent.prompt_hash) == ("embedding", MODEL, "m-2026", None)
    assert base64.b64decode(tent.answer) == first[0].tobytes()
    assert np.linalg.norm(first[0]) == pytest.approx(1.0)
    async with asking(service, log, tmp_path / "another") as one:
        again = await one.embed_async(["lake", "tent"])
    assert again.tobytes() == first[[1, 0]].tobytes()
    assert len(service.calls) == 2


async def test_what_a_busy_service_answered_is_not_asked_for_again(
    service: Service, log: SqliteLog, tmp_path: Path
) -> None:
    """It answers 429 to every fourth call, and 1,000 texts are eight calls: each try goes on where the last ended."""
    service.status_of = lambda texts: 429 if len(service.calls) % 4 == 0 else 200
    texts = [f"text {n}" for n in range(1000)]
    recorded_after = []
    async with asking(service, log, tmp_path / "index") as one:
        for _ in range(2):
            with pytest.raises(RetryLater, match="the embedding service answers 429"):
                await one.embed_async(texts)
            recorded_after.append(len(await recorded(log)))
        vectors = await one.embed_async(texts)
    assert recorded_after == [384, 768]
    answered = [asked["input"] for n, (_, _, asked) in enumerate(service.calls, start=1) if n % 4]
    assert [text for part in answered for text in part] == texts
    async with asking(None, log, tmp_path / "another") as replaying:
        assert (await replaying.embed_async(texts)).tobytes() == vectors.tobytes()


async def test_of_two_answers_the_first_in_the_log_is_in_force(
    service: Service, log: SqliteLog, tmp_path: Path
) -> None:
    """Two workers ask the same at once and are told different things: both go on with one of them, as does a replay."""
    both = asyncio.Barrier(2)
    async with asking(service, log, tmp_path / "a") as one, asking(service, log, tmp_path / "b") as other:
        for each in (one, other):
            answers, find = each._answers, each._answers.find

            async def found_nothing(questions: list[Question], find: object = find) -> dict[Question, bytes]:
                await both.wait()  # neither has recorded anything yet
                return {}

            answers.find = found_nothing  # type: ignore[method-assign, assignment]
        texts = ["tent", "lake", "stove"]
        vectors = await asyncio.gather(one.embed_async(texts), other.embed_async(texts[::-1]))
    assert sorted(service.texts) == sorted(texts * 2)
    assert len(await recorded(log)) == 6
    assert vectors[0].tobytes() == vectors[1][::-1].tobytes()
    async with asking(None, log, tmp_path / "c") as replaying:
        assert (await replaying.embed_async(texts)).tobytes() == vectors[0].tobytes()


async def test_without_a_service_the_missing_text_is_named(service: Service, log: SqliteLog, tmp_path: Path) -> None:
    """Which of the texts it is; a vector of another length than the model's is refused."""
    async with asking(service, log, tmp_path / "a") as one:
        await one.embed_async(["tent"])
    async with asking(None, log, tmp_path / "b") as one:
        with pytest.raises(NotRecorded) as told:
            await one.embed_async(["tent", "lake", "tent"])
        assert (told.value.place, told.value.question) == (1, question("lake"))
        one.dimension = 4
        with pytest.raises(ConfigurationError, match="vectors of openai:m have 3 numbers, not 4; set the dimension"):
            await one.embed_async(["tent"])


async def test_what_is_no_answer_is_passed_over(log: SqliteLog, tmp_path: Path) -> None:
    """Torn, of another event, under a foreign id or key, in another partition, no vector: as if it were not there."""
    good = answer_record(question("tent"), Answered(content=b"\0\0\x80\x3f"), 0)
    event = decode(good.value)
    assert isinstance(event.data, ModelAnswered)
    (place, _), *_ = await log.append([good])

    def other(**fields: str) -> bytes:
        return encode(msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, **fields)))

    bad = [
        msgspec.structs.replace(good, value=b"{"),
        msgspec.structs.replace(good, value=encode(message("m1", "tent"))),
        msgspec.structs.replace(good, value=encode(msgspec.structs.replace(event, id="mine"))),
        msgspec.structs.replace(good, value=other(model="openai:n")),
        msgspec.structs.replace(good, value=other(input_hash="0" * 64)),
        msgspec.structs.replace(good, value=other(answer="AAA")),
        msgspec.structs.replace(good, value=other(answer="AAAAAAA=")),
        msgspec.structs.replace(good, value=other(answer=base64.b64encode(b"\0\0\xc0\x7f").decode())),
        msgspec.structs.replace(good, key=b"tent"),
        msgspec.structs.replace(good, partition=(place.partition + 1) % EFFECTS.partitions),
    ]
    async with await SqliteLog.open(tmp_path / "bad.sqlite", TOPICS, lambda: 0) as spoiled:
        await spoiled.append([*bad, good])
        partitions = await spoiled.partitions(EFFECTS.name)
        found = [found_in(one, len(partitions)) for at in partitions for one in await spoiled.read(at, 0)]
        assert [one.content for one in found if one is not None] == [b"\0\0\x80\x3f"]
        assert len(found) == len(bad) + 1
        with AnswerIndex(tmp_path / "index") as index:
            answers = RecordedAnswers(spoiled, index, lambda: 0)
            assert await answers.find([question("tent")]) == {question("tent"): b"\0\0\x80\x3f"}
            assert index.dimension(MODEL) == 1
            assert index.dimension("openai:n") is None


async def test_text_answers_are_recorded_with_their_prompt(log: SqliteLog, tmp_path: Path) -> None:
    """What a distiller is told comes back as it came; another prompt is another question."""
    first = Question(
        kind="distillation", model="openai:g", prompt_hash=hash_of("Distil."), input_hash=hash_of("cluster")
    )
    other = msgspec.structs.replace(first, prompt_hash=hash_of("Distil better."))
    with AnswerIndex(tmp_path / "index") as index:
        answers = RecordedAnswers(log, index, lambda: 0)
        told = {first: Answered(content='{"facts": ["Zoë"]}'.encode(), version="g-1")}
        assert await answers.record(told) == {first: '{"facts": ["Zoë"]}'.encode()}
        assert await answers.find([other, first]) == {first: '{"facts": ["Zoë"]}'.encode()}


async def test_an_index_of_another_log_is_not_believed(service: Service, log: SqliteLog, tmp_path: Path) -> None:
    """A home was restored to an earlier state, or a worker was pointed at another cluster: it is filled anew."""
    async with await SqliteLog.open(tmp_path / "other.sqlite", TOPICS, lambda: 0) as elsewhere:
        async with asking(service, elsewhere, tmp_path / "index") as one:
            await one.embed_async(["tent", "lake"])
        async with asking(service, log, tmp_path / "index") as one:
            await one.embed_async(["tent", "lake"])
            assert service.texts == ["tent", "lake"] * 2
            assert (await one.embed_async(["tent"])).shape == (1, 3)
    with closing(sqlite3.connect(tmp_path / "index")) as file:
        assert file.execute("SELECT count(*) FROM contents").fetchone() == (2,)


async def test_an_index_may_be_shared(service: Service, log: SqliteLog, tmp_path: Path) -> None:
    """Several workers of one machine fill one file; what one has read, the other finds."""
    async with asking(service, log, tmp_path / "i") as one, asking(service, log, tmp_path / "i") as other:
        for n in range(20):
            pair = await asyncio.gather(
                one.embed_async([f"text {n}", f"a {n}"]), other.embed_async([f"a {n}", f"b {n}"])
            )
            assert pair[0][1].tobytes() == pair[1][0].tobytes()
    async with asking(None, log, tmp_path / "own") as replaying, asking(None, log, tmp_path / "i") as sharing:
        texts = [f"{word} {n}" for n in range(20) for word in ("text", "a", "b")]
        assert (await replaying.embed_async(texts)).tobytes() == (await sharing.embed_async(texts)).tobytes()


def encoding_by(one: Machine, embedder: RecordedEmbedder) -> Encoding:
    """Return an encoding that embeds by a service."""
    return Encoding(one.store, embedder, embedded_by(SETTINGS, MODEL))


@pytest.mark.parametrize("step", ["write", "checkpoint", "commit"])
async def test_a_batch_that_is_taken_again_asks_nobody(service: Service, tmp_path: Path, step: str) -> None:
    """Whatever fails after the answer was recorded; it is recorded before the store sees it."""
    remote = OpenAIEmbedder(base_url=service.url, model="m", dimension=3)
    with closing(remote._client):
        async with machine(tmp_path, settings=embedded_by(SETTINGS, MODEL), embedder=remote) as one:
            await one.append(*[message(f"m{n}", f"number {n}") for n in range(10)])

            def fault(name: str, moment: Moment) -> None:
                if name == "write" and moment == "before":
                    assert len(service.texts) == 10
                if name == step and moment == "before":
                    raise ConfigurationError("killed here")

            ends = await one.ends()
            assert isinstance(one.log, SqliteLog)
            async with asking(service, one.log, tmp_path / "index") as embedder:
                one.watch.fault = fault
                pump = one.pump(encoding_by(one, embedder), backoff=AT_ONCE)
                with pytest.raises(ConfigurationError, match="killed here"):
                    await pump.run(until=ends)
            assert len(await recorded(one.log)) == 10
            one.watch.fault = lambda name, moment: None
            async with asking(service, one.log, tmp_path / "after") as embedder:
                await one.pump(encoding_by(one, embedder)).run(until=ends)
            assert await one.store.spaces() == {"acme/anna": 10}
            assert len(service.texts) == 10


async def test_a_thousand_texts_cost_few_reads(service: Service, log: SqliteLog, tmp_path: Path) -> None:
    """What is known is found in the index: the topic is read once, from where it was read before."""
    async with asking(service, log, tmp_path / "index") as one:
        await one.embed_async([f"text {n}" for n in range(1000)])
        read: list[int] = []
        through = log.read

        async def counted(*arguments: object, **options: object) -> object:
            read.append(1)
            return await through(*arguments, **options)  # type: ignore[arg-type]

        log.read = counted  # type: ignore[method-assign, assignment]
        for start in range(0, 1000, 100):
            await one.embed_async([f"text {n}" for n in range(start, start + 100)])
        assert read == []
        await one.embed_async(["new"])
        assert len(read) == 1


def test_a_key_names_its_partition() -> None:
    """The record's key is the input hash, so all answers to one question stand in one partition."""
    record = answer_record(question("tent"), Answered(content=b"\0\0\0\0"), 0)
    assert isinstance(record, NewRecord)
    assert record.key == hash_of("tent").encode()
    assert record.value == answer_record(question("tent"), Answered(content=b"\0\0\0\0"), 0).value
