"""Appending over HTTP: durable when answered, once however often it is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.types import ASGIApp

from helamem.schemas.errors import RetryLater
from helamem.schemas.ids import memory_id
from helamem.schemas.records import NewRecord
from helamem.schemas.topics import CONVERSATIONS
from helamem.schemas.wire import decode
from helamem.streams.gateway.app import build_api
from helamem.streams.gateway.door import Door
from helamem.streams.gateway.routes.messages import MESSAGES
from helamem.streams.metrics import catalogue as c
from helamem.streams.tracing.otel import Tracing
from streams.gateway.asking import ADDRESS, SPACE, Gateway, said

TOPIC = CONVERSATIONS.name
NDJSON = {"Content-Type": "application/x-ndjson"}


def lines(*messages: object) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in messages)


async def test_a_message_is_in_the_log_when_it_is_answered(gateway: Gateway) -> None:
    """The answer says where it stands and what its memory will be called."""
    answer = await gateway.post(f"{SPACE}/messages", said(message_id="m"))
    assert answer.status_code == 201
    body = answer.json()
    assert body["memory_id"] == memory_id("acme/mira", "m")
    assert (body["repeated"], body["searchable"]) == (False, None)
    place = body["position"]
    log = gateway.memory.instance.log
    at = next(one for one in await log.partitions(TOPIC) if one.partition == place["partition"])
    (record,) = await log.read(at, place["offset"], limit=1)
    assert json.loads(record.value)["data"]["text"] == said()["text"]


async def test_read_your_writes(gateway: Gateway) -> None:
    """With `wait=searchable` the next recall finds it."""
    answer = await gateway.post(f"{SPACE}/messages?wait=searchable", said())
    assert answer.json()["searchable"] is True
    found = await gateway.post(f"{SPACE}/recall", {"query": "Where does Mira live?"})
    assert [hit["id"] for hit in found.json()["results"]] == [answer.json()["memory_id"]]


async def test_nobody_waits_for_what_nobody_processes(gateway: Gateway) -> None:
    gateway.held.follows = False
    answer = await gateway.post(f"{SPACE}/messages?wait=searchable", said())
    assert answer.status_code == 400
    assert "leave `wait` out" in answer.json()["detail"]


@pytest.mark.parametrize("wait", ["", "?wait=searchable"], ids=["in the log", "in the store"])
async def test_an_idempotency_key_appends_once(gateway: Gateway, wait: str) -> None:
    """Also where the message's time is that of its append, which a retry changes."""
    message = {name: value for name, value in said().items() if name != "time"}
    before = await gateway.records(TOPIC)
    answers = [
        await gateway.post(f"{SPACE}/messages{wait}", message, headers={"Idempotency-Key": "k"}) for _ in range(3)
    ]
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert [answer.json()["repeated"] for answer in answers] == [False, True, True]
    assert len({json.dumps(answer.json()["position"]) for answer in answers}) == 1
    assert await gateway.records(TOPIC) == before + 1
    other = await gateway.post(f"{SPACE}/messages", message, headers={"Idempotency-Key": "another"})
    assert other.status_code == 201


