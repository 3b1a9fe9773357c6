"""Recalling over HTTP, and what else is asked of a space."""

from __future__ import annotations

from helamem.schemas.topics import RECALLS
from streams.gateway.asking import SPACE, Gateway

TEXTS = ("We have moved from Lisbon to Bergen.", "The piano arrived in Bergen.", "I bake bread on Sundays.")


async def test_a_recall_is_answered_and_recorded(gateway: Gateway) -> None:
    """The same as the library answers; unrecorded it leaves no trace and has no id."""
    ids = await gateway.remember(*TEXTS)
    before = await gateway.records(RECALLS.name)
    answer = (await gateway.post(f"{SPACE}/recall", {"query": "Where does Mira live?", "k": 2, "m": 0})).json()
    expected = await gateway.memory.recall("acme/mira", "Where does Mira live?", k=2, m=0, record=False)
    assert [hit["id"] for hit in answer["results"]] == [hit.result.id for hit in expected.hits]
    assert answer["results"][0]["id"] in ids
    assert answer["recorded"]
    assert await gateway.records(RECALLS.name) == before + 1
    silent = (await gateway.post(f"{SPACE}/recall", {"query": "Where?", "record": False})).json()
    assert (silent["recall_id"], silent["recorded"]) == (None, False)
    assert await gateway.records(RECALLS.name) == before + 1


async def test_a_context_is_a_block_for_a_prompt(gateway: Gateway) -> None:
    await gateway.remember(*TEXTS)
    answer = (await gateway.post(f"{SPACE}/recall", {"query": "Bergen", "context": True, "token_budget": 60})).json()
    assert "Bergen" in answer["context"]
    assert 0 < answer["tokens"] <= 60


async def test_as_of_finds_nothing_later(gateway: Gateway) -> None:
    await gateway.remember(*TEXTS)
    asked = {"query": "Bergen", "as_of": "2025-05-12T17:00:00+00:00"}
    assert (await gateway.post(f"{SPACE}/recall", asked)).json()["results"] == []


async def test_several_spaces_are_asked_at_once(gateway: Gateway) -> None:
    """Each has an answer and an event of its own; one named twice is asked once."""
    await gateway.remember(*TEXTS)
    await gateway.remember("The team meets on Mondays.", space="/v1/spaces/acme/team")
    before = await gateway.records(RECALLS.name)
    asked = {"query": "When does the team meet?", "spaces": ["acme/team", "acme/mira", "acme/team"]}
    answer = (await gateway.post("/v1/recall", asked)).json()
    assert [one["space"] for one in answer["recalls"]] == ["acme/team", "acme/mira"]
    assert answer["recalls"][0]["results"][0]["text"] == "The team meets on Mondays."
    assert await gateway.records(RECALLS.name) == before + 2


async def test_what_is_reinforced_is_linked(gateway: Gateway) -> None:
    """Once for an Idempotency-Key; the neighbours of a memory say how strongly."""
    ids = await gateway.remember(*TEXTS)
    recall = (await gateway.post(f"{SPACE}/recall", {"query": "Bergen"})).json()
    useful = {"recall_id": recall["recall_id"], "memory_ids": ids[:2]}
    for _ in range(3):
        answer = await gateway.post(f"{SPACE}/reinforce", useful, headers={"Idempotency-Key": "k"})
        assert answer.json() == {"recall_id": recall["recall_id"], "reinforced": ids[:2]}
    await gateway.settle()
    path = f"{SPACE}/memories/{ids[0]}/neighbours"
    as_of = {"as_of": recall["as_of"]}
    found = (await gateway.get(path, params=as_of)).json()
    assert found["memory"]["text"] == TEXTS[0]
    first, second = found["neighbours"]
    assert (first["memory_id"], first["memory"]["text"]) == (ids[1], TEXTS[1])
    eta = gateway.memory.instance.settings.hebbian
    assert abs(first["weight"] - second["weight"] - eta.eta_reinforced) < 1e-6


