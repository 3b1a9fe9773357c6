"""Dead letters over HTTP: seen and redriven by whom they concern."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

from fakes.events import message
from helamem.schemas.errors import Poison
from helamem.schemas.events import SpaceAccessed
from helamem.schemas.records import NewRecord, Record
from helamem.schemas.topics import ACCESS, CONVERSATIONS, inlet_of
from helamem.schemas.wire import Event, decode, encode
from helamem.streams import pump
from helamem.streams.dead_letters import dead_letter
from helamem.streams.inlet.rules import GROUP
from streams.gateway.asking import SPACE, Gateway, said

LETTERS = "/v1/dead-letters"
TORN = b'{"torn \xff'


def refuse(raw: bytes, *more: Any) -> Event:
    if b"newer" in raw:
        raise Poison("cannot be read by this old version", "data")
    return decode(raw, *more)


@pytest.fixture
async def put_aside(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What an older version could not read, of two tenants, and bytes of nobody and of two at once."""
    with monkeypatch.context() as older:
        older.setattr(pump, "decode", refuse)
        for tenant in ("acme", "other"):
            newer = said(f"A newer message of {tenant}.", message_id="m1")
            assert (await gateway.post(f"/v1/spaces/{tenant}/mira/messages", newer)).is_success
        await gateway.memory.instance.log.append(
            [
                NewRecord(topic=CONVERSATIONS.name, key=b"\xff", value=TORN),
                NewRecord(topic=CONVERSATIONS.name, key=b"acme/mira", value=b'{"subject": "other/mira"}'),
            ]
        )
        return await listed(gateway.client, 4)


async def listed(client: httpx.AsyncClient, count: int) -> list[dict[str, Any]]:
    """Return the letters, once there are so many."""
    async with asyncio.timeout(30):
        while True:
            found: list[dict[str, Any]] = (await client.get(LETTERS)).json()["dead_letters"]
            if len(found) == count:
                return found
            await asyncio.sleep(0.01)


async def test_they_are_listed_with_place_and_reason(gateway: Gateway, put_aside: list[dict[str, Any]]) -> None:
    """Oldest first and page by page, without the words; one alone has its bytes, as text where they can be printed."""
    assert sorted(letter["space"] or "" for letter in put_aside) == ["", "", "acme/mira", "other/mira"]
    assert [letter["put_aside"] for letter in put_aside] == sorted(letter["put_aside"] for letter in put_aside)
    mine = next(letter for letter in put_aside if letter["space"] == "acme/mira")
    assert (mine["field"], mine["reason"], mine["group"]) == ("data", "cannot be read by this old version", "encoding")
    assert mine["redriven"] is None
    assert "newer" not in json.dumps(put_aside)
    first = (await gateway.get(LETTERS, params={"limit": 3})).json()
    rest = (await gateway.get(LETTERS, params={"limit": 3, "cursor": first["next"]})).json()
    assert (first["dead_letters"] + rest["dead_letters"], rest["next"]) == (put_aside, None)
    whole = (await gateway.get(f"{LETTERS}/{mine['id']}")).json()
    assert whole == mine | {"key": "acme/mira", "value": whole["value"], "key_base64": None, "value_base64": None}
    assert "A newer message of acme." in whole["value"]
    assert len(whole["value"]) == mine["size_bytes"]
    shown = [(await gateway.get(f"{LETTERS}/{one['id']}")).json() for one in put_aside if one["space"] is None]
    (torn,) = [one for one in shown if one["value"] is None]
    assert (base64.b64decode(torn["value_base64"]), base64.b64decode(torn["key_base64"])) == (TORN, b"\xff")
    assert (await gateway.get(f"{LETTERS}/nobody")).status_code == 404


