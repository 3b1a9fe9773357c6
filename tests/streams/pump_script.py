"""What happens to the pump in its tests, and what comes of it when nothing fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.directories import directory
from fakes.events import message, recalled, reinforced
from fakes.machine import Machine, machine
from helamem.schemas.events import RecordDeadLettered
from helamem.schemas.records import TopicPartition
from helamem.schemas.topics import CONVERSATIONS, FACTS, HUBS
from helamem.schemas.wire import Event, decode
from helamem.streams.dead_letters import read_dead_letters

TEXTS = (
    "We bought a blue tent for the trip to Lofoten.",
    "The tent has two poles and one of them is bent.",
    "Bring the gas stove, the tent and the map of Lofoten.",
    "Bert has an allergy to nuts, so no nut bars on the trip.",
    "The ferry to Lofoten leaves on Friday at seven.",
)
STEPS = ("append", "write", "flush", "checkpoint", "commit")


def conversation(count: int = 12) -> list[Event]:
    """Return messages of one space, so that all of them are in one partition."""
    return [message(f"m{n}", f"{TEXTS[n % 5]} ({n})", conversation=f"c{n % 2}") for n in range(count)]


def recalls(count: int = 12) -> list[Event]:
    """Return recalls and reinforcements that form hubs."""
    return [
        make(f"e{n}", [f"m{n % 3}", f"m{n % 4 + 3}", "m0" if n % 3 else "m9"], time_ms=1_740_900_000_000 + n)
        for n, make in zip(range(count), [recalled, reinforced] * count, strict=False)
    ]


class Crash(Exception):  # noqa: N818 - it stands for the end of a process
    """The process ends here."""


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@pytest.fixture
async def one(place: Path) -> AsyncIterator[Machine]:
    async with machine(place) as opened:
        yield opened


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    """What the log of `conversation` and `recalls` becomes when nothing fails."""

    async def run() -> dict[str, Any]:
        with directory() as path:
            async with machine(path) as one:
                await one.append(*conversation(), *recalls())
                await one.settle(batch_records=3)
                return {
                    "digest": await one.digest(),
                    "hubs": {decode(r.value).id: r.value for r in await one.records(HUBS.name)},
                    "facts": {decode(r.value).id: r.value for r in await one.records(FACTS.name)},
                }

    with asyncio.Runner() as runner:
        return runner.run(run())


async def assert_same(one: Machine, undisturbed: dict[str, Any]) -> None:
    """Look whether a machine has come to what it comes to undisturbed."""
    assert await one.digest() == undisturbed["digest"]
    for name, topic in (("hubs", HUBS.name), ("facts", FACTS.name)):
        found: dict[str, bytes] = {}
        for each in await one.records(topic):
            # A crash may append an output again; then it is the same event to the byte.
            assert found.setdefault(decode(each.value).id, each.value) == each.value
        assert found == undisturbed[name]


async def letters(one: Machine) -> list[RecordDeadLettered]:
    """Return the dead letters, each position once."""
    return [letter async for letter in read_dead_letters(one.log)]


async def partition_of_conversations(one: Machine) -> TopicPartition:
    """Return the partition of conversations that has records."""
    ends = await one.log.end_offsets(await one.log.partitions(CONVERSATIONS.name))
    (at,) = [at for at, end in ends.items() if end]
    return at
