"""Two people and an agent in one space, a third person in another, with hubs and facts made of what they said.

`python -m fakes.subjects HOME` erases Mira there and kills itself at the mark in `HELAMEM_TEST_KILL`, such as
`append:after:1`.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import os
import signal
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fakes.machine import SETTINGS
from fakes.words import wordllama
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.erasure import erase as module
from helamem.streams.erasure.erase import Work, erase
from helamem.streams.erasure.steps import Erasure
from helamem.streams.instance import Instance
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.sealing.tenants import seal_tenant

SPACE, OTHER = "acme/team", "acme/else"
START = datetime(2025, 3, 3, 9, 0, tzinfo=UTC)
MIRA = (
    "We moved from Lisbon to Quixotropolis during the spring holidays.",
    "The Zanzibarium piano arrived there without a scratch last Friday.",
    "My dentist is called Doctor Wobblethorpe and she is excellent.",
)
TOM = (
    "The harbour office in Bergen opens at seven every morning.",
    "The Bergen ferry takes bicycles for free in the summer months.",
    "I bake rye bread on Sundays with my neighbour from the harbour.",
)
AGENT = "Noted: the piano from Zanzibarium stands in the new flat."
ELSEWHERE = "The Bergen harbour is quiet in the winter months."
WORDS = ("Quixotropolis", "Zanzibarium", "Wobblethorpe", "quixotropolis", "zanzibarium", "wobblethorpe")
"""What only Mira said, or the agent after her."""


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Work]:
    """Open a home as an erasure wants it."""
    instance = await Instance.open(home, embedder=wordllama())
    try:
        yield instance, instance.process
    finally:
        await instance.close()


async def erased(home: Path, subject: str = "Mira", **options: Any) -> Erasure:
    """Erase somebody in the first space."""
    return await erase(home, lambda: opened(home), space=SPACE, subject=subject, **options)


async def lived(home: Path, *, sealed: bool) -> None:
    """Make a home in which Mira and Tom talked, were asked about, and became facts."""
    if sealed:
        await seal_tenant(home, "acme")
    instance = await Instance.open(home, settings=SETTINGS, embedder=wordllama())
    ids = iter(range(1000))
    async with AsyncMemory(instance, new_id=lambda: f"id{next(ids)}") as memory:
        lines = [("Mira", "user", text) for text in MIRA] + [("Tom", "user", text) for text in TOM]
        lines.insert(3, ("Ada", "agent", AGENT))
        await memory.append(
            [
                Message(
                    space=SPACE,
                    conversation="monday",
                    speaker=speaker,
                    role=role,  # type: ignore[arg-type]  # one of the two
                    text=text,
                    time=START + timedelta(minutes=number),
                    message_id=f"m{number}",
                )
                for number, (speaker, role, text) in enumerate(lines)
            ]
            + [Message(space=OTHER, conversation="x", speaker="Mira", text=ELSEWHERE, time=START, message_id="m0")]
        )
        await memory.process()
        for query in (f"Who has the {WORDS[1]} piano?", "When does the Bergen ferry leave?", "Who bakes bread?"):
            for _ in range(2):
                answer = await memory.recall(SPACE, query, k=7, m=0, as_of=START + timedelta(days=1))
                memories = [hit.result.id for hit in answer.hits if hit.result.kind == "memory"]
                await memory.reinforce(answer.recall_id, memories)
                await memory.process()


def leaks(path: Path, words: tuple[str, ...] = WORDS) -> list[str]:
    """Return which words stand where below a directory: as they are, in base64, or in what is compressed."""
    needles = {needle: word for word in words for needle in _forms(word)}
    return [
        f"{file.relative_to(path)}: {word}"
        for file in _files(path)
        for content in _contents(file)
        for needle, word in needles.items()
        if needle in content
    ]


def _files(path: Path) -> list[Path]:
    """Return the files below a directory; a broker's topics of earlier tests may be going away meanwhile."""

    def unless_gone(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    walked = os.walk(path, onerror=unless_gone)
    return sorted(file for folder, _, names in walked for name in names if (file := Path(folder, name)).is_file())


def _forms(word: str) -> Iterator[bytes]:
    raw = word.encode()
    yield raw
    for shift in range(3):  # base64 of a longer text that holds the word; its ends depend on what stands beside it
        whole = base64.b64encode(b"\0" * shift + raw)
        yield whole[(8 * shift + 5) // 6 : len(raw) * 8 // 6 - 1]


def _contents(file: Path) -> Iterator[bytes]:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return
    yield content
    if content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)
    else:
        try:
            yield zlib.decompress(content)
        except zlib.error:
            return


STEPS: dict[str, tuple[Any, str]] = {
    "write_secret": (module, "write_secret"),
    "append": (SqliteLog, "append"),
    "rename": (Path, "rename"),
    "distil": (module, "distil_again"),
}


def set_mark(mark: str) -> None:
    """Make a step of this process its last one."""
    step, moment, count = mark.split(":")
    owner, name = STEPS[step]
    real: Callable[..., Any] = getattr(owner, name)
    left = int(count)

    def strike(when: str) -> None:
        nonlocal left
        left -= when == moment
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    if asyncio.iscoroutinefunction(real):

        async def marked(*args: Any, **options: Any) -> Any:
            strike("before")
            result = await real(*args, **options)
            strike("after")
            return result

        setattr(owner, name, marked)
        return

    def marked_call(*args: Any, **options: Any) -> Any:
        strike("before")
        result = real(*args, **options)
        strike("after")
        return result

    setattr(owner, name, marked_call)


def main() -> None:
    """Erase Mira, up to the mark."""
    set_mark(os.environ["HELAMEM_TEST_KILL"])
    asyncio.run(erased(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
