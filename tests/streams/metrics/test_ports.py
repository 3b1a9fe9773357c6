"""A measured store or log does all that the one behind it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.log_contract import LogContract
from contracts.log_contract import Reopen as ReopenLog
from contracts.store_contract import DIMENSION, Reopen, StoreContract
from helamem.processors.embedder.port import RemoteEmbedder
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.port import Writes
from helamem.schemas.errors import BadInput, RetryLater
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.schemas.topics import TOPICS, TopicSpec
from helamem.streams.home import wall_clock_ms
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.metrics import Metrics
from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.measured_log import MeasuredLog
from helamem.streams.metrics.measured_store import MeasuredStore
from helamem.streams.metrics.pumping import PumpMeter


class TestStore(StoreContract):
    @pytest.fixture
    async def opened(self, tmp_path: Path) -> AsyncIterator[list[EdgeStore]]:
        stores = [await EdgeStore.open(tmp_path / "store", dimension=DIMENSION)]
        yield stores
        await stores[-1].close()

    @pytest.fixture
    def store(self, opened: list[EdgeStore]) -> MeasuredStore:
        return MeasuredStore(opened[0], Metrics())

    @pytest.fixture
    def reopen(self, opened: list[EdgeStore], tmp_path: Path) -> Reopen:
        async def again() -> MeasuredStore:
            await opened[-1].close()
            opened.append(await EdgeStore.open(tmp_path / "store", dimension=DIMENSION))
            return MeasuredStore(opened[-1], Metrics())

        return again

    @pytest.fixture
    def big_batch(self) -> int:
        return 500


class TestLog(LogContract):
    @pytest.fixture
    async def opened(self, tmp_path: Path, topics: Sequence[TopicSpec]) -> AsyncIterator[list[SqliteLog]]:
        logs = [await SqliteLog.open(tmp_path / "log.sqlite", topics, wall_clock_ms)]
        yield logs
        await logs[-1].close()

    @pytest.fixture
    def log(self, opened: list[SqliteLog]) -> MeasuredLog:
        return MeasuredLog(opened[0], Metrics())

    @pytest.fixture
    def reopen(self, opened: list[SqliteLog], tmp_path: Path, topics: Sequence[TopicSpec]) -> ReopenLog:
        async def again() -> MeasuredLog:
            await opened[-1].close()
            opened.append(await SqliteLog.open(tmp_path / "log.sqlite", topics, wall_clock_ms))
            return MeasuredLog(opened[-1], Metrics())

        return again


class Away(EdgeStore):
    """A store whose disk is full."""

    async def write(self, writes: Writes) -> None:
        raise RetryLater("the disk is full; free some space")


async def test_a_failed_call_is_counted_and_raised(tmp_path: Path) -> None:
    """Of a store that is away the caller hears the same as without metrics."""
    metrics = Metrics()
    store = await Away.open(tmp_path / "store", dimension=DIMENSION)
    with pytest.raises(RetryLater, match="the disk is full"):
        await MeasuredStore(store, metrics).write(Writes())
    await store.close()
    assert metrics.value(c.STORE_ERRORS, call="write", reason="retry-later") == 1
    assert metrics.value(c.STORE_SECONDS, call="write") == 1


async def test_appends_are_counted_by_topic(tmp_path: Path) -> None:
    """A refused append is an error and no record."""
    metrics = Metrics()
    async with await SqliteLog.open(tmp_path / "log.sqlite", TOPICS, wall_clock_ms) as log:
        measured = MeasuredLog(log, metrics)
        await measured.append([NewRecord(topic=TOPICS[0].name, key=b"k", value=b"v")] * 3)
        with pytest.raises(BadInput):
            await measured.append([NewRecord(topic="no-such-topic.g1", key=b"k", value=b"v")])
    assert metrics.value(c.APPENDED, topic=TOPICS[0].name) == 3
    assert metrics.value(c.APPEND_SECONDS) == 1
    assert metrics.value(c.LOG_ERRORS, call="append", reason="error") == 1


async def test_what_is_not_durable_yet_is_shown(tmp_path: Path) -> None:
    """As long as an append is under way, its records count; afterwards, also where it was refused, none does."""
    metrics = Metrics()
    seen: list[float] = []

    class Looking(SqliteLog):
        async def append(self, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
            seen.append(metrics.value(c.UNACKNOWLEDGED))
            return await super().append(records)

    async with await Looking.open(tmp_path / "log.sqlite", TOPICS, wall_clock_ms) as log:
        measured = MeasuredLog(log, metrics)
        await measured.append([NewRecord(topic=TOPICS[0].name, key=b"k", value=b"v")] * 3)
        with pytest.raises(BadInput):
            await measured.append([NewRecord(topic="no-such-topic.g1", key=b"k", value=b"v")])
    assert seen == [3, 1]
    assert metrics.value(c.UNACKNOWLEDGED) == 0


class Service:
    """A model elsewhere that answers once and is then away."""

    name = "service/model"
    quick = False
    dimension = 2

    def __init__(self) -> None:
        self.left = 1

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.answer(texts)[0]

    def answer(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], list[str | None]]:
        if not self.left:
            raise RetryLater("the service is away; it is asked again")
        self.left -= 1
        return np.ones((len(texts), 2), dtype=np.float32), [None] * len(texts)


def test_calls_of_a_model_elsewhere_are_counted() -> None:
    """Also those that failed, which count by their reason; the caller hears the same as without metrics."""
    metrics = Metrics()
    measured = PumpMeter(metrics, "encoding").computing(Service())
    assert isinstance(measured, RemoteEmbedder)
    assert metrics.value(c.MODEL_SECONDS) == 0
    assert measured.answer(["a", "b"])[0].shape == (2, 2)
    with pytest.raises(RetryLater, match="is away"):
        measured.embed(["c"])
    assert metrics.value(c.MODEL_SECONDS) == 2
    assert metrics.value(c.MODEL_ERRORS, reason="retry-later") == 1
    assert metrics.value(c.MODEL_ERRORS, reason="error") == 0
    assert metrics.value(c.EMBEDDING_COMPUTED) == 2