async def test_retries_that_overlap_append_once(gateway: Gateway) -> None:
    """A client that gave up waiting and sent it again, and again."""
    before = await gateway.records(TOPIC)
    answers = await asyncio.gather(
        *(gateway.post(f"{SPACE}/messages", said(), headers={"Idempotency-Key": "k"}) for _ in range(20))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert await gateway.records(TOPIC) == before + 1


async def test_an_id_that_says_something_else_is_a_conflict(gateway: Gateway) -> None:
    """Nothing is appended, and the sentence says what to do; also within one batch."""
    await gateway.post(f"{SPACE}/messages", said(message_id="m"))
    before = await gateway.records(TOPIC)
    answer = await gateway.post(f"{SPACE}/messages", said("I live in Oslo.", message_id="m"))
    assert answer.status_code == 409
    assert "give what is new an id of its own" in answer.json()["detail"]
    batch = {"messages": [said("One.", message_id="n"), said("Two.", message_id="n")]}
    assert (await gateway.post(f"{SPACE}/messages/batch", batch)).status_code == 409
    assert await gateway.records(TOPIC) == before


async def test_a_batch_is_appended_in_order(gateway: Gateway) -> None:
    """A retry of it, also of a part, appends what is missing."""
    batch = [said(f"Turn {number}.", message_id=f"m{number}") for number in range(5)]
    first = await gateway.post(f"{SPACE}/messages/batch", {"messages": batch[:3]})
    answer = await gateway.post(f"{SPACE}/messages/batch", {"messages": batch})
    assert (first.status_code, answer.status_code) == (201, 201)
    messages = answer.json()["messages"]
    assert [one["repeated"] for one in messages] == [True] * 3 + [False] * 2
    offsets = [one["position"]["offset"] for one in messages]
    assert offsets == sorted(offsets)
    keyed = [
        await gateway.post(
            f"{SPACE}/messages/batch", {"messages": [said("A."), said("A.")]}, headers={"Idempotency-Key": "b"}
        )
        for _ in range(2)
    ]
    assert [answer.status_code for answer in keyed] == [201, 200]
    assert len({one["memory_id"] for one in keyed[0].json()["messages"]}) == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"text": ""}, "body.text"),
        ({"text": "x" * 32_769}, "body.text"),
        ({"text": 5}, "body.text"),
        ({"time": "2025-05-12T18:00:00"}, "body.time"),
        ({"time": "0001-01-01T00:00:00Z"}, "body.time"),
        ({"time": 5}, "body.time"),
        ({"role": "robot"}, "body.role"),
        ({"speaker": "\ud800"}, "body.speaker"),
        ({"\ud800": 1}, "body"),
        ({"mood": "good"}, "body.mood"),
    ],
)
async def test_what_is_no_message_is_told_by_its_field(gateway: Gateway, change: dict[str, object], field: str) -> None:
    body = json.dumps(said() | change).encode()
    answer = await gateway.client.post(f"{SPACE}/messages", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [one["field"] for one in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("path", "change", "headers"),
    [
        ("", {}, {}),
        ("", {"time": None, "message_id": None, "data_subjects": None}, {"Idempotency-Key": "k"}),
        ("", {"message_id": "m", "role": "agent", "data_subjects": ["Mira", "Tom"]}, {}),
        ("", {"time": "2025-05-12T18:00:00+02:00", "text": "\U0001f600 \u00e5"}, {}),
        ("", {"text": ""}, {}),
        ("", {"text": "x" * 32_769}, {}),
        ("", {"text": "x" * 32_768}, {}),
        ("", {"text": None}, {}),
        ("", {"time": "2025-05-12"}, {}),
        ("", {"role": "robot"}, {}),
        ("", {"data_subjects": []}, {}),
        ("", {"data_subjects": ["x"] * 65}, {}),
        ("", {"speaker": "\ud800"}, {}),
        ("", {"speaker": 1}, {}),
        ("", {"mood": "good"}, {}),
        ("", {}, {"Idempotency-Key": "x" * 256}),
        ("", {}, {"Content-Type": "application/json; charset=utf-8"}),
        ("", {}, {"Content-Type": "text/plain"}),
        ("?wait=never", {}, {}),
        ("?other=1", {}, {}),
    ],
)
async def test_the_usual_append_is_answered_as_the_framework_would(
    gateway: Gateway, path: str, change: dict[str, object], headers: dict[str, str]
) -> None:
    """To the letter, but for ids and places: the way past the framework is for what is right, and is no other rule."""
    told: list[object] = []
    for app in (gateway.app, Door(build_api(gateway.service), gateway.service)):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ADDRESS) as client:
            body = json.dumps(said() | change).encode()
            answer = await client.post(
                f"{SPACE}/messages{path}", content=body, headers={"Content-Type": "application/json"} | headers
            )
        again = headers.get("Idempotency-Key") == "k" or "message_id" in change
        assert answer.status_code != (201 if again and told else 0)
        body_told = answer.json()
        if answer.is_success:
            assert body_told.pop("memory_id") == memory_id("acme/mira", body_told.pop("message_id"))
            body_told["position"].pop("offset")
            body_told["repeated"] = False
        kept = {name: value for name, value in answer.headers.items() if name != "content-length"}
        told.append((200 if answer.is_success else answer.status_code, kept, body_told))
    assert told[0] == told[1]


async def test_the_short_way_refuses_and_counts_as_the_framework_does(gateway: Gateway) -> None:
    """Of two kinds of body the first counts; and a body in parts that grows too large counts for its endpoint."""
    before = await gateway.records(TOPIC)
    kinds = [("Content-Type", "text/plain"), ("Content-Type", "application/json")]

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 2**20

    apps: tuple[ASGIApp, ...] = (gateway.app, Door(build_api(gateway.service), gateway.service))
    for number, app in enumerate(apps, 1):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ADDRESS) as client:
            answer = await client.post(f"{SPACE}/messages", content=json.dumps(said()).encode(), headers=kinds)
            assert answer.status_code == 415
            answer = await client.post(
                f"{SPACE}/messages", content=endless(), headers={"Content-Type": "application/json"}
            )
            assert answer.status_code == 413
        counted = gateway.service.metrics.value(c.HTTP_REQUESTS, method="POST", route=MESSAGES, status="4xx")
        assert counted == 2 * number
    assert await gateway.records(TOPIC) == before


