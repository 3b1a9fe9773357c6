"""Who looked at what is in the log: soon after it was answered, and before it where something was changed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from helamem.processors.digest import digest
from helamem.schemas.errors import RetryLater
from helamem.schemas.events import KeyChanged
from helamem.schemas.topics import ACCESS
from helamem.streams.access import refusals, trail
from helamem.streams.access.reading import Access, accesses
from helamem.streams.access.records import OF_KEYS
from helamem.streams.gateway.keys import FILE
from helamem.streams.gateway.rights import NEEDED, is_recorded
from streams.gateway.asking import SPACE, Gateway

NOBODY = "0190c0de-1111-4222-8333-444455556666"
PATH = "/v1/spaces/{tenant}/{name}"
TEXTS = ("We have moved from Lisbon to Bergen.", "The piano arrived in Bergen.")
SHOWN = [
    "GET /facts",
    "GET /profile",
    "GET /memories",
    "GET /memories/{memory_id}",
    "GET /memories/{memory_id}/neighbours",
    "GET /why/{id}",
    "GET /trace/{event_id}",
    "GET /diff",
    "GET /history",
    "GET /events",
]
"""What shows words of a space and is no event of its own."""


def id_of(key: str) -> str:
    return key.split("_")[1]


async def told(gateway: Gateway, **only: Any) -> list[Access]:
    """Return what is in the log of accesses, changes of keys left out."""
    await gateway.service.trail.flush()
    found = await accesses(gateway.memory.instance.log, **{"most": 1000, **only})
    return [one for one in found if one.space != OF_KEYS]


async def noted(gateway: Gateway, count: int) -> None:
    """Wait until so many records are in the log of accesses."""
    log = gateway.memory.instance.log
    while await gateway.records(ACCESS.name) < count:
        await log.wait_for_append(await log.end_offsets(await log.partitions(ACCESS.name)), 1.0)


async def test_what_shows_words_is_recorded_with_its_key(gateway: Gateway) -> None:
    """Each with its endpoint, its space, its status and the memory that was asked for; never the key."""
    ids = await gateway.remember(*TEXTS)
    recall = (await gateway.post(f"{SPACE}/recall", {"query": "Bergen"})).json()["recall_id"]
    key = gateway.key()
    client = gateway.client_of(key)
    gateway.service.ending.set()  # what would follow events for ever ends at once
    for endpoint in SHOWN:
        path = endpoint.partition(" ")[2].format(memory_id=ids[0], id=ids[0], event_id=recall)
        assert (await client.get(SPACE + path)).status_code == 200, path
    found = await told(gateway)
    assert [one.did for one in found] == [one.replace(" ", f" {PATH}") for one in SHOWN]
    assert {(one.caller, one.space, one.status) for one in found} == {(id_of(key), "acme/mira", 200)}
    assert [one.item for one in found] == [*[None] * 3, *[ids[0]] * 3, *[None] * 4]
    log = gateway.memory.instance.log
    for place in await log.partitions(ACCESS.name):
        assert key not in str(await log.read(place, 0))


async def test_every_endpoint_that_shows_words_is_recorded() -> None:
    """A new one is recorded unless somebody says that it shows nothing."""
    recorded = {(method, path) for method, path in NEEDED if is_recorded(method, path)}
    known = {
        tuple(one.replace(" ", f" {PATH}").split(" "))
        for one in (*SHOWN, "POST /erase", "POST /forget", "POST /restore")
    }
    assert recorded >= known
    assert not {path for _, path in recorded} & {"/metrics", "/live", "/v1/spaces", f"{PATH}/messages"}


async def test_a_recall_says_itself_who_asked(gateway: Gateway) -> None:
    """The event of a recall names its caller, and no further record does; without an event there is one."""
    key = gateway.key()
    client = gateway.client_of(key)
    await client.post(f"{SPACE}/recall", json={"query": "Who?"})
    await client.post("/v1/recall", json={"query": "Who?", "spaces": ["acme/mira", "acme/team"]})
    found = await told(gateway)
    assert sorted((one.did, one.space, one.caller) for one in found) == [
        ("memory.recalled.v1", "acme/mira", id_of(key)),
        ("memory.recalled.v1", "acme/mira", id_of(key)),
        ("memory.recalled.v1", "acme/team", id_of(key)),
    ]
    await client.post("/v1/recall", json={"query": "Who?", "spaces": ["acme/mira", "acme/team"], "record": False})
    assert sorted((one.did, one.space) for one in await told(gateway) if one.status) == [
        ("POST /v1/recall", "acme/mira"),
        ("POST /v1/recall", "acme/team"),
    ]


async def test_who_is_refused_is_recorded(gateway: Gateway) -> None:
    """By the space that they named, wherever they asked; what can be no space is not."""
    client = gateway.client_of(gateway.key("other"))
    await client.get(f"{SPACE}/facts")
    await client.post(f"{SPACE}/recall", json={"query": "Who?"})
    await client.post("/v1/recall", json={"query": "Who?", "spaces": ["other/a", "acme/mira"]})
    await client.get("/v1/spaces/acme/no%20space/facts")
    assert [(one.did, one.space, one.status) for one in await told(gateway)] == [
        (f"GET {PATH}/facts", "acme/mira", 403),
        (f"POST {PATH}/recall", "acme/mira", 403),
        ("POST /v1/recall", "acme/mira", 403),
    ]


async def test_refusals_are_bounded(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same is recorded once in a while, so many of a caller, and none where as many records wait as may."""
    monkeypatch.setattr(refusals, "MOST_OF_CALLER", 3)
    now = [10**12]
    gateway.service.trail._clock = lambda: now[0]
    client = gateway.client_of(gateway.key("other"))
    for name in ("a", "a", "b", "a", "c", "d"):
        assert (await client.get(f"/v1/spaces/acme/{name}/facts")).status_code == 403
    assert sorted(one.space for one in await told(gateway)) == ["acme/a", "acme/b", "acme/c"]
    now[0] += refusals.AGAIN_MS
    for _ in range(2):
        await client.get("/v1/spaces/acme/a/facts")
    assert len(await told(gateway)) == 4
    logged: list[str] = []
    monkeypatch.setattr(trail._log, "error", lambda text, *values: logged.append(text % values))
    monkeypatch.setattr(trail, "MOST_WAITING", 1)
    now[0] += refusals.AGAIN_MS
    await client.get("/v1/spaces/acme/a/facts")
    owner = gateway.client_of(gateway.service.token)
    for _ in range(2):
        assert (await client.get("/v1/spaces/acme/b/facts")).status_code == 403
        assert (await owner.post(f"{SPACE}/erase", json={"subject": "Mira", "dry_run": True})).status_code == 503
    assert [one.space for one in await told(gateway)][4:] == ["acme/a"]
    assert logged == ["refusals were not recorded while too many accesses waited: 2"]


