"""How recalls come into the log: before their answers or behind them, and none is lost without being counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fakes.machine import SETTINGS
from fakes.words import wordllama
from helamem.schemas.errors import ConfigurationError, HelamemError, RetryLater
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.schemas.topics import RECALLS
from helamem.streams import recall_trail
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.metrics import Metrics
from helamem.streams.metrics import catalogue as c

SPACE = "acme/mira"


class Refusing:
    """A log that takes what it is given, or refuses for a while; the rest is a real one's."""

    def __init__(self, memory: AsyncMemory) -> None:
        self.real = memory.instance.log
        self.error: HelamemError | None = None
        self.held = asyncio.Event()
        self.held.set()

    async def append(self, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        await self.held.wait()
        if self.error is not None:
            raise self.error
        return await self.real.append(records)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def memory(tmp_path: Path, metrics: Metrics) -> AsyncIterator[AsyncMemory]:
    async with await AsyncMemory.open(
        tmp_path / "home", settings=SETTINGS, embedder=wordllama(), metrics=metrics, recall_audit="relaxed"
    ) as opened:
        time = datetime(2025, 3, 1, tzinfo=UTC)
        texts = ("We moved to Bergen.", "It rains in Bergen.")
        await opened.append(
            [Message(space=SPACE, conversation="c", speaker="Mira", text=text, time=time) for text in texts]
        )
        await opened.process()
        yield opened


@pytest.fixture
def log(memory: AsyncMemory, monkeypatch: pytest.MonkeyPatch) -> Refusing:
    refusing = Refusing(memory)
    monkeypatch.setattr(memory._recalls, "_log", refusing)
    return refusing


async def recalls(memory: AsyncMemory) -> int:
    """Return how many records there are of recalls, but for the settings."""
    log = memory.instance.log
    partitions = await log.partitions(RECALLS.name)
    return sum((await log.end_offsets(partitions)).values()) - len(partitions)


async def test_an_answer_does_not_wait_for_the_log(memory: AsyncMemory, log: Refusing) -> None:
    """And what is reinforced right afterwards is found; who closes the memory leaves nothing behind."""
    log.held.clear()
    recalled = await memory.recall(SPACE, "Bergen")
    assert (recalled.recorded, await recalls(memory)) == (True, 0)
    log.held.set()
    await memory.reinforce(recalled.recall_id, [hit.result.id for hit in recalled.hits])
    assert await recalls(memory) == 2
    await memory.recall(SPACE, "rain")
    await memory._recalls.close()
    assert await recalls(memory) == 3


async def test_strict_waits(memory: AsyncMemory, log: Refusing) -> None:
    """A log that is away is told whoever asks."""
    memory._recalls._audit = "strict"
    log.error = RetryLater("the disk is full")
    with pytest.raises(RetryLater, match="the disk is full"):
        await memory.recall(SPACE, "Bergen")
    log.error = None
    assert (await memory.recall(SPACE, "Bergen")).recorded
    assert await recalls(memory) == 1


async def test_a_log_that_comes_back_gets_all(memory: AsyncMemory, log: Refusing, metrics: Metrics) -> None:
    """In the order in which they were answered, and each once; meanwhile a reinforcement is told to wait."""
    log.error = RetryLater("the disk is full")
    asked = [await memory.recall(SPACE, f"Bergen {number}") for number in range(5)]
    with pytest.raises(RetryLater, match="wait for the log"):
        await memory._recalls.settle(0.05)
    log.error = None
    await memory._recalls.settle()
    assert await recalls(memory) == 5
    assert metrics.value(c.RECALL_EVENTS_LOST) == 0
    await memory.reinforce(asked[0].recall_id, [asked[0].hits[0].result.id])


async def test_what_is_lost_is_counted(
    memory: AsyncMemory,
    log: Refusing,
    metrics: Metrics,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where too much waits, where it waits for too long, and where the log refuses for good; it is said once."""
    monkeypatch.setattr(recall_trail, "MOST_WAITING", 3)
    log.error = RetryLater("the disk is full")
    answers = [await memory.recall(SPACE, "Bergen") for _ in range(4)]
    assert [one.recorded for one in answers] == [True, True, True, False]
    assert metrics.value(c.RECALL_EVENTS_LOST) == 1
    monkeypatch.setattr(recall_trail, "PATIENCE_S", 0.0)
    await memory._recalls.settle()
    assert metrics.value(c.RECALL_EVENTS_LOST) == 4
    log.error = ConfigurationError("no access")
    await memory.recall(SPACE, "Bergen")
    await memory._recalls.settle()
    assert metrics.value(c.RECALL_EVENTS_LOST) == 5
    assert [one.levelname for one in caplog.records if "were lost" in one.message] == ["ERROR"]
    monkeypatch.setattr(recall_trail, "PATIENCE_S", 30.0)
    monkeypatch.setattr(recall_trail, "CLOSING_S", 0.05)
    log.error = RetryLater("the disk is full")
    await memory.recall(SPACE, "Bergen")
    await memory._recalls.close()
    assert metrics.value(c.RECALL_EVENTS_LOST) == 6
    assert await recalls(memory) == 0
