"""A gateway of a fleet and the past: Kafka's records give what a home with the same ones says, and nothing is left.

The fleet is a home's records in Kafka, and its store that of the home, which stands where the records end.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from helamem.processors.difference import SpaceDifference, difference
from helamem.processors.encoding.processor import Encoding
from helamem.processors.port import Batch, Effects
from helamem.schemas.errors import RetryLater
from helamem.schemas.events import SubjectErased
from helamem.schemas.records import NewRecord
from helamem.schemas.times import format_ms
from helamem.schemas.topics import TOPICS
from helamem.schemas.wire import Event
from helamem.streams.async_memory import AsyncMemory, Memory
from helamem.streams.config import Config
from helamem.streams.fleet.backing import FleetBacking
from helamem.streams.fleet.past import sweep
from helamem.streams.gateway.app import build_app
from helamem.streams.gateway.behind import Behind
from helamem.streams.gateway.fleet_behind import FleetBehind
from helamem.streams.gateway.held import Held
from helamem.streams.gateway.home_behind import HomeBehind
from helamem.streams.gateway.keys import Keys
from helamem.streams.gateway.service import Service
from helamem.streams.home import wall_clock_ms
from helamem.streams.ingest.incoming import record_of
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import apply_topics
from helamem.streams.log.port import Log
from helamem.streams.log.writer_lock import WriterLock
from helamem.streams.metrics import Metrics
from helamem.streams.metrics.server import Health
from helamem.streams.moments import Vector, now
from helamem.streams.sealing.tenants import seal_tenant
from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.gateway.asking import ADDRESS
from streams.test_replay import START_MS, Clock, live, opened, place
from streams.test_replay_options import OTHER

__all__ = ["fleet", "kafka", "own_kafka", "place"]

PATH = "/v1/spaces/acme/anna/diff"
DAY_MS = 86_400_000


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for temporary files of this test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def names(folder: Path) -> list[str]:
    """Return what is in a directory."""
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def asking(behind: Behind) -> Iterator[httpx.AsyncClient]:
    """Give a client of a gateway."""
    metrics = Metrics()
    service = Service(behind, keys=Keys(None), metrics=metrics, health=Health(metrics), open_door=True)
    yield httpx.AsyncClient(transport=httpx.ASGITransport(build_app(service)), base_url=ADDRESS, timeout=60)


async def copied(source: Log, target: Log, begins: Vector, ends: Vector) -> int:
    """Append records of one log to another, and return a moment at which all of them stand there."""
    for at, end in ends.items():
        begin = begins.get(at, 0)
        records = await source.read(at, begin, end=end, limit=10_000)
        assert len(records) == end - begin
        await target.append(
            [
                NewRecord(topic=one.topic, partition=one.partition, key=one.key, value=one.value, headers=one.headers)
                for one in records
            ]
        )
    await asyncio.sleep(0.01)  # a moment holds all that was appended within it
    moment_ms = wall_clock_ms()
    await asyncio.sleep(0.01)
    return moment_ms


async def lived(home: Path) -> list[Vector]:
    """Live two rounds in a home whose words are sealed; return where its log stood after each."""
    clock, ends = Clock(), []
    async with opened(home, clock):
        pass
    await seal_tenant(home, "acme")
    async with opened(home, clock) as memory:
        for number in range(2):
            clock.now_ms += DAY_MS
            await live(memory, number)
            await live(memory, number, OTHER)
            ends.append(await now(memory.instance.log))
        assert memory.instance.counts["hub-formed"] >= 2
    return ends


class Both:
    """One life in a home, and in Kafka."""

    def __init__(self, memory: AsyncMemory, log: KafkaLog, moments_ms: list[int], home: Path) -> None:
        self.memory = memory
        self.log = log
        self.moments = [format_ms(moment_ms) for moment_ms in moments_ms]
        instance = memory.instance
        fleet = FleetBacking(log, instance.store, instance.embedder, instance.settings, keys_path=home / "keys")

        @asynccontextmanager
        async def of_fleet() -> AsyncIterator[Memory]:
            yield Memory(fleet)

        @asynccontextmanager
        async def of_home() -> AsyncIterator[AsyncMemory]:
            yield memory

        async def generation() -> int:
            return 1

        self.ready = asyncio.Event()
        self.behind = FleetBehind(
            Config(keys=home / "keys"), of_fleet, generation=generation, set_ready=lambda _: self.ready.set()
        )
        self.held = Held(of_home, follows=False)
        self.home_behind = HomeBehind(home, self.held)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
        """Give a client of the fleet's gateway and one of the home's."""
        async with self.behind.running(), self.held.running():
            with asking(self.behind) as of_fleet, asking(self.home_behind) as of_home:
                async with asyncio.timeout(30):
                    await self.ready.wait()
                yield of_fleet, of_home


@asynccontextmanager
async def both(fleet: Fleet, home: Path) -> AsyncIterator[Both]:
    """Live in a home, and have Kafka hold the same."""
    settings, nothing = KafkaSettings(bootstrap_servers=fleet.broker.servers), Vector()
    await apply_topics(settings, TOPICS, replication=1)
    first, last = await lived(home)
    async with await KafkaLog.open(settings, TOPICS) as log, opened(home) as memory:
        source = memory.instance.log
        moments_ms = [await copied(source, log, *part) for part in ((nothing, first), (first, last))]
        yield Both(memory, log, moments_ms, home)


def found(answer: httpx.Response) -> dict[str, Any]:
    """Return what was answered well."""
    assert answer.status_code == httpx.codes.OK, answer.text
    return dict(answer.json())


@pytest.mark.slow
async def test_the_past_of_a_fleet_is_that_of_a_home(
    fleet: Fleet, place: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two moments, and from one to now, of words that are sealed; what it takes is gone after the answer."""
    at_home = [format_ms(START_MS + number * DAY_MS) for number in (1, 2)]
    async with both(fleet, place / "home") as world, world.asking() as (of_fleet, of_home):
        for number in range(2):
            asked = dict(zip(("before", "after"), world.moments[number:], strict=False))
            same = dict(zip(("before", "after"), at_home[number:], strict=False))
            answer = found(await of_fleet.get(PATH, params=asked))
            assert answer == found(await of_home.get(PATH, params=same))
            assert answer["equal"] == (number == 1)
            assert names(temporary) == []
        first = found(await of_fleet.get(PATH, params={"before": world.moments[0]}))
        assert [one["text"] for one in first["memories"]["added"]]
        assert first["edges"]
        assert first["facts"]["added"]
        none = await of_fleet.get(PATH, params={"before": "1990-01-01T00:00:00Z"})
        assert (none.status_code, "held nothing yet" in none.text) == (400, True)

        await it_is_refused(of_fleet, world, monkeypatch)
        await it_is_cancelled(of_fleet, world, temporary, monkeypatch)
        await somebody_is_erased(of_fleet, world, monkeypatch)
        assert names(temporary) == []


