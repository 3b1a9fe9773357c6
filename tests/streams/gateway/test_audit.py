"""Lineage, differences, erasures and the events of a space, over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from helamem.schemas.errors import BadInput
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.gateway.following import FIRST, Following, positions_of
from helamem.streams.gateway.held import Held
from streams.gateway.asking import SPACE, Gateway, said

TEXTS = ("We have moved from Lisbon to Bergen.", "The piano arrived in Bergen.")
NOBODY = "0190c0de-1111-4222-8333-444455556666"


async def recalled(gateway: Gateway) -> tuple[list[str], str]:
    """Return the memories of a space and a recall that returned them all."""
    ids = await gateway.remember(*TEXTS)
    return ids, (await gateway.post(f"{SPACE}/recall", {"query": "Bergen"})).json()["recall_id"]


async def test_why_and_trace(gateway: Gateway) -> None:
    """From a memory to its message, from two to the recalls that linked them, and from a recall to what it caused."""
    ids, recall = await recalled(gateway)
    memory = (await gateway.get(f"{SPACE}/why/{ids[0]}")).json()
    assert (memory["problems"], memory["lineage"]["kind"]) == ([], "memory")
    assert TEXTS[0] in json.dumps(memory)
    edge = (await gateway.get(f"{SPACE}/why/{ids[0]}", params={"other": ids[1]})).json()
    assert recall in json.dumps(edge)
    prov = (await gateway.get(f"{SPACE}/why/{ids[0]}", params={"format": "prov"})).json()
    assert "prefix" in prov["lineage"]
    caused = (await gateway.get(f"{SPACE}/trace/{recall}")).json()
    assert caused["lineage"]["id"] == recall
    for path in (f"why/{NOBODY}", f"trace/{NOBODY}", f"why/{ids[0]}?other={NOBODY}"):
        assert (await gateway.get(f"{SPACE}/{path}")).status_code == 404
    assert (await gateway.get(f"{SPACE}/why/{ids[0]}?other={ids[0]}")).status_code == 400


async def test_a_difference_between_two_moments(gateway: Gateway) -> None:
    """From a moment of the past to now; no file of the machine can be named for one."""
    ids = await gateway.remember(TEXTS[0])
    recall = (await gateway.post(f"{SPACE}/recall", {"query": "Bergen"})).json()
    await asyncio.sleep(0.002)  # a moment holds all that was appended within it
    await gateway.post(f"{SPACE}/messages?wait=searchable", said(TEXTS[1], message_id="later"))
    found = (await gateway.get(f"{SPACE}/diff", params={"before": recall["as_of"]})).json()
    assert not found["equal"]
    assert [one["text"] for one in found["memories"]["added"]] == [TEXTS[1]]
    assert ids[0] not in json.dumps(found["memories"])
    same = (await gateway.get(f"{SPACE}/diff")).json()
    assert (same["equal"], same["edges"]) == (True, [])
    later = {"before": "2100-01-01T00:00:00Z", "after": "2100-01-02T00:00:00Z"}
    assert (await gateway.get(f"{SPACE}/diff", params=later)).json()["equal"]
    assert (await gateway.get(f"{SPACE}/diff", params={"before": "/etc/passwd"})).status_code == 422
    assert (await gateway.get(f"{SPACE}/diff", params={"before": "1990-01-01T00:00:00Z"})).status_code == 400


async def test_a_parameter_that_nobody_heeds_is_refused(gateway: Gateway) -> None:
    """Its answer would be taken for one to another question: that nothing changed since then, say."""
    await gateway.remember(TEXTS[0])
    wrong = await gateway.get(f"{SPACE}/diff", params={"from": "2020-01-01T00:00:00Z"})
    (error,) = wrong.json()["errors"]
    assert (wrong.status_code, error["field"], "after, before" in error["reason"]) == (422, "query.from", True), error
    wrong = await gateway.post(f"{SPACE}/recall?k=3", {"query": "Bergen"})
    (error,) = wrong.json()["errors"]
    assert (wrong.status_code, error["field"], "no parameters" in error["reason"]) == (422, "query.k", True), error


async def test_an_erasure_is_whole_and_the_gateway_goes_on(gateway: Gateway) -> None:
    """A dry run changes nothing; meanwhile others are told to come again, and afterwards the words are gone."""
    ids = await gateway.remember(*TEXTS)
    dry = (await gateway.post(f"{SPACE}/erase", {"subject": "Mira", "dry_run": True})).json()
    assert (dry["memories"], dry["dry_run"]) == (2, True)
    assert (await gateway.get(f"{SPACE}/memories/{ids[0]}")).json()["text"] == TEXTS[0]
    erasing = asyncio.create_task(gateway.post(f"{SPACE}/erase", {"subject": "Mira"}))
    refused = None
    while refused is None and not erasing.done():
        answer = await gateway.get(SPACE)
        refused = answer if answer.status_code == 503 else None
        await asyncio.sleep(0)
    erased = (await erasing).json()
    assert (erased["memories"], erased["remains"]["messages"]) == (2, 2)
    assert refused is not None
    assert "an erasure is under way" in refused.json()["detail"]
    gone = (await gateway.get(f"{SPACE}/memories/{ids[0]}")).json()
    assert (gone["text"], gone["erased"]) == ("", True)
    again = await gateway.post(f"{SPACE}/messages?wait=searchable", said("I am new here.", speaker="Tom"))
    assert again.json()["searchable"]
    assert (await gateway.post(f"{SPACE}/erase", {"subject": "Nobody"})).status_code == 400
    assert (await gateway.get(SPACE)).status_code == 200


async def test_appends_beside_an_erasure_lose_nothing(gateway: Gateway) -> None:
    """Those that are answered well are there; the others were told to come again."""
    await gateway.remember(*TEXTS)
    stop = asyncio.Event()
    kept: list[str] = []

    async def append(worker: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            message = said(f"Turn {number}.", speaker="Tom", conversation=f"c{worker}", message_id=f"{worker}-{number}")
            answer = await gateway.post(f"{SPACE}/messages", message)
            assert answer.status_code in (201, 503), answer.text
            if answer.status_code == 201:
                kept.append(answer.json()["memory_id"])
            await asyncio.sleep(0.001)

    workers = [asyncio.create_task(append(worker)) for worker in range(3)]
    await asyncio.sleep(0.05)
    assert (await gateway.post(f"{SPACE}/erase", {"subject": "Mira"})).status_code == 200
    await asyncio.sleep(0.05)
    stop.set()
    await asyncio.gather(*workers)
    await gateway.settle()
    found = await gateway.memory.turns("acme/mira", kept)
    assert len(found) == len(kept) > 0


async def read(following: Following, gateway: Gateway, count: int) -> list[dict[str, Any]]:
    """Return the next events of a stream."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        parts: AsyncIterator[bytes] = following.parts(gateway.service)
        async for part in parts:
            lines = dict(line.split(": ", 1) for line in part.decode().strip().splitlines())
            found.append({**json.loads(lines["data"]), "event": lines["event"], "position_id": lines["id"]})
            if len(found) == count:
                return found
    raise AssertionError(found)