async def test_a_key_reaches_those_of_its_spaces(gateway: Gateway, put_aside: list[dict[str, Any]]) -> None:
    """Of another tenant, or of nobody knows whom, it sees and redrives none; without the right, none at all."""
    ids = {letter["space"]: letter["id"] for letter in put_aside}
    client = gateway.client_of(gateway.key("acme"))
    (mine,) = await listed(client, 1)
    assert mine["id"] == ids["acme/mira"]
    for letter in put_aside:
        if letter["id"] != mine["id"]:
            assert (await client.get(f"{LETTERS}/{letter['id']}")).status_code == 404
            assert (await client.post(f"{LETTERS}/{letter['id']}/redrive")).status_code == 404
    narrow = gateway.client_of(gateway.key("acme", spaces=("tom*",)))
    assert await listed(narrow, 0) == []
    told = (await client.post(f"{LETTERS}/redrive")).json()
    assert [one["id"] for one in told["outcomes"]] == [mine["id"]]
    other = gateway.client_of(gateway.key("other", "append", "recall", "audit", "erase"))
    for answer in (await other.get(LETTERS), await other.post(f"{LETTERS}/redrive")):
        assert answer.status_code == 403
    owner = gateway.client_of(gateway.service.token)
    assert len(await listed(owner, 4)) == 4


async def test_what_was_mended_takes_effect_once(gateway: Gateway, put_aside: list[dict[str, Any]]) -> None:
    """One, then all: what can be read is appended and processed; the rest is refused with what to do."""
    mine = next(letter for letter in put_aside if letter["space"] == "acme/mira")
    one = (await gateway.client.post(f"{LETTERS}/{mine['id']}/redrive")).json()
    assert (one["redriven"], one["already"], one["refused"], one["next"]) == (1, 0, 0, None)
    place = one["outcomes"][0]["redriven"]
    assert (place["topic"], place["offset"] > mine["position"]["offset"]) == (mine["position"]["topic"], True)
    again = (await gateway.client.post(f"{LETTERS}/{mine['id']}/redrive")).json()
    assert (again["redriven"], again["already"], again["outcomes"][0]["redriven"]) == (0, 1, place)
    outcomes, cursor = [], None
    while True:
        query = {"limit": 1} | ({} if cursor is None else {"cursor": cursor})
        page = (await gateway.client.post(f"{LETTERS}/redrive", params=query)).json()
        outcomes += page["outcomes"]
        if (cursor := page["next"]) is None:
            break
    assert sorted(outcome["appended"] for outcome in outcomes) == [False, False, True]
    assert all("this version cannot read it" in one["refusal"] for one in outcomes if not one["appended"])
    for tenant in ("acme", "other"):
        async with asyncio.timeout(30):
            while not (await gateway.get(f"/v1/spaces/{tenant}/mira")).is_success:  # noqa: ASYNC110 - it is processed
                await asyncio.sleep(0.01)
    found = (await gateway.post(f"{SPACE}/recall", {"query": "message", "record": False})).json()
    assert [hit["text"] for hit in found["results"]] == ["A newer message of acme."]
    redriven = {letter["id"]: letter["redriven"] for letter in await listed(gateway.client, 4)}
    assert redriven[mine["id"]] == place
    assert sum(place is not None for place in redriven.values()) == 2


