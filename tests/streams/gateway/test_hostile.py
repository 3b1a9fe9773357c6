"""Requests that are meant to do harm."""

from __future__ import annotations

import asyncio

import pytest

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