async def test_no_key_gets_past_its_rights_by_the_short_way(gateway: Gateway) -> None:
    """Nor past its spaces, nor its tenant's quota."""
    wrong = [gateway.key("acme", "recall"), gateway.key("other"), gateway.key("acme", spaces=("tom*",))]
    before = await gateway.records(TOPIC)
    for key in wrong:
        assert (await gateway.client_of(key).post(f"{SPACE}/messages", json=said())).status_code == 403
    assert await gateway.records(TOPIC) == before
    client = gateway.client_of(gateway.key())
    assert (await client.post(f"{SPACE}/messages", json=said())).status_code == 201
    gateway.service.keys.limit("acme", messages_a_day=1)
    refused = await client.post(f"{SPACE}/messages", json=said())
    assert (refused.status_code, refused.json()["type"]) == (429, "urn:helamem:problem:quota-exceeded")
    assert await gateway.records(TOPIC) == before + 1


async def test_a_space_that_can_be_none_is_refused(gateway: Gateway) -> None:
    assert (await gateway.post("/v1/spaces/acme/-/messages", said())).status_code == 422
    assert (await gateway.post("/v1/spaces/acme/a%2Fb/messages", said())).status_code == 404


async def test_a_stream_is_appended_line_by_line(gateway: Gateway) -> None:
    """Good lines are appended, bad ones told; lines may be cut anywhere, and more of them than fit in one batch."""
    many = [said(f"Turn {number}.", space="acme/tom", message_id=f"m{number}") for number in range(1500)]
    body = lines(*many[:700]) + b"\n{\n" + lines({"text": "x"}) + b'"' + b"x" * 2_500_000 + b'"\n' + lines(*many[700:])
    parts = [body[start : start + 99_991] for start in range(0, len(body), 99_991)]

    async def sent() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    answer = await gateway.client.post("/v1/messages/stream", content=sent(), headers=NDJSON)
    assert answer.status_code == 200
    told = answer.json()
    assert (told["lines"], told["appended"], told["bad"]) == (1503, 1500, 3)
    assert [one["line"] for one in told["bad_lines"]] == [702, 703, 704]
    assert await gateway.records(TOPIC) == 1500 + 4
    one = await gateway.client.post("/v1/messages/stream", content=lines(said(space="acme/tom")), headers=NDJSON)
    assert one.json()["bad_lines"] == [{"line": 1, "reason": "message_id: is missing"}]


async def test_messages_of_a_stream_name_the_span_that_sent_them(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like those that come one by one."""
    exporter = InMemorySpanExporter()
    tracing = Tracing("sqlite", exporter)
    instance = gateway.memory.instance
    monkeypatch.setattr(instance, "tracing", tracing)
    body = lines(said(space="acme/tom", message_id="m"))
    assert (await gateway.client.post("/v1/messages/stream", content=body, headers=NDJSON)).status_code == 200
    tracing.close()
    (span,) = exporter.get_finished_spans()
    records = [one for at in await instance.log.partitions(TOPIC) for one in await instance.log.read(at, 0)]
    (event,) = [decode(one.value) for one in records if one.key == b"acme/tom"]
    assert event.traceparent is not None
    assert span.name == f"send {TOPIC}"
    assert f"{span.context.span_id:016x}" in event.traceparent


async def test_an_interrupted_stream_says_what_is_safe(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is 503 with the number of records that are in the log."""
    log, calls = gateway.memory.instance.log, []

    async def away(records: Sequence[NewRecord]) -> object:
        calls.append(records)
        if len(calls) == 2:
            raise RetryLater("the disk is full; free some space")
        return await append(records)

    append = log.append
    monkeypatch.setattr(log, "append", away)
    many = [said(f"Turn {number}.", space="acme/tom", message_id=f"m{number}") for number in range(1500)]
    answer = await gateway.client.post("/v1/messages/stream", content=lines(*many), headers=NDJSON)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "1,000 messages of the stream are safely in the log" in answer.json()["detail"]


async def test_a_log_that_is_away_is_503(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same request afterwards appends it."""
    log = gateway.memory.instance.log
    append = log.append

    async def away(records: object) -> object:
        raise RetryLater("the disk is full; free some space")

    monkeypatch.setattr(log, "append", away)
    answer = await gateway.post(f"{SPACE}/messages", said(), headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    monkeypatch.setattr(log, "append", append)
    assert (await gateway.post(f"{SPACE}/messages", said(), headers={"Idempotency-Key": "k"})).status_code == 201
