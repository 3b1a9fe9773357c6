"""A model behind a service, against one on this machine that answers as such services do, and as they fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fakes.chat_service import ChatService, Reply, chatting, in_turn, refusing, says
from helamem.processors.consolidation.llm.chat import ChatModel, ChatSettings, Completion, Message
from helamem.processors.consolidation.llm.evidence import Rule
from helamem.processors.consolidation.llm.patience import PatienceSettings
from helamem.processors.consolidation.llm.watch import Failure, Unwatched
from helamem.schemas.errors import ConfigurationError, Poison, RetryLater
from helamem.schemas.events import MAX_INTEGER

KEY = "sk-s3cret"
SCHEMA = {"type": "object"}
ASKED = [Message("system", "Distil."), Message("user", "{}")]


class Noting(Unwatched):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[Failure | None] = []
        self.rules: list[Rule] = []
        self.circuits: list[bool] = []

    def called(self, seconds: float, failure: Failure | None) -> None:
        self.calls.append(failure)

    def circuit(self, *, is_open: bool) -> None:
        self.circuits.append(is_open)


class Slept:
    """Sleeps not at all, and lets a clock go on by that."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)


@pytest.fixture
def service() -> Iterator[ChatService]:
    with chatting() as known:
        yield known


@asynccontextmanager
async def asking(
    service: ChatService, noting: Noting | None = None, slept: Slept | None = None, **settings: Any
) -> AsyncIterator[ChatModel]:
    slept = slept or Slept()
    made = ChatSettings(base_url=service.url, model="g", **{"api_key": KEY, "timeout_s": 10.0, **settings})
    model = ChatModel(made, watch=noting, sleep=slept, clock=lambda: slept.now_s, random_=lambda: 1.0)
    try:
        yield model
    finally:
        await model.close()


async def test_a_question_is_asked_as_the_protocol_has_it(service: ChatService) -> None:
    """Model, messages, parameters, form and key are sent; text, version and tokens come back."""
    service.reply = lambda asked: says("{}")
    async with asking(service, temperature=0.5, max_tokens=99) as model:
        assert await model.ask(ASKED, SCHEMA) == Completion(text="{}", version="g-2026", tokens_in=100, tokens_out=20)
    assert service.calls == [
        {
            "model": "g",
            "messages": [{"role": "system", "content": "Distil."}, {"role": "user", "content": "{}"}],
            "temperature": 0.5,
            "max_tokens": 99,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "statements", "strict": True, "schema": SCHEMA},
            },
        }
    ]
    assert service.keys == [f"Bearer {KEY}"]


async def test_a_service_without_schemas_is_asked_without(service: ChatService) -> None:
    """It refuses `response_format` once, and is not sent it again."""
    service.reply = lambda asked: refusing(400) if "response_format" in asked else says("{}")
    async with asking(service) as model:
        for _ in range(3):
            assert (await model.ask(ASKED, SCHEMA)).text == "{}"
    assert ["response_format" in asked for asked in service.calls] == [True, False, False, False]


