"""What the door refuses before anything is read, and what it notes."""

from __future__ import annotations

import asyncio
import json
import logging
import shlex
from asyncio import selector_events
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from typer.main import get_command

from helamem.streams import cli
from helamem.streams.gateway.door import MOST_BODY_BYTES
from helamem.streams.gateway.inside import inside
from helamem.streams.gateway.keys import Keys
from helamem.streams.gateway.server import listening, server_of
from helamem.streams.metrics import catalogue as c
from streams.gateway.asking import ADDRESS, SPACE, Gateway, said

JSON = {"Content-Type": "application/json"}
UPLOAD = (
    b"POST /v1/messages/stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
    b"Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
)


async def large() -> AsyncIterator[bytes]:
    """A body whose length nobody says."""
    for _ in range(9):
        yield b" " * 2**20


@pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
async def test_a_body_that_is_too_large_is_refused(gateway: Gateway, *, told: bool) -> None:
    content = b" " * (MOST_BODY_BYTES + 1) if told else large()
    answer = await gateway.client.post(f"{SPACE}/messages", content=content, headers=JSON)
    assert answer.status_code == 413
    assert "/v1/messages/stream" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:8420"}, 200),
        ({"Host": "elsewhere.example"}, 403),
        ({"Host": "localhost:8420"}, 200),
        ({"Host": "[::1]:8420"}, 200),
        ({"Host": ""}, 403),
        ({"Host": "[::1"}, 403),
        ({"Content-Length": "-1"}, 400),
        ({"Content-Length": "²"}, 400),
    ],
)
async def test_pages_of_others_and_false_names_are_refused(
    gateway: Gateway, headers: dict[str, str], status: int
) -> None:
    """A browser may be led here by a page's script or by its name server; neither gets in."""
    answer = await gateway.get("/v1/spaces", headers=[(k.encode(), v.encode()) for k, v in headers.items()])
    assert answer.status_code == status


async def test_no_answer_allows_other_origins(gateway: Gateway) -> None:
    """CORS is closed: a preflight is refused, and no header says otherwise."""
    answer = await gateway.client.options(
        "/v1/spaces", headers={"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "GET"}
    )
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(("kind", "status"), [("text/plain", 415), ("", 415), ("application/json; charset=utf-8", 201)])
async def test_a_body_says_that_it_is_json(gateway: Gateway, kind: str, status: int) -> None:
    """What a form of another page could send is not taken for JSON."""
    import json

    answer = await gateway.client.post(f"{SPACE}/messages", content=json.dumps(said()), headers={"Content-Type": kind})
    assert answer.status_code == status


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"null", b'{"text": NaN}'])
async def test_what_is_no_json_is_told(gateway: Gateway, body: bytes) -> None:
    answer = await gateway.client.post(f"{SPACE}/messages", content=body, headers=JSON)
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]


async def test_paths_and_methods_that_there_are_not(gateway: Gateway) -> None:
    unknown = await gateway.get("/v2/spaces")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:helamem:problem:not-found")
    wrong = await gateway.client.delete("/v1/spaces")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")


async def test_requests_are_counted_by_route(gateway: Gateway) -> None:
    """By path template and class of status: however many spaces are asked, and whatever methods are made up."""
    for name in ("a", "b"):
        await gateway.post(f"/v1/spaces/acme/{name}/recall", {"query": "Who?"})
    await gateway.client.request("BREW", "/v1/tea")
    metrics = gateway.service.metrics
    route = "/v1/spaces/{tenant}/{name}/recall"
    assert metrics.value(c.HTTP_REQUESTS, method="POST", route=route, status="2xx") == 2
    assert metrics.value(c.HTTP_SECONDS, method="POST", route=route) == 2
    assert metrics.value(c.HTTP_REQUESTS, method="other", route="none", status="4xx") == 1


