"""Requests that are meant to do harm."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from starlette.types import Message

from helamem.streams.gateway.problems import MOST_HEAD_BYTES
from helamem.streams.gateway.server import listening, server_of
from streams.gateway.asking import SPACE, Gateway, said

NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("recall", {"query": "Who?", **{f"field{number}": 1 for number in range(50_000)}}),
        ("messages/batch", {"messages": [{f"field{number}": 1 for number in range(30)} for _ in range(1000)]}),
        ("recall", {"query": "Who?", "x" * 1_000_000: 1}),
    ],
    ids=["many fields", "many wrong messages", "a long name"],
)
async def test_what_is_wrong_is_told_in_few_words(gateway: Gateway, path: str, body: object) -> None:
    """An answer does not grow with what is wrong: making it would hold up everybody else."""
    answer = await gateway.post(f"{SPACE}/{path}", body)
    assert answer.status_code == 422
    assert len(answer.content) < 50_000
    assert answer.json()["errors"]


async def test_a_wrong_time_is_told_in_plain_words(gateway: Gateway) -> None:
    answer = await gateway.post(f"{SPACE}/messages", said(time="2025-05-12T18:00:00"))
    assert answer.json()["detail"].startswith("body.time: the time 2025-05-12T18:00:00 has no zone")


@pytest.mark.parametrize("line", [b"\n", b"{\n"], ids=["blank", "bad"])
async def test_a_stream_of_nothing_lets_others_be_answered(gateway: Gateway, line: bytes) -> None:
    """Though none of its lines waits for the log."""
    sent = asyncio.create_task(gateway.client.post("/v1/messages/stream", content=line * 20_000, headers=NDJSON))
    rounds = 0
    while not sent.done():
        await asyncio.sleep(0)
        rounds += 1
    assert sent.result().status_code == 200
    assert rounds >= 20


def line(number: int) -> bytes:
    return json.dumps(said(f"Turn {number}.", space="acme/tom", message_id=f"m{number}")).encode() + b"\n"


async def test_who_sends_slowly_holds_up_no_erasure(gateway: Gateway) -> None:
    """A stream whose end does not come uses the memory batch by batch, and goes on behind the erasure."""
    await gateway.remember("We have moved from Lisbon to Bergen.")
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"".join(map(line, range(1000)))
        begun.set()
        await go_on.wait()
        yield line(1000)

    sending = asyncio.create_task(gateway.client.post("/v1/messages/stream", content=slowly(), headers=NDJSON))
    await begun.wait()
    async with asyncio.timeout(30):
        assert (await gateway.post(f"{SPACE}/erase", {"subject": "Mira"})).status_code == 200
    go_on.set()
    assert (await sending).json()["appended"] == 1001


async def test_what_goes_on_for_long_ends_with_its_key(gateway: Gateway) -> None:
    """A key that is revoked appends no further batch of its stream."""
    key, begun, go_on = gateway.key(), asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"".join(map(line, range(1000)))
        begun.set()
        await go_on.wait()
        yield line(1000)

    async with gateway.client_of(key) as client:
        sending = asyncio.create_task(client.post("/v1/messages/stream", content=slowly(), headers=NDJSON))
        await begun.wait()
        gateway.service.keys.revoke(key.split("_")[1], lambda: 1)
        go_on.set()
        answer = await sending
    assert answer.status_code == 401
    assert "1,000 messages of the stream are safely in the log" in answer.json()["detail"]


async def test_events_are_told_to_no_key_that_was_revoked(gateway: Gateway) -> None:
    """Its stream ends before the next one."""
    key = gateway.key()
    scope = {
        "type": "http", "method": "GET", "path": f"{SPACE}/events", "query_string": b"", "http_version": "1.1",
        "headers": [(b"authorization", f"Bearer {key}".encode())],
    }  # fmt: skip
    told: asyncio.Queue[bytes] = asyncio.Queue()

    async def receive() -> Message:
        await asyncio.Event().wait()
        return {}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            told.put_nowait(message["body"])

    async def follow() -> None:
        await gateway.app(scope, receive, send)

    following = asyncio.create_task(follow())
    assert await told.get() == b": helamem\n\n"
    gateway.service.keys.revoke(key.split("_")[1], lambda: 1)
    async with gateway.client_of(gateway.key()) as client:
        assert (await client.post(f"{SPACE}/messages", json=said())).status_code == 201
    async with asyncio.timeout(30):
        await following
    assert b"".join(told.get_nowait() for _ in range(told.qsize())) == b""


@pytest.mark.parametrize(
    "headers",
    [
        {f"x-header-{number}": "1" for number in range(101)},
        {f"x-header-{number}": "x" * 3_000 for number in range(30)},
        {"x-header": "x" * 66_000},
    ],
    ids=["many", "large together", "one large"],
)
async def test_headers_are_bounded(gateway: Gateway, headers: dict[str, str]) -> None:
    """In number and in size, before anything of them is looked at."""
    for path in ("/v1/spaces", "/live", "/v2/none"):
        answer = await gateway.client.get(path, headers=headers)
        assert answer.status_code == 431
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == "urn:helamem:problem:headers-too-large"
    some = dict(list(headers.items())[:20]) if len(headers) > 1 else {"x-header": "x" * 60_000}
    assert (await gateway.client.get("/v1/spaces", headers=some)).status_code == 200


@asynccontextmanager
async def listened(gateway: Gateway) -> AsyncIterator[int]:
    """Serve a gateway at a port, as `helamem up` does."""
    listener = listening("127.0.0.1", 0)
    server = server_of(gateway.app)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    yield listener.getsockname()[1]
    server.should_exit = True
    await serving
    listener.close()


async def until_closed(port: int, begin: bytes, endless: bytes) -> tuple[int, bytes]:
    """Send what has no end; return how many bytes were taken before the other end closed, and what it said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    told = bytearray()

    async def read() -> None:
        with suppress(ConnectionError):  # whoever closes on what it has not read resets
            while part := await reader.read(65536):
                told.extend(part)

    answering = asyncio.create_task(read())
    writer.write(begin)
    sent = 0
    async with asyncio.timeout(30):
        with suppress(ConnectionError):
            while not answering.done():
                writer.write(endless)
                sent += len(endless)
                await writer.drain()
                await asyncio.sleep(0.001)
        await answering
    writer.close()
    return sent, bytes(told)