async def test_a_redrive_ends_where_all_is_put_aside_again(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page it takes each record that there was once, however often these come back meanwhile."""
    monkeypatch.setattr(pump, "decode", refuse)
    for name in ("m1", "m2"):
        await gateway.post(f"{SPACE}/messages", said(f"A newer message {name}.", message_id=name))
    first = await listed(gateway.client, 2)
    tried, query = list[str](), dict[str, Any](limit=1)
    for page in (1, 2):
        answer = (await gateway.client.post(f"{LETTERS}/redrive", params=query)).json()
        tried += [one["id"] for one in answer["outcomes"]]
        await listed(gateway.client, 2 + page)
        query["cursor"] = answer["next"]
    assert (tried, query["cursor"]) == ([letter["id"] for letter in first], None)


async def test_words_that_were_erased_do_not_come_back(gateway: Gateway, put_aside: list[dict[str, Any]]) -> None:
    """What was put aside is theirs too: its letter does not show it any more, and redriven it is a tombstone."""
    mine = next(letter for letter in put_aside if letter["space"] == "acme/mira")
    answer = await gateway.post(f"{SPACE}/erase", {"subject": "Mira"})
    assert (answer.status_code, answer.json()["memories"]) == (200, 1), answer.text
    whole = (await gateway.get(f"{LETTERS}/{mine['id']}")).json()
    assert (whole["value"], whole["value_base64"], whole["key"]) == ("[erased]", None, "acme/mira")
    others = next(letter for letter in put_aside if letter["space"] == "other/mira")
    assert "newer" in (await gateway.get(f"{LETTERS}/{others['id']}")).json()["value"]
    assert (await gateway.client.post(f"{LETTERS}/{mine['id']}/redrive")).json()["redriven"] == 1
    await gateway.settle()
    found = (await gateway.post(f"{SPACE}/recall", {"query": "newer message", "record": False})).json()
    assert found["results"] == []
    again = await gateway.post(f"{SPACE}/erase", {"subject": "Mira"})
    assert (again.json()["memories"], again.json()["erased_before"]) == (0, True)


async def test_what_an_inlet_left_is_not_shown_after_an_erasure(gateway: Gateway) -> None:
    """No erasure names what was never merged: all of a space that was put aside before the last one goes."""
    theirs = message("m2", "I owe Tom money.", space="acme/mira", speaker="Mira")
    log, poison = gateway.memory.instance.log, Poison("is longer than what acme may append here in a day")
    assert (await gateway.post(f"{SPACE}/messages", said())).is_success

    def letter_of(offset: int, value: bytes, key: bytes = b"acme/mira") -> NewRecord:
        at = inlet_of("acme").name
        return dead_letter(
            GROUP, Record(topic=at, partition=0, offset=offset, append_time_ms=0, key=key, value=value), poison
        )

    raws = [encode(theirs), TORN]
    await log.append([letter_of(0, raws[0]), letter_of(1, raws[1]), letter_of(2, raws[0], b"acme/tom")])
    before = await listed(gateway.client, 3)
    assert (await gateway.post(f"{SPACE}/erase", {"subject": "Mira"})).is_success
    gone = [(await gateway.get(f"{LETTERS}/{one['id']}")).json() for one in before]
    assert [(one["value"], one["value_base64"]) for one in gone] == [("[erased]", None)] * 3
    await gateway.memory.instance.log.append([letter_of(3, raws[0])])
    (later,) = [one for one in await listed(gateway.client, 4) if one not in before]
    assert "Tom" in (await gateway.get(f"{LETTERS}/{later['id']}")).json()["value"]


async def test_who_saw_and_redrove_is_recorded(gateway: Gateway, put_aside: list[dict[str, Any]]) -> None:
    """By the space of the letter; a list shows no words and is not."""
    mine = next(letter for letter in put_aside if letter["space"] == "acme/mira")
    client = gateway.client_of(gateway.key("acme"))
    await listed(client, 1)
    for method, path in (("GET", mine["id"]), ("POST", "redrive"), ("POST", f"{mine['id']}/redrive")):
        assert (await client.request(method, f"{LETTERS}/{path}")).is_success
    assert (await client.post(f"{LETTERS}/redrive")).json()["outcomes"] == []
    await gateway.service.trail.flush_surely()
    log = gateway.memory.instance.log
    records = [record for place in await log.partitions(ACCESS.name) for record in await log.read(place, 0)]
    events = [decode(record.value) for record in records]
    told = [(one.space, one.data.endpoint) for one in events if isinstance(one.data, SpaceAccessed)]
    assert sorted(told) == [
        ("acme/mira", f"GET {LETTERS}/{{letter_id}}"),
        ("acme/mira", f"POST {LETTERS}/redrive"),
        ("acme/mira", f"POST {LETTERS}/{{letter_id}}/redrive"),
    ]