@pytest.mark.parametrize(
    ("bad", "failure", "reason"),
    [
        (refusing(500), "failing", "answers 500"),
        (refusing(503), "failing", "answers 503"),
        (refusing(429), "rate-limited", "answers 429"),
        (Reply(b"<html>Welcome</html>"), "no-protocol", "something else than a chat completion"),
        (Reply(b'{"choices": []}'), "no-protocol", "something else than a chat completion"),
        (Reply(b'{"choices": [{"message": {"content": "x'), "no-protocol", "something else than a chat completion"),
        (Reply(b"\xff\xfe"), "no-protocol", "something else than a chat completion"),
        (
            Reply(b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
            "no-protocol",
            "something else than a chat completion",
        ),
        (Reply(b" " * 4_000_001), "no-protocol", "more than 4,000,000 bytes"),
    ],
    ids=["500", "503", "429", "page", "nothing", "torn", "bytes", "nested", "endless"],
)
async def test_what_may_go_better_is_asked_again(
    service: ChatService, bad: Reply, failure: Failure, reason: str
) -> None:
    """After waits that double; whoever asked comes again after some tries, and is told why."""
    noting, slept = Noting(), Slept()
    service.reply = in_turn(bad, bad, says("{}"))
    async with asking(service, noting, slept, patience=PatienceSettings(first_s=1.0)) as model:
        assert (await model.ask(ASKED, SCHEMA)).text == "{}"
        assert (slept.waits, noting.calls) == ([1.0, 2.0], [failure, failure, None])
        service.reply = lambda asked: bad
        with pytest.raises(RetryLater, match=reason):
            await model.ask(ASKED, SCHEMA)
    assert slept.waits == [1.0, 2.0, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    "slow",
    [says("{}")._replace(before_s=30.0), says("{}")._replace(drip_s=0.05)],
    ids=["silent", "dripping"],
)
async def test_a_slow_service_is_given_up(service: ChatService, slow: Reply) -> None:
    """The time is for the call as a whole, also where a byte comes now and then."""
    noting = Noting()
    service.reply = in_turn(slow, says("{}"))
    async with asking(service, noting, timeout_s=0.3) as model:
        assert (await model.ask(ASKED, SCHEMA)).text == "{}"
    assert noting.calls == ["no-answer", None]


async def test_nobody_there_is_asked_again() -> None:
    """The connection is refused."""
    with chatting() as gone:
        pass
    noting = Noting()
    async with asking(gone, noting) as model:
        with pytest.raises(RetryLater, match=r"does not answer \(ConnectError\)"):
            await model.ask(ASKED, SCHEMA)
    assert noting.calls == ["no-answer"] * 4


async def test_retry_after_is_honoured(service: ChatService) -> None:
    """By all who ask: for a moment they wait, for longer they come again later, and nobody calls meanwhile."""
    slept = Slept()
    service.reply = in_turn(refusing(429, headers=[("retry-after", "7")]), says("{}"))
    async with asking(service, slept=slept) as model:
        await model.ask(ASKED, SCHEMA)
        assert slept.waits == [7.0]
        service.reply = lambda asked: refusing(429, headers=[("retry-after", "120")])
        with pytest.raises(RetryLater, match="answers 429"):
            await model.ask(ASKED, SCHEMA)
        calls = len(service.calls)
        with pytest.raises(RetryLater, match="left alone for 120 s more"):
            await model.ask(ASKED, SCHEMA)
        assert len(service.calls) == calls
        slept.now_s += 120
        service.reply = lambda asked: says("{}")
        await model.ask(ASKED, SCHEMA)


async def test_the_circuit_opens_and_closes(service: ChatService) -> None:
    """A service that only fails is left alone; after a rest one call tries it, with another question."""
    noting, slept = Noting(), Slept()
    service.reply = lambda asked: refusing(500)
    patience = PatienceSettings(tries=2, failures=4, rest_s=15.0)
    async with asking(service, noting, slept, patience=patience) as model:
        for _ in range(2):
            with pytest.raises(RetryLater, match="answers 500"):
                await model.ask(ASKED, SCHEMA)
        for _ in range(5):
            with pytest.raises(RetryLater, match="left alone"):
                await model.ask(ASKED, SCHEMA)
        assert (len(service.calls), noting.circuits) == (4, [True])
        slept.now_s += 15.0
        service.reply = lambda asked: says("{}")
        await model.ask(ASKED, SCHEMA)
    assert (len(service.calls), noting.circuits) == (6, [True, False])


@pytest.mark.parametrize("status", [400, 403, 413, 451])
async def test_a_refused_question_is_told_from_a_refused_set_up(service: ChatService, status: int) -> None:
    """The service takes a harmless question: then it is the messages, which go to the dead letters."""
    service.reply = lambda asked: refusing(status) if len(asked["messages"]) > 1 else says("yes")
    async with asking(service) as model:
        with pytest.raises(Poison, match=f"refuses the hub's messages with {status}") as told:
            await model.ask(ASKED, SCHEMA)
        assert told.value.field == "data.cluster"
        service.reply = lambda asked: refusing(status)
        with pytest.raises(RetryLater, match=f"refuses the call with {status}; check HELAMEM_DISTILLER_BASE_URL"):
            await model.ask(ASKED, SCHEMA)
        with pytest.raises(RetryLater, match="left alone for 30 s"):
            await model.ask(ASKED, SCHEMA)


@pytest.mark.parametrize("status", [401, 404])
async def test_a_wrong_set_up_is_told_at_once(service: ChatService, status: int) -> None:
    """Without the key, and without asking again and again: only a person can set it right."""
    noting = Noting()
    service.reply = lambda asked: refusing(status)
    async with asking(service, noting) as model:
        with pytest.raises(RetryLater, match=f"refuses the call with {status}; check HELAMEM_DISTILLER") as told:
            await model.ask(ASKED, SCHEMA)
        with pytest.raises(RetryLater, match="left alone for 30 s"):
            await model.ask(ASKED, SCHEMA)
    assert (len(service.calls), noting.calls) == (1, ["refused"])
    assert KEY not in str(told.value)
    assert KEY not in repr(ChatSettings(base_url=service.url, model="g", api_key=KEY))


async def test_a_question_at_which_the_service_always_fails(service: ChatService) -> None:
    """It is the messages, once another question was answered meanwhile, twice; never while all fail, or by a limit."""
    slept = Slept()

    async def asked_again(model: ChatModel, rounds: int) -> list[type[Exception]]:
        ends: list[type[Exception]] = []
        for _ in range(rounds):
            slept.now_s += 400
            with pytest.raises((RetryLater, Poison)) as told:
                await model.ask(ASKED, SCHEMA)
            ends.append(told.type)
        return ends

    async with asking(service, slept=slept) as model:
        service.reply = lambda asked: refusing(500)
        assert await asked_again(model, 9) == [RetryLater] * 9
        service.reply = lambda asked: refusing(429) if len(asked["messages"]) > 1 else says("yes")
        assert await asked_again(model, 9) == [RetryLater] * 9
        service.reply = lambda asked: refusing(500) if len(asked["messages"]) > 1 else says("yes")
        ends = await asked_again(model, 5)
        assert (ends[0], ends[-2:]) == (RetryLater, [Poison, Poison])
        with pytest.raises(Poison, match="answers 500 whenever it is asked about the hub's messages, and answers oth"):
            await model.ask(ASKED, SCHEMA)
        slept.now_s += 400
        service.reply = lambda asked: says("{}")
        assert (await model.ask(ASKED, SCHEMA)).text == "{}"


async def test_a_service_that_counts_no_tokens(service: ChatService) -> None:
    """They are guessed by the bytes, so that a cap holds there too; no words are words that cannot be read."""
    service.reply = lambda asked: says("x" * 400, tokens=None)
    async with asking(service) as model:
        found = await model.ask([Message("user", "y" * 800)], SCHEMA)
        assert (found.tokens_in, found.tokens_out) == (201, 101)
        service.reply = lambda asked: says(None)
        assert (await model.ask(ASKED, SCHEMA)).text == "(no answer)"


async def test_a_count_beyond_all_numbers_is_one_that_can_be_recorded(service: ChatService) -> None:
    """It spends a cap at once, and does not fail the record."""
    service.reply = lambda asked: says("{}", tokens=(2**60, 2**60))
    async with asking(service) as model:
        found = await model.ask(ASKED, SCHEMA)
    assert (found.tokens_in, found.tokens_out) == (MAX_INTEGER, MAX_INTEGER)


async def test_a_key_is_taken_without_what_stands_around_it(service: ChatService) -> None:
    """One with other characters than keys have is told at once, and not shown."""
    service.reply = lambda asked: says("{}")
    async with asking(service, api_key=f" {KEY}\n") as model:
        await model.ask(ASKED, SCHEMA)
    assert service.keys == [f"Bearer {KEY}"]
    with pytest.raises(ConfigurationError, match="look at HELAMEM_DISTILLER_API_KEY") as told:
        ChatModel(ChatSettings(base_url=service.url, model="g", api_key="sk-s3\u2026cret"))
    assert "s3" not in str(told.value)