@pytest.mark.parametrize(
    ("begin", "endless"),
    [
        (b"GET /live HTTP/1.1\r\nHost: localhost\r\nX-A: ", b"x" * 4096),
        (b"GET /live HTTP/1.1\r\nHost: localhost\r\n", b"".join(b"X-%d: y\r\n" % number for number in range(400))),
        (b"GET /", b"x" * 4096),
    ],
    ids=["one header", "many headers", "an address"],
)
async def test_a_head_without_an_end_is_cut_off(gateway: Gateway, begin: bytes, endless: bytes) -> None:
    """What is read of it is kept in memory: no more than so much, though nobody said who they are."""
    async with listened(gateway) as port:
        sent, told = await until_closed(port, begin, endless)
        assert sent < 10 * MOST_HEAD_BYTES
        head, _, body = told.partition(b"\r\n\r\n")
        if told:  # whose last bytes nobody reads is reset, and may see nothing of the answer
            assert head.startswith(b"HTTP/1.1 431 ")
            assert json.loads(body)["type"] == "urn:helamem:problem:headers-too-large"
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/live")).status_code == 200
            large = await client.post(f"{SPACE}/messages", json=said("word " * 6_000))
            assert large.status_code == 201


async def test_what_follows_a_body_has_an_end_too(gateway: Gateway) -> None:
    """Trailers of a body in chunks."""
    begin = b"POST /v1/messages/stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
    begin += b"Transfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n0\r\nX-A: "
    async with listened(gateway) as port:
        sent, _ = await until_closed(port, begin, b"x" * 4096)
    assert sent < 10 * MOST_HEAD_BYTES
