"""The history of a space over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from helamem.schemas.errors import RetryLater
from helamem.streams.gateway.cursors import cursor_of
from helamem.streams.gateway.history_answers import HistoryOut
from helamem.streams.gateway.walks import KEPT
from helamem.streams.history import Walk
from streams.gateway.asking import SPACE, Gateway, said

TEXTS = ("We have moved from Lisbon to Bergen.", "The piano arrived in Bergen.", "Bergen is full of rain.")
HISTORY = f"{SPACE}/history"


async def lived(gateway: Gateway) -> list[str]:
    """Return memories that are linked."""
    ids = await gateway.remember(*TEXTS)
    recall = (await gateway.post(f"{SPACE}/recall", {"query": "Bergen"})).json()
    await gateway.post(f"{SPACE}/reinforce", {"recall_id": recall["recall_id"], "memory_ids": ids[:2]})
    async with asyncio.timeout(30):
        while not (await gateway.get(f"{SPACE}/facts")).json()["facts"]:  # noqa: ASYNC110 - what follows from all else
            await asyncio.sleep(0.01)
    return ids


async def asked(gateway: Gateway, **query: Any) -> dict[str, Any]:
    answer = await gateway.get(HISTORY, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    HistoryOut.model_validate(found, extra="forbid")
    return found


async def paged(gateway: Gateway, limit: int) -> list[dict[str, Any]]:
    page = await asked(gateway, limit=limit)
    changes: list[dict[str, Any]] = page["changes"]
    while page["next"] is not None:
        assert page["next"] == page["resume"]
        page = await asked(gateway, limit=limit, cursor=page["next"])
        changes += page["changes"]
    return changes


async def test_the_links_in_it_are_those_of_the_neighbours(gateway: Gateway) -> None:
    """By weight and time, where nothing has faded; and the memories follow each other as they were said."""
    ids = await lived(gateway)
    found = await asked(gateway)
    edges = {}
    for change in found["changes"]:
        for edge in change.get("edges", ()):
            edges[frozenset(edge["memory_ids"])] = edge["weight"], edge["last_strengthened"]
    assert {change["kind"] for change in found["changes"]} == {"memory", "links", "fact"}
    for id_ in ids:
        answer = await gateway.get(f"{SPACE}/memories/{id_}/neighbours", params={"as_of": "1971-01-01T00:00:00Z"})
        links = {frozenset((id_, one["memory_id"])): one for one in answer.json()["neighbours"]}
        assert {pair: (one["weight"], one["last_strengthened"]) for pair, one in links.items()} == {
            pair: edge for pair, edge in edges.items() if id_ in pair
        }
    said_ = [change for change in found["changes"] if change["kind"] == "memory"]
    assert [(one["memory_id"], one["previous"], one["text"]) for one in said_] == [
        *zip(ids, [None, *ids], TEXTS, strict=False)
    ]
    facts = (await gateway.get(f"{SPACE}/facts")).json()["facts"]
    told = {change["fact_id"]: change["statement"] for change in found["changes"] if change["kind"] == "fact"}
    assert told == {fact["id"]: fact["text"] for fact in facts}
    assert found["half_life_s"] == gateway.memory.instance.settings.hebbian.half_life_s


@pytest.mark.parametrize("limit", [1, 2, 1000])
async def test_it_is_told_page_by_page(gateway: Gateway, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same whether the walk was kept or the log is folded again; and what comes later is told by `resume`."""
    await lived(gateway)
    whole = (await asked(gateway))["changes"]
    assert await paged(gateway, limit) == whole
    monkeypatch.setattr("helamem.streams.gateway.walks.KEPT", 0)
    assert await paged(gateway, limit) == whole
    here = (await asked(gateway))["resume"]
    assert (await asked(gateway, cursor=here))["changes"] == []
    await gateway.post(f"{SPACE}/messages?wait=searchable", said("It snows in Bergen.", message_id="later"))
    later = await asked(gateway, cursor=here)
    assert [change["text"] for change in later["changes"]] == ["It snows in Bergen."]


async def test_pages_that_follow_each_other_fold_the_log_once(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lived(gateway)
    page = await asked(gateway, limit=1)

    async def again(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Walk, "skip", again)
    assert (await asked(gateway, limit=1, cursor=page["next"]))["changes"]


async def test_a_busy_tenant_displaces_its_own_walks(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others go on where they were, also once it has paged through as many spaces as are kept."""
    spaces = ["other/a", *(f"acme/{number}" for number in range(KEPT + 1)), "third/a"]
    cursors = {}
    for space in spaces:
        for text in TEXTS:
            assert (await gateway.post(f"/v1/spaces/{space}/messages", said(text))).status_code == 201
        page = await gateway.get(f"/v1/spaces/{space}/history", params={"limit": 1})
        cursors[space] = page.json()["next"]

    async def refused(*_: object) -> None:
        raise RetryLater("the log would be folded again")

    monkeypatch.setattr(Walk, "skip", refused)
    went_on = {
        space: (await gateway.get(f"/v1/spaces/{space}/history", params={"limit": 1, "cursor": cursor})).is_success
        for space, cursor in cursors.items()
    }
    assert [space for space in spaces if went_on[space]] == ["other/a", "acme/3", "acme/4", "third/a"]


async def test_a_page_holds_only_so_many_links(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    await lived(gateway)
    monkeypatch.setattr("helamem.streams.history.MOST_EDGES", 1)
    links = [change for change in (await asked(gateway))["changes"] if change["kind"] == "links"]
    assert len(links) == 1


async def test_erased_words_are_in_no_page(gateway: Gateway) -> None:
    """Nor in one that goes on where a walk was before the erasure."""
    await lived(gateway)
    page = await asked(gateway, limit=1)
    assert TEXTS[0] in json.dumps(page)
    assert '"query": "Bergen"' in json.dumps(await asked(gateway))
    assert (await gateway.post(f"{SPACE}/erase", {"subject": "Mira"})).status_code == 200
    rest = await asked(gateway, cursor=page["next"])
    changes = [*(await asked(gateway))["changes"]]
    assert changes[1:][: len(rest["changes"])] == rest["changes"]
    assert "Lisbon" not in json.dumps(changes)
    assert changes[-1]["kind"] == "erased"
    assert [change["query"] for change in changes if change["kind"] == "links"] == [None, None]
    assert [change["text"] for change in changes if change["kind"] == "memory"] == [None] * len(TEXTS)


async def test_a_log_is_folded_again_one_at_a_time(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    await lived(gateway)
    monkeypatch.setattr("helamem.streams.gateway.walks.KEPT", 0)
    cursor = (await asked(gateway, limit=1))["next"]
    async with gateway.service.rebuilding():
        answer = await gateway.get(HISTORY, params={"cursor": cursor})
    assert answer.status_code == 503


@pytest.mark.parametrize(
    "positions",
    [[1, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, -1], [1, 10**15, 0, 0, 0, 0], ["x"] * 6, [True] * 6],
)
async def test_a_cursor_that_no_page_gave_is_refused(gateway: Gateway, positions: list[Any]) -> None:
    answer = await gateway.get(HISTORY, params={"cursor": cursor_of(positions)})
    assert answer.status_code == 400
    assert "leave" in answer.json()["detail"]