async def test_without_keys_nothing_is_recorded(gateway: Gateway) -> None:
    """Nobody is told from others; recalls have no caller. With keys the owner of the home has a name too."""
    await gateway.get(f"{SPACE}/facts")
    await gateway.post(f"{SPACE}/recall", {"query": "Who?"})
    owner = gateway.client_of(gateway.service.token)
    await owner.get(f"{SPACE}/facts")
    assert await told(gateway) == []
    gateway.key()
    await owner.get(f"{SPACE}/facts")
    assert [one.caller for one in await told(gateway)] == ["owner"]


async def test_an_erasure_is_in_the_log_before_it_is_answered(gateway: Gateway) -> None:
    """Without waiting for what flushes; a dry run says that it was one."""
    await gateway.remember(*TEXTS)
    client = gateway.client_of(gateway.key())
    before = await gateway.records(ACCESS.name)
    for dry_run, count in ((True, 1), (False, 1)):
        body = {"subject": "Mira", "dry_run": dry_run}
        assert (await client.post(f"{SPACE}/erase", json=body)).status_code == 200
        now = await gateway.records(ACCESS.name)
        assert now - before >= count
        before = now
    assert [one.did for one in await told(gateway)] == [f"POST {PATH}/erase (dry run)", f"POST {PATH}/erase"]