async def test_events_are_followed(gateway: Gateway) -> None:
    """Those of the space alone, as they come, and on behind any of them."""
    first = await Following.open(gateway.memory, "acme/mira", positions_of(FIRST))
    waiting = asyncio.create_task(read(first, gateway, 3))
    await gateway.remember("Nothing for you.", space="/v1/spaces/acme/tom")
    _, recall = await recalled(gateway)
    events = await waiting
    assert [one["event"] for one in events] == ["conversation.message.v1"] * 2 + ["memory.recalled.v1"]
    assert [one["data"]["text"] for one in events[:2]] == [*TEXTS]
    assert events[2]["id"] == recall
    assert {one["space"] for one in events} == {"acme/mira"}
    again = await Following.open(gateway.memory, "acme/mira", positions_of(events[0]["position_id"]))
    assert [one["id"] for one in await read(again, gateway, 2)] == [one["id"] for one in events[1:]]


async def test_erased_words_are_not_told_again(gateway: Gateway) -> None:
    """The log may hold them still; who begins at the first event does not get them. A stream ends at an erasure."""
    await recalled(gateway)
    open_stream = await Following.open(gateway.memory, "acme/mira", None)

    async def everything() -> list[bytes]:
        return [part async for part in open_stream.parts(gateway.service)]

    ending = asyncio.create_task(everything())
    await asyncio.sleep(0.01)
    assert (await gateway.post(f"{SPACE}/erase", {"subject": "Mira"})).status_code == 200
    async with asyncio.timeout(30):
        await ending
    after = await Following.open(gateway.memory, "acme/mira", positions_of(FIRST))
    events = await read(after, gateway, 3)
    assert [one["data"].get("text") for one in events[:2]] == ["[erased]"] * 2
    assert "Lisbon" not in json.dumps(events)


