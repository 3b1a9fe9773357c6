"""The client against a real gateway in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from client.faults import Faults
from helamem.client import (
    AsyncClient,
    Client,
    ConflictError,
    DeniedError,
    InvalidError,
    Message,
    MissingError,
    Retries,
    UnreachableError,
    WaitError,
)
from helamem.client.requests import MOST_MESSAGES
from helamem.schemas.errors import BadInput, Conflict, NotFound, RetryLater

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
AT_ONCE = Retries(first_s=0.0, longest_s=1.0)
TIME = datetime(2025, 5, 12, 18, tzinfo=UTC)
TEXTS = ("We have moved from Lisbon to Bergen.", "The piano arrived in Bergen.", "I bake bread on Sundays.")
NOBODY = "0190c0de-1111-4222-8333-444455556666"


def said(space: str, text: str = TEXTS[0], **other: str) -> Message:
    return Message(space=space, conversation="monday", speaker="Mira", text=text, time=TIME, **other)  # type: ignore[arg-type]


def test_what_was_said_is_recalled_and_reinforced(address: str) -> None:
    """The whole way, without async: answers are typed, and times are times."""
    with Client(address) as memory:
        done = memory.append([said("acme/way", text) for text in TEXTS], searchable=True)
        assert done.searchable
        ids = [one.memory_id for one in done.messages]
        for _ in range(6):
            recalled = memory.recall("acme/way", "Bergen bread on Sundays", k=3, context=True)
            assert recalled.recall_id is not None
            assert memory.reinforce(recalled.recall_id, ids, space="acme/way").reinforced == ids
        assert {hit.id for hit in recalled.results if hit.kind == "memory"} == set(ids)
        assert recalled.results[0].time == TIME
        assert "Bergen" in (recalled.context or "")
        assert memory.recall("acme/way", "Bergen", as_of=datetime(2025, 1, 1, tzinfo=UTC)).results == []
        assert memory.memory("acme/way", ids[1]).previous == ids[0]
        assert memory.neighbours("acme/way", ids[0]).memory.text == TEXTS[0]
        assert memory.why("acme/way", ids[0]).lineage["kind"] == "memory"
        assert memory.why("acme/way", ids[0], other=ids[1]).lineage["kind"] == "pair"
        several = memory.recall_several(["acme/nothing", "acme/way"], "Bergen", record=False)
        assert [(one.space, bool(one.results)) for one in several] == [("acme/nothing", False), ("acme/way", True)]
        assert ("acme/way", 3) in [(one.space, one.memories) for one in memory.spaces()]
        assert memory.profile("acme/way").space == "acme/way"
        facts = []
        for _ in range(300):  # the gateway distils beside what it answers
            if facts := memory.facts("acme/way"):
                break
            time.sleep(0.1)
        assert facts
        assert all(fact.evidence and set(fact.evidence) <= set(ids) for fact in facts)


async def test_with_async_it_is_the_same(address: str) -> None:
    async with AsyncClient(address) as memory:
        done = await memory.append([said("acme/async")], searchable=True)
        found = await memory.recall("acme/async", "Where does Mira live?")
        assert [hit.id for hit in found.results] == [done.messages[0].memory_id]
        with pytest.raises(MissingError, match="has no memory"):
            await memory.memory("acme/async", NOBODY)


def test_many_messages_go_in_batches_and_come_back_in_order(faults: Faults) -> None:
    """Spaces mixed, more than one request may hold; sent again with the same key nothing is appended."""
    messages = [said(f"acme/many-{number % 2}", f"Number {number}.") for number in range(2 * MOST_MESSAGES + 6)]
    with Client(faults.url) as memory:
        done = memory.append(messages, idempotency_key="all of it")
        again = memory.append(messages, idempotency_key="all of it")
    assert len(faults.asked) == 8
    assert not any(one.repeated for one in done.messages)
    assert all(one.repeated for one in again.messages)
    assert [one.memory_id for one in done.messages] == [one.memory_id for one in again.messages]
    for space in (0, 1):
        offsets = [one.position.offset for one in done.messages[space::2]]
        assert offsets == sorted(set(offsets))


def test_an_append_whose_answer_was_lost_is_appended_once(faults: Faults) -> None:
    """Also messages without an id, since each request has a key of its own."""
    faults.planned.extend(["lost answer", "lost request", "away", "bad gateway"])
    with Client(faults.url, retries=AT_ONCE) as memory:
        done = memory.append([said("acme/lost")], searchable=True)
        assert done.messages[0].repeated  # the answer that came was not the first
        assert [(one.space, one.memories) for one in memory.spaces() if one.space == "acme/lost"] == [("acme/lost", 1)]
    keys = {key for method, _, key in faults.asked if method == "POST"}
    assert (len(faults.asked), len(keys)) == (6, 1)


async def test_reads_and_reinforcements_are_sent_again_too(faults: Faults) -> None:
    async with AsyncClient(faults.url, retries=AT_ONCE) as memory:
        done = await memory.append([said("acme/read", text) for text in TEXTS[:2]], searchable=True)
        faults.planned.extend(["away"])
        recalled = await memory.recall("acme/read", "Bergen")
        assert recalled.recall_id is not None
        faults.planned.extend(["lost answer", "lost answer"])
        ids = [one.memory_id for one in done.messages]
        await memory.reinforce(recalled.recall_id, ids, space="acme/read")
        faults.planned.extend(["lost answer", "bad gateway"])
        assert (await memory.memory("acme/read", ids[0])).text == TEXTS[0]
        faults.planned.extend(["lost answer"])
        assert (await memory.recall("acme/read", "Bergen", record=False)).results
    assert len({key for _, path, key in faults.asked if path.endswith("reinforce")}) == 1


def test_a_recall_that_may_have_been_answered_is_not_sent_again(faults: Faults) -> None:
    """It left its event; a second one would count as a second recall."""
    faults.planned.extend(["lost answer"])
    with Client(faults.url, retries=AT_ONCE) as memory, pytest.raises(UnreachableError, match="does not answer"):
        memory.recall("acme/read", "Bergen")
    assert len(faults.asked) == 1


def test_what_stays_away_is_told_in_the_gateways_words(faults: Faults) -> None:
    faults.planned.extend(["away"] * 3)
    with (
        Client(faults.url, retries=Retries(attempts=3, first_s=0.0)) as memory,
        pytest.raises(WaitError, match="the log is away; try again") as told,
    ):
        memory.spaces()
    assert (told.value.status, told.value.kind) == (503, "retry-later")
    assert isinstance(told.value, RetryLater)
    assert len(faults.asked) == 3


def test_errors_carry_what_the_gateway_says(address: str) -> None:
    """They are those of the library, with status, kind and fields."""
    with Client(address) as memory:
        memory.append([said("acme/errors", message_id="m1")])
        with pytest.raises(ConflictError, match="says something else") as conflict:
            memory.append([said("acme/errors", TEXTS[1], message_id="m1")])
        assert isinstance(conflict.value, Conflict)
        assert conflict.value.status == 409
        with pytest.raises(InvalidError, match="mend the request") as invalid:
            memory.append([said("acme/errors", "")])
        assert [field.field for field in invalid.value.fields] == ["body.messages.0.text"]
        with pytest.raises(MissingError) as missing:
            memory.reinforce(NOBODY, [NOBODY], space="acme/errors")
        assert isinstance(missing.value, NotFound)
        for space in ("acme", "acme/a/b", "/mira", "acme/..", ""):
            with pytest.raises(BadInput, match="is not written TENANT/NAME"):
                memory.recall(space, "Bergen")
        with pytest.raises(BadInput, match="is no id of a memory"):
            memory.memory("acme/errors", "../../x")
        with pytest.raises(BadInput, match="surrogate"):
            memory.recall("acme/errors", "\ud800")
        for key in ("", " ", "Tür", "a\nb", "a ", "k" * 201):
            with pytest.raises(BadInput, match="an idempotency key has 1 to 200 letters"):
                memory.append([said("acme/errors")], idempotency_key=key)
            with pytest.raises(BadInput, match="an idempotency key has 1 to 200 letters"):
                memory.reinforce(NOBODY, [NOBODY], space="acme/errors", idempotency_key=key)


def test_nobody_at_the_address_is_one_sentence() -> None:
    with (
        Client("http://127.0.0.1:1", retries=Retries(attempts=2, first_s=0.0)) as memory,
        pytest.raises(UnreachableError, match=r"http://127.0.0.1:1 does not answer: .*; start a gateway there"),
    ):
        memory.spaces()


def test_an_address_or_a_key_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("localhost:8420", "ftp://localhost", "http://", "http://[", "x"):
        with pytest.raises(BadInput, match="is no address of a gateway"):
            Client(url)
    with pytest.raises(BadInput, match="characters that no key has"):
        Client(key="clé")
    monkeypatch.setenv("HELAMEM_URL", "http://127.0.0.1:2/")
    with Client() as memory:
        assert memory.url == "http://127.0.0.1:2"


async def test_a_key_is_shown_and_a_missing_one_told() -> None:
    """From the environment too; other servers than gateways are told apart."""
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("Authorization"))
        return httpx.Response(401, json={"type": "urn:helamem:problem:unauthorized", "status": 401, "detail": "no key"})

    async with AsyncClient(key="helamem_a_b", transport=httpx.MockTransport(answer)) as memory:
        with pytest.raises(DeniedError, match="no key"):
            await memory.spaces()
    assert seen == ["Bearer helamem_a_b"]
    for reply in (httpx.Response(200, text="<html>"), httpx.Response(404, text="<html>"), httpx.Response(301)):
        async with AsyncClient(transport=httpx.MockTransport(lambda _, reply=reply: reply)) as memory:
            with pytest.raises(Exception, match="check the address"):
                await memory.spaces()


def test_programs_of_the_page_run(address: str) -> None:
    """Every program of docs/client.md runs as written, but for the address."""
    programs = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    printed = []
    for program in programs:
        told = program.replace("http://127.0.0.1:8420", address)
        done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        printed.append(done.stdout)
    assert "Mira We have moved from Lisbon to Bergen." in printed[0]
    assert "Bergen" in printed[1]
    assert len(programs) == 2
