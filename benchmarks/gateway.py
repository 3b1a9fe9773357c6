"""Recalls and appends through a gateway on loopback, beside the same calls in process: the ratio is what to look at.

Both answer from the same home, in alternation, and process nothing meanwhile; the gateway once more with
HELAMEM_RECALL_AUDIT=relaxed. The client is a process of its own and as small as can be, so that what is measured is the
gateway. Beside them stand two servers that do nothing (`bare_server.py`), asked the same appends: no gateway on such a
server can be faster than the first.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from benchmarks.conversations import message
from benchmarks.ingest import APPEND
from benchmarks.texts import Texts
from benchmarks.timing import medians, percentiles, significant

from helamem.streams.async_memory import AsyncMemory, Message

MEMORIES, QUICK_MEMORIES = 100_000, 1_000
RECALLS, QUICK_RECALLS = 1_000, 40
APPENDS, QUICK_APPENDS = 4_000, 100
ROUNDS, QUICK_ROUNDS = 3, 1
SPACES = 100
AT_ONCE = 8
BATCH = 100
TARGET = 0.5

Ask = Callable[[int], Awaitable[object]]


async def _filled(home: Path, count: int) -> None:
    """Make a home with so many memories."""
    texts = Texts()
    async with await AsyncMemory.open(home) as memory:
        for first in range(0, count, APPEND):
            last = min(first + APPEND, count)
            await memory.append([message(n, texts.short(n), SPACES) for n in range(first, last)])
        await memory.process()
        await memory.instance.store.optimize()


def _said(number: int) -> Message:
    """Return a message as clients send it: without an id, in one of the spaces."""
    return msgspec.structs.replace(message(number, f"Something new of number {number}.", SPACES), message_id=None)


async def _timed(ask: Ask, count: int, at_once: int) -> tuple[float, list[float]]:
    """Return calls a second and how long each took, in milliseconds, with so many under way at once."""
    took_ms: list[float] = []
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            begin = time.perf_counter()
            await ask(number)
            took_ms.append((time.perf_counter() - begin) * 1000)

    begin = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return count / (time.perf_counter() - begin), took_ms


async def _measured(recall: Ask, append: Ask, append_batch: Ask, recalls: int, appends: int) -> dict[str, Any]:
    await _timed(recall, max(20, recalls // 10), 1)
    _, one_by_one = await _timed(recall, recalls, 1)
    recalls_per_s, _ = await _timed(recall, recalls, AT_ONCE)
    appends_per_s, took_ms = await _timed(append, appends, AT_ONCE)
    batches_per_s, _ = await _timed(append_batch, max(2, appends // BATCH), 2)
    return {
        "recall_ms": percentiles(one_by_one),
        "recalls_per_s": significant(recalls_per_s),
        "append_ms": percentiles(took_ms),
        "appends_per_s": significant(appends_per_s),
        "messages_per_s_in_batches": significant(batches_per_s * BATCH),
    }


def _question(number: int) -> tuple[str, str]:
    said = message(number * 7919, Texts().short(number * 7919), SPACES)
    return said.space, said.text


async def _in_process(home: Path, recalls: int, appends: int) -> dict[str, Any]:
    async with await AsyncMemory.open(home, create=False) as memory:
        questions = [_question(number) for number in range(recalls)]

        async def recall(number: int) -> object:
            return await memory.recall(*questions[number % recalls])

        async def append(number: int) -> object:
            return await memory.append_once([_said(number)])

        async def append_batch(number: int) -> object:
            return await memory.append_once([_said(number)] * BATCH)

        return await _measured(recall, append, append_batch, recalls, appends)


class _Connections:
    """Connections that are kept, and just enough HTTP to ask by them."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.removeprefix("http://").partition(":")
        self._port = int(port)
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, path: str, body: bytes) -> bytes:
        """Send JSON and return what is answered."""
        reader, writer = self._free.pop() if self._free else await asyncio.open_connection(self._host, self._port)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        writer.write(f"{head}\r\n\r\n".encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        size = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
        answer = await reader.readexactly(size)
        if not lines[0].startswith((b"http/1.1 200", b"http/1.1 201")):
            raise RuntimeError(answer.decode())
        self._free.append((reader, writer))
        return answer


def _sent(said: Message) -> dict[str, Any]:
    return {"conversation": said.conversation, "speaker": said.speaker, "text": said.text}


@asynccontextmanager
async def _serving(*program: str, audit: str = "strict") -> AsyncIterator[_Connections]:
    serving = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *program,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "HELAMEM_RECALL_AUDIT": audit},
    )  # fmt: skip
    assert serving.stderr is not None
    try:
        yield _Connections(json.loads(await serving.stderr.readline())["event"].split(" at ")[1].split(";")[0])
    finally:
        serving.terminate()
        await serving.communicate()