async def test_what_cannot_be_recorded_is_not_answered(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """An erasure whose record cannot be written is 503; too many reads that wait for the log are, too."""
    await gateway.remember(*TEXTS)
    client = gateway.client_of(gateway.key())
    monkeypatch.setattr(trail, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(trail, "MOST_WAITING", 2)
    log = gateway.memory.instance.log
    append, away = type(log).append, True

    async def full(self: Any, records: Any) -> Any:
        if away and any(record.topic == ACCESS.name for record in records):
            raise RetryLater("the disk is full")
        return await append(self, records)

    monkeypatch.setattr(type(log), "append", full)
    answer = await client.post(f"{SPACE}/erase", json={"subject": "Mira", "dry_run": True})
    assert answer.status_code == 503
    assert "could not be recorded yet: the disk is full" in answer.json()["detail"]
    assert (await client.get(f"{SPACE}/facts")).status_code == 200
    refused = await client.get(f"{SPACE}/facts")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert (await client.post(f"{SPACE}/recall", json={"query": "Who?"})).status_code == 200
    away = False
    assert [one.status for one in await told(gateway)] == [200, 200, None]
    assert (await client.get(f"{SPACE}/facts")).status_code == 200


async def test_what_is_noted_is_soon_in_the_log(gateway: Gateway) -> None:
    """Also while the memory is closed in between, and what is noted last at the end."""
    client = gateway.client_of(gateway.key())
    async with gateway.service.trail.running():
        await client.get(f"{SPACE}/facts")
        await noted(gateway, 2)  # the key, and the access
        async with gateway.held.closed("for a while"):
            await asyncio.sleep(2 * trail.FLUSH_S)
        await client.get(f"{SPACE}/profile")
    assert await gateway.records(ACCESS.name) == 3


async def test_it_goes_on_when_the_keys_cannot_be_read_for_a_while(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was noted waits until they can; at the end nothing is raised, and the log says how much is lost."""
    logged = asyncio.Queue[str]()
    monkeypatch.setattr(trail._log, "error", lambda text, *values: logged.put_nowait(text % values))
    monkeypatch.setattr(trail, "FLUSH_S", 0.01)
    client = gateway.client_of(gateway.key())
    file, aside = gateway.home / FILE, gateway.home / "aside"
    async with gateway.service.trail.running(), asyncio.timeout(30):
        await client.get(f"{SPACE}/facts")
        file.rename(aside)
        file.mkdir()
        assert "accesses cannot be recorded" in await logged.get()
        file.rmdir()
        aside.rename(file)
        await noted(gateway, 2)  # the key, and the access
        await client.get(f"{SPACE}/facts")
        file.rename(aside)
        file.mkdir()
    *_, last = [logged.get_nowait() for _ in range(logged.qsize())]
    assert last.startswith("accesses were not recorded: 1, since ")


async def test_changes_of_keys_are_recorded_once(gateway: Gateway) -> None:
    """They stand in the file of the keys from the moment at which they count, until they are in the log."""
    keys, log = gateway.service.keys, gateway.memory.instance.log
    key = gateway.key("acme", "recall", spaces=("mira",))
    keys.revoke(id_of(key), lambda: 7)
    pending = keys.unrecorded()
    assert [one.did for one in await accesses(log, most=9, pending=pending)] == [
        "key added for acme",
        "key revoked for acme",
    ]
    await gateway.service.trail.flush()
    assert keys.unrecorded() == []
    assert len(await accesses(log, most=9, pending=pending)) == 2
    assert len(await accesses(log, most=9, caller=id_of(key))) == 2
    assert await gateway.records(ACCESS.name) == 2


async def test_a_change_that_fits_into_no_record_holds_up_nothing(gateway: Gateway) -> None:
    """It stays in the file, where it is told, and everything else gets into the log."""
    key, other = gateway.key(), gateway.key()
    file = gateway.home / FILE
    kept = json.loads(file.read_text())
    kept["keys"][0]["spaces"] = ["*"] * 1001
    file.write_text(json.dumps(kept))
    await gateway.client_of(other).get(f"{SPACE}/facts")
    assert [one.caller for one in await told(gateway)] == [id_of(other)]
    pending = gateway.service.keys.unrecorded()
    assert [one.data.key for one in pending if isinstance(one.data, KeyChanged)] == [id_of(key)]


async def test_nothing_is_folded_of_accesses(gateway: Gateway) -> None:
    """The digest is the same with and without them, and so is what a recall finds, but for who asked."""
    await gateway.remember(*TEXTS)
    before = await digest(gateway.memory.instance.store)
    client = gateway.client_of(gateway.key())
    for _ in range(3):
        await client.get(f"{SPACE}/facts")
    await gateway.service.trail.flush()
    await gateway.settle()
    assert await digest(gateway.memory.instance.store) == before


async def test_the_newest_are_told_of_one_space_one_key_and_since(gateway: Gateway) -> None:
    one, other = gateway.key(), gateway.key("other")
    for _ in range(3):
        await gateway.client_of(one).get(f"{SPACE}/facts")
        await gateway.client_of(other).get("/v1/spaces/other/mira/profile")
    everything = await told(gateway)
    assert len(everything) == 6
    assert await told(gateway, space="acme/mira") == [row for row in everything if row.space == "acme/mira"]
    others = [row for row in everything if row.caller == id_of(other)]
    assert await told(gateway, caller=id_of(other)) == others
    assert await told(gateway, caller=id_of(other), most=1) == others[-1:]
    since_ms = everything[3].time_ms
    assert await told(gateway, since_ms=since_ms) == [row for row in everything if row.time_ms >= since_ms]
    assert await told(gateway, since_ms=everything[-1].time_ms + 1) == []
