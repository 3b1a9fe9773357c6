"""The remote embedder, against a service on this machine that answers as such services do, and as they fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import orjson
import pytest

from fakes.embedding_service import Service, serving, vector
from fakes.events import message
from fakes.machine import machine
from helamem.processors.embedder.choose import choose_embedder
from helamem.processors.embedder.openai import OpenAIEmbedder
from helamem.processors.recall.recall import Recall
from helamem.schemas.errors import BadInput, ConfigurationError, Poison, RetryLater
from helamem.schemas.events import RecallSettings
from helamem.schemas.settings import EncodingSettings, Settings
from helamem.streams.dead_letters import read_dead_letters


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as known:
        yield known


@pytest.fixture
def embedder(service: Service) -> Iterator[OpenAIEmbedder]:
    made = OpenAIEmbedder(base_url=service.url, model="m", dimension=3, api_key="secret", timeout_s=10.0)
    with closing(made._client):
        yield made


def test_texts_become_unit_vectors_in_their_order(service: Service, embedder: OpenAIEmbedder) -> None:
    """More texts than one call takes are asked in several; model, texts and key are sent."""
    texts = [f"text {'a' * (n % 7)} {n}" for n in range(300)]
    found = embedder.embed(texts)
    wanted = np.array([vector(text) for text in texts], dtype=np.float32)
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), rtol=1e-6)
    assert [len(asked["input"]) for _, _, asked in service.calls] == [128, 128, 44]
    assert {(path, key, asked["model"]) for path, key, asked in service.calls} == {
        ("/v1/embeddings", "Bearer secret", "m")
    }


def test_no_texts_need_no_call(service: Service, embedder: OpenAIEmbedder) -> None:
    """Nothing asked, nothing sent."""
    assert embedder.embed([]).shape == (0, 3)
    assert service.calls == []


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_busy_or_failing_service_is_tried_again(service: Service, embedder: OpenAIEmbedder, status: int) -> None:
    """It may be back: the pump waits and nothing is skipped."""
    service.status = status
    with pytest.raises(RetryLater, match=f"answers {status}"):
        embedder.embed(["a"])
    service.status = 200
    assert embedder.embed(["a"]).any()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_refusal_is_a_matter_for_a_person(service: Service, embedder: OpenAIEmbedder, status: int) -> None:
    """The sentence says what to check, and never the key."""
    service.status = status
    with pytest.raises(ConfigurationError, match=f"refuses the call with {status}; check its address, key and") as told:
        embedder.embed(["a"])
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_one_text_that_is_refused_is_poison(service: Service, embedder: OpenAIEmbedder, status: int) -> None:
    """A text too long for the model stops nobody: it is told apart from a service that refuses everything."""
    service.status_of = lambda texts: status if any(len(text) > 100 for text in texts) else 200
    texts = ["b" * n for n in range(1, 41)]
    with pytest.raises(Poison, match=f"refuses this text of 101 characters with {status}; append it again") as told:
        embedder.embed([*texts, "a" * 101, *texts])
    assert told.value.field == "data.text"
    assert embedder.embed(texts).shape == (40, 3)


def test_a_service_that_takes_fewer_texts_at_once_is_given_fewer(service: Service, embedder: OpenAIEmbedder) -> None:
    """Its limit for a call is no text's fault; the vectors come back in the order of the texts."""
    service.status_of = lambda texts: 413 if len(texts) > 20 else 200
    texts = [f"text {'a' * (n % 7)} {n}" for n in range(300)]
    wanted = np.array([vector(text) for text in texts], dtype=np.float32)
    np.testing.assert_allclose(embedder.embed(texts), wanted / np.linalg.norm(wanted, axis=1, keepdims=True), rtol=1e-6)


async def test_encoding_goes_on_past_a_text_that_the_service_refuses(service: Service, tmp_path: Path) -> None:
    """Of a batch only the record at fault is put aside; a service that refuses all of them stops encoding."""
    service.status_of = lambda texts: 400 if any("long" in text for text in texts) else 200
    settings = Settings(encoding=EncodingSettings(embedder="openai:m"))
    remote = OpenAIEmbedder(base_url=service.url, model="m", dimension=3)
    with closing(remote._client):
        async with machine(tmp_path, settings=settings, embedder=remote) as one:
            await one.append(*[message(f"m{n}", "too long" if n == 11 else f"number {n}") for n in range(30)])
            pump = one.pump(one.encoding())
            await pump.run(until=await one.ends())
            assert await one.store.spaces() == {"acme/anna": 29}
            (letter,) = [letter async for letter in read_dead_letters(one.log)]
            assert (letter.offset, letter.field) == (11, "data.text")
            service.status_of = lambda texts: 400
            await one.append(message("m30", "number 30"))
            with pytest.raises(ConfigurationError, match="refuses the call with 400"):
                await pump.run(until=await one.ends())
            assert await one.store.spaces() == {"acme/anna": 29}
            assert len([letter async for letter in read_dead_letters(one.log)]) == 1


