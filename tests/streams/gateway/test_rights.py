"""Every endpoint says what it needs, and nobody reaches into another's spaces."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import APIRouter

from helamem.streams.gateway.app import build_api
from helamem.streams.gateway.calls import PATH, Call
from helamem.streams.gateway.guarded import GuardedRoute
from helamem.streams.gateway.openapi import describe
from helamem.streams.gateway.rights import NEEDED, RIGHTS
from streams.gateway.asking import SPACE, Gateway, said

NDJSON = {"Content-Type": "application/x-ndjson"}
OF_A_SPACE = [endpoint for endpoint in NEEDED if "{tenant}" in endpoint[1]]


DOCUMENT = describe(build_api())
UNDOCUMENTED = {("POST", "/v1/owner/call"), ("GET", "/"), ("GET", "/console/{asset:path}")}
"""For commands of the home's owner, and for people."""


def test_the_table_of_rights_is_complete() -> None:
    """It names every endpoint there is, and none that there is not: all of them are in the document."""
    made = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert made == set(NEEDED) - UNDOCUMENTED
    assert {right for rights in NEEDED.values() for right in rights} == {*RIGHTS}


def test_a_route_that_the_table_lacks_cannot_be_made() -> None:
    """Also one that the document would not show."""
    router = APIRouter(route_class=GuardedRoute)
    with pytest.raises(KeyError):
        router.get("/v1/secret", include_in_schema=False)(lambda: None)


def test_the_document_tells_the_rights() -> None:
    """To programs, and to people in what they read of an endpoint."""
    for (method, path), rights in NEEDED.items():
        if (method, path) in UNDOCUMENTED:
            continue
        operation = DOCUMENT["paths"][path][method.lower()]
        assert tuple(operation.get("x-helamem-rights", ())) == rights
        assert ("security" in operation) == bool(rights)
        assert all(f"`{right}`" in operation["description"].splitlines()[-1] for right in rights)


async def asked(
    client: httpx.AsyncClient, endpoint: tuple[str, str], space: str, ids: dict[str, str]
) -> httpx.Response:
    """Ask an endpoint about a space, with a body that it takes and ids of what there is."""
    method, path = endpoint
    tenant, name = space.split("/")
    bodies: dict[str, Any] = {
        "/messages": said(message_id="new"),
        "/batch": {"messages": [said(message_id="new")]},
        "/recall": {"query": "Where does Mira live?"},
        "/forget": {"memory_ids": [ids["memory_id"]], "reason": "because"},
        "/restore": {"memory_ids": [ids["memory_id"]], "reason": "because"},
        "/erase": {"subject": "Mira", "dry_run": True},
        "/reinforce": {"recall_id": ids["recall_id"], "memory_ids": [ids["memory_id"]]},
    }
    body = next((body for end, body in bodies.items() if path.endswith(end)), None)
    return await client.request(method, path.format(tenant=tenant, name=name, **ids), json=body)


@pytest.fixture
async def ids(gateway: Gateway) -> dict[str, str]:
    """What acme/mira holds."""
    (memory,) = await gateway.remember("We have moved from Lisbon to Bergen.")
    recall = (await gateway.post(f"{SPACE}/recall", {"query": "Where does Mira live?"})).json()
    gateway.service.ending.set()  # what would follow events for ever ends at once
    return {"memory_id": memory, "recall_id": recall["recall_id"], "id": memory, "event_id": recall["recall_id"]}


@pytest.mark.parametrize("endpoint", OF_A_SPACE, ids=" ".join)
async def test_a_key_of_another_tenant_gets_nowhere(
    gateway: Gateway, ids: dict[str, str], endpoint: tuple[str, str]
) -> None:
    """By the space's own name 403; by its ids in a space of one's own nothing of the other is in the answer.

    The same with a key of the tenant whose pattern leaves the space out, and with one that lacks one of the rights. The
    space's own key gets what it asks for.
    """
    own = gateway.client_of(gateway.key("acme"))
    other = gateway.client_of(gateway.key("other"))
    narrow = gateway.client_of(gateway.key("acme", spaces=("tom*",)))
    for client in (other, narrow):
        refused = await asked(client, endpoint, "acme/mira", ids)
        assert refused.status_code == 403, refused.text
        assert "Lisbon" not in refused.text
    for right in NEEDED[endpoint]:
        lacking = gateway.client_of(gateway.key("acme", *(one for one in RIGHTS if one != right)))
        refused = await asked(lacking, endpoint, "acme/mira", ids)
        assert (refused.status_code, right in refused.json()["detail"]) == (403, True)
    inside = await asked(other, endpoint, "other/mira", ids)
    assert "Lisbon" not in inside.text
    assert ids["memory_id"] not in inside.text or inside.status_code == 404
    assert (await asked(own, endpoint, "acme/mira", ids)).is_success


async def test_lists_and_bodies_know_no_other_tenant(gateway: Gateway, ids: dict[str, str]) -> None:
    """Where a space is named in the body, or all are listed."""
    other = gateway.client_of(gateway.key("other"))
    assert (await other.get("/v1/spaces")).json() == {"spaces": [], "next": None}
    both = {"query": "Where does Mira live?", "spaces": ["other/mira", "acme/mira"]}
    assert (await other.post("/v1/recall", json=both)).status_code == 403
    lines = b"".join(
        json.dumps(said(space=space, message_id="n")).encode() + b"\n" for space in ("acme/mira", "other/mira")
    )
    told = (await other.post("/v1/messages/stream", content=lines, headers=NDJSON)).json()
    assert (told["appended"], told["bad"]) == (1, 1)
    assert told["bad_lines"][0]["reason"] == "space: the key shown is not for acme/mira"
    assert "acme" not in (await other.get("/metrics")).text


async def test_a_key_appends_messages_and_nothing_else(gateway: Gateway) -> None:
    """Other events would be forged: what was recalled, distilled or forgotten."""
    event = {
        "specversion": "1.0",
        "id": "e",
        "source": "elsewhere",
        "type": "memory.forgotten.v1",
        "time": "2025-05-12T18:00:00Z",
        "subject": "acme/mira",
        "data": {"memory_ids": ["0190c0de-1111-4222-8333-444455556666"], "reason": "because"},
    }
    client = gateway.client_of(gateway.key("acme"))
    told = (await client.post("/v1/messages/stream", content=json.dumps(event), headers=NDJSON)).json()
    assert told["appended"] == 0
    assert "a key appends messages" in told["bad_lines"][0]["reason"]


async def test_no_key_calls_for_the_owner(gateway: Gateway, ids: dict[str, str]) -> None:
    """Whatever its rights; nor does anybody without one. The token of the home does."""
    body = msgspec.msgpack.encode(Call(method="spaces"))
    for client in (gateway.client, gateway.client_of(gateway.key("acme"))):
        assert (await client.post(PATH, content=body)).status_code in (401, 403)
    owner = gateway.client_of(gateway.service.token)
    assert msgspec.msgpack.decode((await owner.post(PATH, content=body)).content) == {"acme/mira": 1}
    for broken in (
        b"",
        b"\xc1",
        msgspec.msgpack.encode({"method": "close"}),
        msgspec.msgpack.encode({"method": "turns"}),
    ):
        assert (await owner.post(PATH, content=broken)).status_code == 400