@pytest.mark.parametrize("told", [1, 3])
async def test_who_reads_slowly_is_told_nothing_that_was_erased_meanwhile(gateway: Gateway, told: int) -> None:
    """Neither what was read from the log before, nor what stands behind it; the stream ends."""
    await recalled(gateway)
    following = await Following.open(gateway.memory, "acme/mira", positions_of(FIRST))
    parts = following.parts(gateway.service)
    for _ in range(told):
        await anext(parts)
    await gateway.post(f"{SPACE}/messages?wait=searchable", said("The cellar is in Bergen."))
    assert (await gateway.post(f"{SPACE}/erase", {"subject": "Mira"})).status_code == 200
    async with asyncio.timeout(10):
        assert [part async for part in parts] == []


async def test_a_stream_ends_with_the_gateway(gateway: Gateway) -> None:
    gateway.service.ending.set()
    answer = await gateway.get(f"{SPACE}/events")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert answer.text == ": helamem\n\n"


@pytest.mark.parametrize("id_", ["x", "1-2", "1-0-0-0-0-0-0", "1-0-0-0-0-x", "9-0-0-0-0-0", "1-" + "9" * 100])
async def test_an_id_that_no_event_had_is_refused(gateway: Gateway, id_: str) -> None:
    gateway.service.ending.set()
    answer = await gateway.get(f"{SPACE}/events", headers={"Last-Event-ID": id_})
    assert answer.status_code == 400


async def test_only_so_many_streams(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("helamem.streams.gateway.service.MOST_STREAMS", 0)
    assert (await gateway.get(f"{SPACE}/events")).status_code == 503


async def test_one_past_state_at_a_time(gateway: Gateway) -> None:
    async with gateway.service.rebuilding():
        answer = await gateway.get(f"{SPACE}/diff")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_what_fails_while_it_follows_ends_the_gateway(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs it gets the error."""

    async def fails(_: object) -> None:
        raise BadInput("the disk is gone")

    @asynccontextmanager
    async def memory() -> AsyncIterator[AsyncMemory]:
        yield gateway.memory

    async def serve() -> None:
        async with Held(memory, follows=True).running():
            await asyncio.Event().wait()

    monkeypatch.setattr(gateway.memory.instance, "follow", fails)
    with pytest.raises(BadInput, match="is gone"):
        async with asyncio.timeout(10):
            await serve()


async def test_a_memory_that_cannot_be_opened_again_ends_the_gateway(gateway: Gateway) -> None:
    """Whoever runs it gets the error."""
    opened = 0

    @asynccontextmanager
    async def failing() -> AsyncIterator[AsyncMemory]:
        nonlocal opened
        opened += 1
        if opened == 2:
            raise BadInput("the home is gone")
        yield gateway.memory

    async def serve() -> None:
        held = Held(failing, follows=False)
        async with held.running(), held.closed("work"):
            pass

    with pytest.raises(BadInput, match="is gone"):
        await serve()


@pytest.mark.parametrize("erasing", [False, True])
async def test_it_ends_while_its_memory_is_being_opened(gateway: Gateway, *, erasing: bool) -> None:
    """The first time, or again after an erasure: at a signal the task that holds it is cancelled."""
    opening, go_on = asyncio.Event(), asyncio.Event()
    opened = 0

    @asynccontextmanager
    async def slow() -> AsyncIterator[AsyncMemory]:
        nonlocal opened
        opened += 1
        if opened == (2 if erasing else 1):
            opening.set()
            await go_on.wait()
        yield gateway.memory

    held = Held(slow, follows=False)

    async def serve() -> None:
        async with held.running(), held.closed("an erasure is under way"):
            pass

    serving = asyncio.create_task(serve())
    async with asyncio.timeout(5):
        await opening.wait()
        serving.cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait([serving])
    assert serving.cancelled()