async def test_a_query_that_the_service_refuses_is_bad_input(service: Service, tmp_path: Path) -> None:
    """Whoever asks is told, in words about the query."""
    service.status_of = lambda texts: 400 if any(len(text) > 100 for text in texts) else 200
    remote = OpenAIEmbedder(base_url=service.url, model="m", dimension=3)
    with closing(remote._client):
        async with machine(tmp_path, embedder=remote) as one:
            recall = Recall(one.store, remote, one.settings.hebbian)
            assert await recall.recall("acme/anna", "a", RecallSettings(), 0) == []
            with pytest.raises(BadInput, match="refuses a query of 101 characters; ask with fewer words"):
                await recall.recall("acme/anna", "a" * 101, RecallSettings(), 0)


def test_vectors_of_another_length_are_refused(service: Service, embedder: OpenAIEmbedder) -> None:
    """The sentence names both lengths."""
    service.answer = lambda texts: orjson.dumps({"data": [{"index": 0, "embedding": [1.0, 2.0]}]})
    with pytest.raises(ConfigurationError, match="answers with 2 numbers a text, not 3; set the dimension"):
        embedder.embed(["a"])


@pytest.mark.parametrize(
    "body",
    [
        b"<html>The gateway is being renewed.</html>",
        b"",
        b"{}",
        b'{"data": []}',
        b'{"data": [{"index": 0, "embedding": [1, 2, 3]}]}',
        b'{"data": [{"index": 0, "embedding": [1, 2, 3]}, {"index": 0, "embedding": [1, 2, 3]}]}',
        b'{"data": [{"index": 0, "embedding": [1, 2, 3]}, {"index": 2, "embedding": [1, 2, 3]}]}',
        b'{"data": [{"index": 0, "embedding": [1, 2, 3]}, {"index": 1, "embedding": "AAAA"}]}',
    ],
)
def test_an_answer_that_is_none_is_tried_again(service: Service, embedder: OpenAIEmbedder, body: bytes) -> None:
    """No text is at fault for a proxy's page or a missing vector: none goes to the dead letters, none gets zeros."""
    service.answer = lambda texts: body
    with pytest.raises(RetryLater, match="something else than one vector for each text"):
        embedder.embed(["a", "b"])


def test_a_service_that_is_not_there_is_tried_again(service: Service) -> None:
    """Connection refused is no reason to stop for ever."""
    gone = OpenAIEmbedder(base_url="http://127.0.0.1:9/v1", model="m", dimension=3, timeout_s=5.0)
    with closing(gone._client), pytest.raises(RetryLater, match=r"does not answer \(ConnectError\)"):
        gone.embed(["a"])


def test_a_service_that_never_answers_is_tried_again(service: Service) -> None:
    """A call has an end."""
    release = threading.Event()

    def never(texts: list[str]) -> bytes:
        release.wait(20)
        return b""

    service.answer = never
    slow = OpenAIEmbedder(base_url=service.url, model="m", dimension=3, timeout_s=0.1)
    with closing(slow._client), pytest.raises(RetryLater, match=r"does not answer \(ReadTimeout\)"):
        slow.embed(["a"])
    release.set()


def test_it_is_chosen_by_name_and_environment(service: Service) -> None:
    """The name has the model, the environment the address; without them a sentence says what is missing."""
    environment = {"HELAMEM_OPENAI_BASE_URL": service.url, "HELAMEM_OPENAI_DIMENSION": "3"}
    chosen = choose_embedder("openai:m", environment)
    assert isinstance(chosen, OpenAIEmbedder)
    with closing(chosen._client):
        assert (chosen.name, chosen.dimension) == ("openai:m", 3)
        assert chosen.embed(["a"]).shape == (1, 3)
        assert service.calls[0][1] is None, "without a key none is sent"
    for incomplete in ({}, {**environment, "HELAMEM_OPENAI_DIMENSION": "many"}, {"HELAMEM_OPENAI_DIMENSION": "3"}):
        with pytest.raises(ConfigurationError, match="needs HELAMEM_OPENAI_BASE_URL"):
            choose_embedder("openai:m", incomplete)