async def test_a_key_that_reinforced_others_is_a_conflict(gateway: Gateway) -> None:
    """Nothing is appended and nothing is called reinforced; a retry appends nothing, and another recall is another."""
    ids = await gateway.remember(*TEXTS)
    recalls = [(await gateway.post(f"{SPACE}/recall", {"query": "Bergen"})).json()["recall_id"] for _ in range(2)]
    key = {"Idempotency-Key": "k"}
    first = {"recall_id": recalls[0], "memory_ids": ids[:2]}
    assert (await gateway.post(f"{SPACE}/reinforce", first, headers=key)).status_code == 200
    before = await gateway.records(RECALLS.name)
    assert (await gateway.post(f"{SPACE}/reinforce", first, headers=key)).json()["reinforced"] == ids[:2]
    answer = await gateway.post(f"{SPACE}/reinforce", {**first, "memory_ids": ids[1:]}, headers=key)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:helamem:problem:conflict")
    assert "a key of its own" in answer.json()["detail"]
    assert await gateway.records(RECALLS.name) == before
    second = {"recall_id": recalls[1], "memory_ids": ids[1:]}
    assert (await gateway.post(f"{SPACE}/reinforce", second, headers=key)).json()["reinforced"] == ids[1:]
    assert await gateway.records(RECALLS.name) == before + 1


async def test_what_is_not_there_is_404(gateway: Gateway) -> None:
    """A recall, a memory and a space that nobody knows; what a recall did not return is the caller's mistake."""
    (id_,) = await gateway.remember(TEXTS[0])
    nobody = "0190c0de-1111-4222-8333-444455556666"
    recall = (await gateway.post(f"{SPACE}/recall", {"query": "Bergen"})).json()["recall_id"]
    for recall_id, memory, status in ((nobody, id_, 404), (recall, nobody, 400)):
        body = {"recall_id": recall_id, "memory_ids": [memory]}
        assert (await gateway.post(f"{SPACE}/reinforce", body)).status_code == status
    for path in (f"{SPACE}/memories/{nobody}", f"{SPACE}/memories/{nobody}/neighbours", "/v1/spaces/acme/nobody"):
        answer = await gateway.get(path)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:helamem:problem:not-found")


async def test_a_memory_is_shown(gateway: Gateway) -> None:
    ids = await gateway.remember(*TEXTS)
    found = (await gateway.get(f"{SPACE}/memories/{ids[1]}")).json()
    assert (found["text"], found["previous"], found["turn"]) == (TEXTS[1], ids[0], 1)
    assert not found["hidden"]


async def test_facts_and_profile(gateway: Gateway) -> None:
    """Facts come page by page, each once and in order; the profile says what holds."""
    ids = await gateway.remember(*TEXTS)
    for number in range(6):
        recall = (await gateway.post(f"{SPACE}/recall", {"query": "Bergen Sundays"})).json()
        body = {"recall_id": recall["recall_id"], "memory_ids": ids}
        await gateway.post(f"{SPACE}/reinforce", body, headers={"Idempotency-Key": str(number)})
    await gateway.settle()
    everything = (await gateway.get(f"{SPACE}/facts")).json()
    assert everything["next"] is None
    assert len(everything["facts"]) > 1
    paged, cursor = [], None
    while True:
        params = {"limit": 1} | ({} if cursor is None else {"cursor": cursor})
        page = (await gateway.get(f"{SPACE}/facts", params=params)).json()
        paged += page["facts"]
        cursor = page["next"]
        if cursor is None:
            break
    assert paged == everything["facts"]
    assert set(paged[0]["evidence"]) <= set(ids)
    told = (await gateway.get(f"{SPACE}/profile")).json()
    assert [person["subject"] for person in told["user_model"]] == ["Mira"]


async def test_spaces_come_page_by_page(gateway: Gateway) -> None:
    """By name; a cursor that no page gave is refused."""
    for name in ("c", "a", "b"):
        await gateway.remember("Hello there.", space=f"/v1/spaces/acme/{name}")
    first = (await gateway.get("/v1/spaces", params={"limit": 2})).json()
    assert first["spaces"] == [{"space": "acme/a", "memories": 1}, {"space": "acme/b", "memories": 1}]
    second = (await gateway.get("/v1/spaces", params={"cursor": first["next"]})).json()
    assert second == {"spaces": [{"space": "acme/c", "memories": 1}], "next": None}
    for cursor in ("x", "bnVsbA", "é", "W10"):
        answer = await gateway.get("/v1/spaces", params={"cursor": cursor})
        assert answer.status_code == 400
        assert "leave it out" in answer.json()["detail"]
