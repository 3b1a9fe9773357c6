"""Commands in a home whose hubs a model distils: they ask the one that is configured, and go on without it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fakes.chat_service import ChatService, chatting, quoting, refusing
from fakes.directories import directory
from fakes.machine import SETTINGS
from fakes.words import wordllama
from helamem.streams.async_memory import AsyncMemory, Message
from streams.cli.shell import run
from streams.test_replay import QUERIES, SPACE, TEXTS

KEY = "sk-s3cret"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatService]:
    """A service that the environment names."""
    with chatting() as known:
        known.reply = quoting
        monkeypatch.setenv("HELAMEM_DISTILLER", "openai:g")
        monkeypatch.setenv("HELAMEM_DISTILLER_BASE_URL", known.url)
        monkeypatch.setenv("HELAMEM_DISTILLER_API_KEY", KEY)
        yield known


@pytest.fixture
async def home(service: ChatService) -> AsyncIterator[Path]:
    """A home in whose log hubs will form."""
    with directory() as place:
        async with await AsyncMemory.open(place / "home", settings=SETTINGS, embedder=wordllama()) as memory:
            await memory.append([Message(space=SPACE, conversation="c", speaker="Anna", text=text) for text in TEXTS])
            await memory.process()
            for query in QUERIES:
                answer = await memory.recall(SPACE, query, k=4, m=1)
                await memory.reinforce(answer.recall_id, [hit.result.id for hit in answer.hits if hit.turn][:3])
        yield place / "home"


def test_a_command_asks_the_model_that_is_configured(home: Path, service: ChatService) -> None:
    """By the key that is configured, and shows it nowhere."""
    ran = run("run", "--once", "--home", home)
    assert (ran.code, ran.err) == (0, "")
    facts = run("facts", "--home", home).json["facts"]
    assert {fact["distiller"] for fact in facts} == {"openai:g:distil.v1"}
    why = run("why", facts[0]["id"], "--home", home).json["why"]
    assert (why["confidence_percent"], len(why["answer"])) == (90, 36)
    assert set(service.keys) == {f"Bearer {KEY}"}
    config = run("config")
    assert KEY not in config.out + config.err
    assert '"distiller_api_key"' in config.out


@pytest.mark.slow
def test_a_question_is_answered_while_the_model_is_away(home: Path, service: ChatService) -> None:
    """Only hubs wait for it: a command says so, and the next one takes them up."""
    service.reply = lambda asked: refusing(503)
    ran = run("recall", QUERIES[0], "--space", SPACE, "--home", home)
    assert ran.code == 0
    assert ran.json["results"]
    (line,) = ran.err.splitlines()
    assert line.startswith("helamem: hubs wait to be distilled: the model service answers 503")
    assert run("facts", "--home", home).json["facts"] == []
    service.reply = quoting
    assert run("run", "--once", "--home", home).code == 0
    assert run("facts", "--home", home).json["facts"]
