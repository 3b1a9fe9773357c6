"""Over HTTP memories are listed, hidden from recall and brought back."""

from __future__ import annotations

from typing import Any

import pytest

from helamem.schemas.topics import CONTROL
from helamem.streams.access.reading import accesses
from streams.gateway.asking import SPACE, Gateway, said

TEXTS = ("We have moved from Lisbon to Bergen.", "The piano arrived in Bergen.")
NOBODY = "0190c0de-1111-4222-8333-444455556666"


async def found(gateway: Gateway) -> set[str]:
    """Return what a recall finds."""
    answer = await gateway.post(f"{SPACE}/recall", {"query": "Bergen", "record": False})
    return {hit["id"] for hit in answer.json()["results"]}


async def mark(gateway: Gateway, what: str, *ids: str, wait: str = "?wait=applied") -> Any:
    body = {"memory_ids": ids, "reason": "a misunderstanding"}
    return await gateway.post(f"{SPACE}/{what}{wait}", body)


async def test_what_is_forgotten_is_not_recalled_until_it_is_restored(gateway: Gateway) -> None:
    """With `wait=applied` the next recall knows of it; the memory itself can still be looked at."""
    first, second = await gateway.remember(*TEXTS)
    answer = await mark(gateway, "forget", first, first)
    assert (answer.status_code, answer.json()) == (200, {"memory_ids": [first], "applied": True})
    assert await found(gateway) == {second}
    listed = (await gateway.get(f"{SPACE}/memories")).json()
    assert [one["id"] for one in listed["memories"]] == [second]
    assert (await gateway.get(f"{SPACE}/memories/{first}")).json()["hidden"] is True
    assert (await mark(gateway, "restore", first)).json()["applied"] is True
    assert await found(gateway) == {first, second}
    assert (await mark(gateway, "forget", second, wait="")).json()["applied"] is None


async def test_one_memory_that_is_not_there_keeps_all_from_being_hidden(gateway: Gateway) -> None:
    """Nor does a memory of another space go, by its id."""
    (first,) = await gateway.remember(TEXTS[0])
    before = await gateway.records(CONTROL.name)
    answer = await mark(gateway, "forget", first, NOBODY)
    assert answer.status_code == 404
    assert NOBODY in answer.json()["detail"]
    body = {"memory_ids": [first], "reason": "because"}
    assert (await gateway.post("/v1/spaces/acme/tom/forget", body)).status_code == 404
    assert await gateway.records(CONTROL.name) == before
    assert await found(gateway) == {first}


async def test_nobody_waits_where_nothing_is_processed(gateway: Gateway) -> None:
    (first,) = await gateway.remember(TEXTS[0])
    gateway.held.follows = False
    answer = await mark(gateway, "forget", first)
    assert answer.status_code == 400
    assert "leave `wait` out" in answer.json()["detail"]


async def test_who_hid_something_is_recorded(gateway: Gateway) -> None:
    """In the log before it is answered, as of an erasure; a key that may only append, or only recall, hides nothing."""
    (first,) = await gateway.remember(TEXTS[0])
    key = gateway.key("acme", "append", "recall")
    body = {"memory_ids": [first], "reason": "because"}
    for lacking in (gateway.key("acme", "append"), gateway.key("acme", "recall")):
        for what in ("forget", "restore"):
            refused = await gateway.client_of(lacking).post(f"{SPACE}/{what}", json=body)
            assert refused.status_code == 403
            assert "needs a key with the rights append and recall" in refused.json()["detail"]
    assert (await gateway.client_of(key).post(f"{SPACE}/forget", json=body)).status_code == 200
    told = await accesses(gateway.memory.instance.log, most=10, space="acme/mira")
    path = "POST /v1/spaces/{tenant}/{name}/forget"
    assert [(one.did, one.status, one.caller) for one in told if one.status == 200] == [(path, 200, key.split("_")[1])]


async def test_memories_are_listed_page_by_page(gateway: Gateway) -> None:
    """By the time at which they were said, all of a space or those of some conversations."""
    batch = [
        said(
            f"Turn {number}.",
            conversation=f"c{number % 3}",
            message_id=f"m{number}",
            time=f"2025-05-1{number}T18:00:00Z",
        )
        for number in (2, 0, 1, 3, 4)
    ]
    await gateway.post(f"{SPACE}/messages/batch?wait=searchable", {"messages": batch})
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await gateway.get(f"{SPACE}/memories?limit=2{cursor and '&cursor=' + cursor}")).json()
        seen += [one["message_id"] for one in page["memories"]]
        cursor = page["next"]
    assert seen == ["m0", "m1", "m2", "m3", "m4"]
    some = (await gateway.get(f"{SPACE}/memories?conversation=c0&conversation=c2&conversation=none")).json()
    assert [one["message_id"] for one in some["memories"]] == ["m0", "m2", "m3"]
    assert (await gateway.get("/v1/spaces/acme/empty/memories")).json() == {"memories": [], "next": None}
    many = "&".join(f"conversation={number}" for number in range(17))
    assert (await gateway.get(f"{SPACE}/memories?{many}")).status_code == 422


@pytest.mark.parametrize("what", ["forget", "restore"])
@pytest.mark.parametrize("change", [{"memory_ids": []}, {"memory_ids": ["x"]}, {"reason": ""}, {"run": NOBODY}])
async def test_what_cannot_be_marked_is_told_by_its_field(gateway: Gateway, what: str, change: dict[str, Any]) -> None:
    body = {"memory_ids": [NOBODY], "reason": "because"} | change
    answer = await gateway.post(f"{SPACE}/{what}", body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith(f"body.{next(iter(change))}")