async def it_is_refused(client: httpx.AsyncClient, world: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too much to read, too long, no room: it says which commands do it instead. What is away comes back."""
    past = "helamem.streams.fleet.past"
    for name, value, why in (
        ("MOST_RECORDS", 3, "records would have to be read, and at most 3 are"),
        ("LONGEST_S", 0.0, "that takes longer than 0 s"),
        ("ROOM_BYTES", 2**60, "or set TMPDIR to a directory with more"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"{past}.{name}", value)
            answer = await client.get(PATH, params={"before": world.moments[0]})
        assert (answer.status_code, answer.json()["type"]) == (501, "urn:helamem:problem:not-here")
        assert why in answer.json()["detail"]
        assert "helamem replay --kafka --spaces acme/anna --until TIME --into DIR" in answer.json()["detail"]

    async def away(*_: object, **__: object) -> list[NewRecord]:
        raise RetryLater("Kafka is away")

    with monkeypatch.context() as patch:
        patch.setattr(f"{past}.PATIENCE_S", 0.0)
        patch.setattr("helamem.processors.encoding.processor.Encoding.process", away)
        answer = await client.get(PATH, params={"before": world.moments[0]})
    assert (answer.status_code, answer.json()["detail"]) == (503, "Kafka is away")


async def it_is_cancelled(
    client: httpx.AsyncClient, world: Both, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a child writes: both are gone then."""
    begun = asyncio.Event()
    fold = Encoding.process

    async def noted(self: Encoding, batch: Batch) -> Effects:
        begun.set()
        return await fold(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr("helamem.streams.replay.FEW", 0)
        patch.setattr(Encoding, "process", noted)
        asking_ = asyncio.create_task(client.get(PATH, params={"before": world.moments[0]}))
        async with asyncio.timeout(30):
            await begun.wait()
        assert names(temporary)
        asking_.cancel()
        await asyncio.wait([asking_])
    assert asking_.cancelled()
    assert names(temporary) == []


async def somebody_is_erased(client: httpx.AsyncClient, world: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was put together before may hold their words: it is not answered."""

    async def erased(*stores: Any) -> dict[str, SpaceDifference]:
        data = SubjectErased(subject="Anna", memory_ids=(), fact_ids=(), keys=())
        event = Event(id="e", source="test", space="acme/anna", time_ms=1, data=data)
        await world.log.append([record_of(event)])
        return await difference(*stores)

    with monkeypatch.context() as patch:
        patch.setattr("helamem.streams.gateway.routes.lineage.difference", erased)
        answer = await client.get(PATH, params={"before": world.moments[0]})
    assert answer.status_code == 503
    assert "somebody was just erased in acme/anna" in answer.json()["detail"]


async def test_what_a_kill_left_goes_at_the_next_start(temporary: Path) -> None:
    """What another gateway is at work in stays, and so does what is only just being made."""
    left, used = temporary / "helamem-past-left", temporary / "helamem-past-used"
    new, old = temporary / ".helamem-past-new", temporary / ".helamem-past-old"
    for folder in (left, used, new, old):
        (folder / "0").mkdir(parents=True)
    (temporary / "of-somebody").mkdir()
    (temporary / "helamem-past-elsewhere").symlink_to(temporary / "of-somebody")
    os.utime(old, (time.time() - 3600,) * 2)
    lock = WriterLock.take(used / "past.lock", "it", wall_clock_ms)

    def nothing() -> AbstractAsyncContextManager[Memory]:
        raise RetryLater("it is away")

    async def generation() -> int:
        return 1

    async with FleetBehind(Config(), nothing, generation=generation).running():
        pass
    staying = [".helamem-past-new", "helamem-past-elsewhere", "helamem-past-used", "of-somebody"]
    assert names(temporary) == staying
    lock.release()
    sweep()
    assert not used.exists()
