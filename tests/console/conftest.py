"""The console in a real browser, on a real gateway, on the demo's home and a hostile space beside it."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from fakes.directories import directory
from fakes.machine import SETTINGS
from fixtures.browser import browsing
from helamem.schemas.records import NewRecord
from helamem.schemas.topics import CONVERSATIONS
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.demo.play import play
from helamem.streams.gateway.keys import Keys
from helamem.streams.home import wall_clock_ms
from streams.cli.shell import logged, start

HOSTILE = (
    "<img src=x onerror=\"document.title='taken'\">",
    "<script>document.title='taken'</script> & <b>bold</b> \u200b\u202e",
    "javascript:document.title='taken' \"'><svg onload=alert(1)>",
)
EXPECTED = re.compile(r"status of (?:401|403) |status of 503 .*/(?:events|ready|history\S*)$")
"""What may be refused: whoever lacks a key is told so, and who looks waits while somebody is erased."""
PATIENCE_MS = 20_000
"""How long anything may take on a machine that is shared: no test waits as long as this."""
expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """Serve a home in a process of its own, and yield its address."""
    process: subprocess.Popen[str] = start("up", "--home", home, "--port", 0)
    assert process.stderr is not None
    try:
        said = logged(process.stderr.readline())
        yield said.split(" at ")[1].split(";")[0]
        process.terminate()
        process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


async def _played(folder: Path) -> None:
    """Play the demo, and append a record that nobody can read."""
    await play(folder / "home", folder / "rebuilt")
    torn = NewRecord(topic=CONVERSATIONS.name, key=b"acme/hostile", value=f'{{"torn {HOSTILE[0]}'.encode())
    async with await AsyncMemory.open(folder / "home") as memory:
        await memory.instance.log.append([torn])


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """A gateway that serves the demo's spaces, and acme/hostile."""
    with directory() as folder:
        asyncio.run(_played(folder))
        with serving(folder / "home") as address:
            messages = [
                {"conversation": text, "speaker": text, "text": text, "message_id": f"m{number}"}
                for number, text in enumerate(HOSTILE)
            ]
            answer = httpx.post(
                f"{address}/v1/spaces/acme/hostile/messages/batch?wait=searchable",
                json={"messages": messages},
                timeout=60,
            )
            assert answer.json()["searchable"]
            yield address


@pytest.fixture(scope="session")
def keyed() -> Iterator[tuple[str, str]]:
    """Another gateway, which asks for keys, and one that may append and recall in acme and nothing else."""
    message = {"conversation": "monday", "speaker": "Mira", "text": "We have moved from Lisbon to Bergen."}
    with directory() as folder, serving(folder / "home") as address:
        httpx.post(
            f"{address}/v1/spaces/acme/mira/messages?wait=searchable", json=message, timeout=60
        ).raise_for_status()
        _, key = Keys(folder / "home").add(
            tenant="acme", spaces=("*",), rights=("append", "recall"), note="", per_s=None, clock=wall_clock_ms
        )
        yield address, key


@pytest.fixture(scope="session")
def quick() -> Iterator[str]:
    """A third gateway, where a single reinforcement leads to a fact."""

    async def made(home: Path) -> None:
        async with await AsyncMemory.open(home, settings=SETTINGS):
            pass

    with directory() as folder:
        asyncio.run(made(folder / "home"))
        with serving(folder / "home") as address:
            yield address


@pytest.fixture(scope="session")
def torn() -> Iterator[tuple[str, Path]]:
    """A gateway whose log holds a single record, which nobody can read, and its home."""

    async def made(home: Path) -> None:
        async with await AsyncMemory.open(home) as memory:
            record = NewRecord(topic=CONVERSATIONS.name, key=b"acme/torn", value=b'{"torn')
            await memory.instance.log.append([record])

    with directory() as folder, ThreadPoolExecutor(1) as beside:  # a browser may be driven in this thread already
        beside.submit(asyncio.run, made(folder / "home")).result()
        with serving(folder / "home") as address:
            yield address, folder / "home"


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[Browser]:
    """Chromium, for one module: as long as it is driven, this thread can run no event loop of its own."""
    with browsing() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Open the console; at the end nothing was asked of elsewhere, and the browser had nothing to complain about."""
    complaints: list[str] = []
    asked: list[str] = []
    contexts = []

    def note(kind: str, text: str) -> None:
        if kind in {"error", "warning"} and not EXPECTED.search(text):
            complaints.append(text)

    def open_page(place: str = "", at: str = address, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda said: note(said.type, f"{said.text} {said.location['url']}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{at}/{place}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert all(url.startswith((address, "http://127.0.0.1:")) for url in asked), asked