def _append_by(connections: _Connections) -> Ask:
    async def append(number: int) -> object:
        said = _said(number)
        return await connections.ask(f"/v1/spaces/{said.space}/messages", msgspec.json.encode(_sent(said)))

    return append


async def _bare(kind: str, appends: int) -> float:
    """Return the requests a second of a server that does nothing."""
    async with _serving("benchmarks.bare_server", kind) as connections:
        per_s, _ = await _timed(_append_by(connections), appends, AT_ONCE)
    return per_s


async def _over_http(home: Path, recalls: int, appends: int, audit: str = "strict") -> dict[str, Any]:
    questions = [_question(number) for number in range(recalls)]

    gateway = ("helamem.streams.cli", "gateway", "--home", str(home), "--port", "0")
    async with _serving(*gateway, audit=audit) as connections:

        async def recall(number: int) -> object:
            space, query = questions[number % recalls]
            return await connections.ask(f"/v1/spaces/{space}/recall", msgspec.json.encode({"query": query}))

        async def append_batch(number: int) -> object:
            said = _said(number)
            body = msgspec.json.encode({"messages": [_sent(said)] * BATCH})
            return await connections.ask(f"/v1/spaces/{said.space}/messages/batch", body)

        return await _measured(recall, _append_by(connections), append_batch, recalls, appends)


def _figures(one: dict[str, Any]) -> dict[str, float]:
    return {
        "recall_p50_ms": one["recall_ms"]["p50"],
        "recall_p99_ms": one["recall_ms"]["p99"],
        "recalls_per_s": one["recalls_per_s"],
        "append_p50_ms": one["append_ms"]["p50"],
        "append_p99_ms": one["append_ms"]["p99"],
        "appends_per_s": one["appends_per_s"],
        "messages_per_s_in_batches": one["messages_per_s_in_batches"],
    }


def _of_recalls(figures: dict[str, float]) -> dict[str, float]:
    """Return those of recalls alone: only they know two ways into the log."""
    return {name: value for name, value in figures.items() if name.startswith("recall")}


def run(*, quick: bool) -> dict[str, Any]:
    """Return the figures: medians of rounds, and of each ratio."""
    memories, recalls, appends, rounds = (
        (QUICK_MEMORIES, QUICK_RECALLS, QUICK_APPENDS, QUICK_ROUNDS) if quick else (MEMORIES, RECALLS, APPENDS, ROUNDS)
    )
    inside, outside, relaxed = list[dict[str, float]](), list[dict[str, float]](), list[dict[str, float]]()
    bare = list[dict[str, float]]()
    with TemporaryDirectory() as directory:
        home = Path(directory) / "home"
        asyncio.run(_filled(home, memories))
        for _ in range(rounds):
            inside.append(_figures(asyncio.run(_in_process(home, recalls, appends))))
            outside.append(_figures(asyncio.run(_over_http(home, recalls, appends))))
            relaxed.append(_of_recalls(_figures(asyncio.run(_over_http(home, recalls, appends, "relaxed")))))
            bare.append({f"{kind}_per_s": asyncio.run(_bare(kind, appends)) for kind in ("asgi", "fastapi")})
    ratios = [
        {name: theirs[name] / ours[name] for name in ours if name.endswith(("_per_s", "_in_batches"))}
        for ours, theirs in zip(inside, outside, strict=True)
    ]
    of_bare = [
        {name: theirs["appends_per_s"] / nothing[name] for name in nothing}
        for nothing, theirs in zip(bare, outside, strict=True)
    ]
    return {
        "memories": memories,
        "spaces": SPACES,
        "at_once": AT_ONCE,
        "in_process": medians(inside),
        "over_http": medians(outside),
        "over_http_relaxed": medians(relaxed),
        "doing_nothing": medians(bare),
        "ratio": medians(ratios),
        "appends_of_doing_nothing": medians(of_bare),
        "ratios": [{name: significant(value) for name, value in one.items()} for one in ratios],
        "target": TARGET,
    }