async def test_what_nobody_foresaw_is_told_without_its_words(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 as a problem, and one line in the log."""

    async def broken() -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(gateway.memory, "spaces", broken)
    answer = await gateway.get("/v1/spaces")
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:helamem:problem:failed")
    assert "secret" not in answer.text
    assert [record.getMessage() for record in caplog.records if record.name.startswith("helamem")] == [
        "a request failed"
    ]


async def test_what_fails_inside_a_process_is_logged_too(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer says that the log tells it."""

    async def broken() -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(gateway.memory, "spaces", broken)
    async with httpx.AsyncClient(transport=inside(gateway.home, gateway.held), base_url=ADDRESS) as client:
        answer = await client.get("/v1/spaces")
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:helamem:problem:failed")
    (told,) = [record for record in caplog.records if record.name.startswith("helamem")]
    assert told.exc_info is not None
    assert told.exc_info[0] is ZeroDivisionError


@pytest.mark.parametrize("file", [None, "keys.json"], ids=["of a home", "of a fleet"])
async def test_a_refusal_tells_a_command_that_makes_a_key(gateway: Gateway, file: str | None) -> None:
    """One that the command line takes as it stands: without a key, with one that lacks the right, from elsewhere."""
    gateway.service.keys = Keys(gateway.home, file)
    elsewhere = await gateway.get("/v1/spaces", headers={"Host": "elsewhere.example"})
    client = gateway.client_of(gateway.key("acme", "append"))
    unknown, lacking = await gateway.get("/v1/spaces"), await client.get("/v1/spaces")
    assert [one.status_code for one in (elsewhere, unknown, lacking)] == [403, 401, 403]
    add = get_command(cli.app()).commands["keys"].commands["add"]  # type: ignore[attr-defined]
    for refusal in (elsewhere, unknown, lacking):
        detail = refusal.json()["detail"]
        words = shlex.split(detail.partition("helamem keys add ")[2])
        taken = add.make_context("add", words).params
        assert (taken["tenant"], taken["rights"]) == (
            ("acme", "recall") if refusal is lacking else ("TENANT", "append,recall")
        ), detail
        assert taken["file"] == (None if file is None else Path("$HELAMEM_GATEWAY_KEYS")), detail


async def test_no_line_of_the_log_has_what_was_asked(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """An answered request is told by its route, without path, query or key."""
    caplog.set_level(logging.DEBUG, "helamem")
    await gateway.get("/v1/spaces/acme/hidden/facts?limit=3")
    (line,) = [record for record in caplog.records if record.getMessage() == "answered"]
    told = {name: value for name, value in vars(line).items() if name in ("method", "route", "status", "key")}
    assert told == {"method": "GET", "route": "/v1/spaces/{tenant}/{name}/facts", "status": 200, "key": None}
    assert "hidden" not in str(vars(line))


async def test_an_answer_is_sent_in_one_piece(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its head with its body; one without a body is sent, too, also where the connection ends with it."""
    sent: list[bytes] = []
    write = selector_events._SelectorSocketTransport.write  # type: ignore[attr-defined]  # what uvicorn writes to

    def noted(transport: asyncio.Transport, data: bytes) -> None:
        if transport.get_extra_info("sockname") == address:
            sent.append(data)
        write(transport, data)

    with listening("127.0.0.1", 0) as listener:
        address = listener.getsockname()
        server = server_of(gateway.app)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        monkeypatch.setattr(selector_events._SelectorSocketTransport, "write", noted)  # type: ignore[attr-defined]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{address[1]}") as client:
            for _ in range(2):
                assert (await client.post(f"{SPACE}/messages", json=said())).status_code == 201
            assert [one[:12] for one in sent] == [b"HTTP/1.1 201"] * 2
            assert (await client.head("/v1/spaces")).status_code == 405
            assert (await client.head("/v1/spaces", headers={"Connection": "close"})).status_code == 405
        server.should_exit = True
        await serving


async def test_an_upload_that_does_not_end_is_told_that_the_gateway_stops(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After the time that it has to end; that is no failure of the application, and is counted as what it is."""
    monkeypatch.setattr("helamem.streams.gateway.server.GRACE_S", 0)
    with listening("127.0.0.1", 0) as listener:
        server = server_of(gateway.app)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(UPLOAD)
        async with asyncio.timeout(30):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"  # its body is being read
            gateway.service.ending.set()
            server.should_exit = True
            answer = await reader.read()
            await serving
        writer.close()
    head, body = answer.split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert json.loads(body)["detail"].startswith("the gateway is just stopping")
    assert "Exception in ASGI application" not in caplog.text
    counted = gateway.service.metrics.value(c.HTTP_REQUESTS, method="POST", route="/v1/messages/stream", status="5xx")
    assert counted == 1
