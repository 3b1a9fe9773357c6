"""A gateway before a fleet: what it does while something is away, migrated or erased by others.

The fleet is a home's log and store here, and its workers are the home's processors.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from fakes.machine import SETTINGS
from fakes.words import wordllama
from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.schemas.events import SubjectErased
from helamem.schemas.records import TopicPartition
from helamem.schemas.topics import CONVERSATIONS
from helamem.schemas.wire import Event
from helamem.streams.async_memory import AsyncMemory, Memory, Message
from helamem.streams.config import Config
from helamem.streams.fleet.backing import FleetBacking
from helamem.streams.gateway.app import build_app
from helamem.streams.gateway.fleet_behind import FleetBehind
from helamem.streams.gateway.following import FIRST, Following, positions_of
from helamem.streams.gateway.held import Held
from helamem.streams.gateway.home_behind import HomeBehind
from helamem.streams.gateway.keys import Keys
from helamem.streams.gateway.service import Service
from helamem.streams.ingest.incoming import record_of
from helamem.streams.lately import Lately
from helamem.streams.log.kafka_errors import explained
from helamem.streams.metrics import Metrics
from helamem.streams.metrics.server import Health
from streams.gateway.asking import SPACE, Gateway, said

SAID = Message(
    space="acme/mira", conversation="c", speaker="Mira", text="The cellar.", time=datetime(2025, 3, 1, tzinfo=UTC)
)


class Fleet:
    """What stands behind a gateway, and how it is."""

    def __init__(self, workers: AsyncMemory) -> None:
        self.workers = workers
        self.away: RetryLater | None = None
        self.generation = 1
        self.ready = {False: asyncio.Event(), True: asyncio.Event()}
        self.told: list[str] = []
        self.behind = FleetBehind(
            Config(),
            self._open,
            generation=self._generation,
            set_ready=self._note,
            on_retry=lambda error: self.told.append(str(error)),
        )
        metrics = Metrics()
        self.service = Service(self.behind, keys=Keys(None), metrics=metrics, health=Health(metrics), open_door=True)

    def _note(self, ready: bool) -> None:  # noqa: FBT001 - what else
        self.ready[ready].set()

    def backing(self) -> FleetBacking:
        instance = self.workers.instance
        return FleetBacking(instance.log, instance.store, instance.embedder, instance.settings)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Memory]:
        if self.away is not None:
            raise self.away
        yield Memory(self.backing())

    async def _generation(self) -> int:
        return self.generation

    def gateway(self) -> Gateway:
        """Return a client; the home is there for what the workers do."""

        @asynccontextmanager
        async def nobody() -> AsyncIterator[AsyncMemory]:
            yield self.workers

        return Gateway(build_app(self.service), self.service, HomeBehind(Path(), Held(nobody, follows=False)))


@pytest.fixture
async def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fleet]:
    monkeypatch.setattr("helamem.streams.gateway.fleet_behind.PROBE_S", 0.01)
    async with AsyncExitStack() as stack:
        opened = await AsyncMemory.open(tmp_path / "home", settings=SETTINGS, embedder=wordllama())
        workers = await stack.enter_async_context(opened)
        running = asyncio.create_task(workers.run())
        yield Fleet(workers)
        workers.stop()
        await running


async def until(fleet: Fleet, *, ready: bool) -> None:
    """Wait until it says so again."""
    fleet.ready[ready].clear()
    async with asyncio.timeout(30):
        await fleet.ready[ready].wait()


async def test_what_is_away_is_waited_for(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are told meanwhile what is missing; then they are answered, and a later outage is seen."""
    fleet.away = RetryLater("Kafka is away")
    async with fleet.gateway() as gateway:
        async with fleet.behind.running():
            await until(fleet, ready=False)
            answer = await gateway.get("/v1/spaces")
            assert (answer.status_code, answer.json()["detail"]) == (503, "Kafka is away")
            assert "retry-after" in answer.headers
            fleet.away = None
            await until(fleet, ready=True)
            appended = await gateway.post(f"{SPACE}/messages?wait=searchable", said(message_id="m"))
            assert (appended.status_code, appended.json()["searchable"]) == (201, True)
            recalled = (await gateway.post(f"{SPACE}/recall", {"query": "Lisbon"})).json()
            assert [one["id"] for one in recalled["results"]] == [appended.json()["memory_id"]]
            useful = {"recall_id": recalled["recall_id"], "memory_ids": [appended.json()["memory_id"]]}
            assert (await gateway.post(f"{SPACE}/reinforce", useful)).status_code == 200

            async def silent(*_: object) -> None:
                raise RetryLater("the store is away")

            with monkeypatch.context() as broken:
                broken.setattr(fleet.workers.instance.store, "load_checkpoints", silent)
                await until(fleet, ready=False)
            await until(fleet, ready=True)
        assert fleet.told[0] == "Kafka is away"
        assert "the store is away" in fleet.told
        assert (await gateway.get("/v1/spaces")).json()["detail"].startswith("the gateway is just stopping")


async def test_a_migration_ends_it(fleet: Fleet) -> None:
    """It would append to topics that nobody reads any more."""
    fleet.generation = 2
    with pytest.raises(ConfigurationError, match="migrated to generation 2, and this gateway works on generation 1"):
        async with fleet.behind.running(), asyncio.timeout(30):
            await asyncio.Event().wait()


async def test_appends_during_a_migration_are_to_be_sent_again(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka refuses them as too large, since topics that are being left take nothing."""

    async def left(*_: object) -> None:
        raise explained(MessageSizeTooLargeError(), "appending to helamem.conversations.g1/0", Config().kafka())

    monkeypatch.setattr(fleet.workers.instance.log, "append", left)
    async with fleet.gateway() as gateway, fleet.behind.running():
        await until(fleet, ready=True)
        for path, body in (("messages", said()), ("messages/batch", {"messages": [said()]})):
            refused = await gateway.post(f"{SPACE}/{path}", body)
            assert (refused.status_code, refused.json()["type"]) == (503, "urn:helamem:problem:retry-later")
            assert "during a migration" in refused.json()["detail"]
            assert "wait" in refused.json()["detail"]
            assert "retry-after" in refused.headers


async def test_who_is_waited_for_in_vain(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away is no failure of what is in the log: it is said that it cannot be recalled yet."""
    backing = fleet.backing()

    async def silent(*_: object) -> None:
        raise RetryLater("the store is away")

    monkeypatch.setattr(fleet.workers.instance.store, "load_checkpoints", silent)
    assert not await backing.encoded({TopicPartition("helamem.conversations.g1", 0): 1}, 0.2)
    assert not await backing.appended(await backing.ends(), 0.3)
    waiting = asyncio.create_task(backing.appended(await backing.ends(), 30))
    await fleet.workers.append([SAID])
    assert await waiting


async def test_what_somebody_else_erases_is_not_told(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that had read it from the log ends; from the beginning it stands there without words."""
    monkeypatch.setattr("helamem.streams.gateway.following._LOOK_S", 0.0)
    memory = Memory(fleet.backing())
    async with fleet.behind.running():
        await until(fleet, ready=True)
        ids = await fleet.workers.append([SAID, SAID, SAID])
        with fleet.service.memory() as memory:
            following = await Following.open(memory, "acme/mira", positions_of(FIRST))
        parts = following.parts(fleet.service)
        assert b"The cellar." in await anext(parts)
        erased = SubjectErased(subject="Mira", memory_ids=tuple(ids), fact_ids=(), keys=())
        event = Event(id="e", source="test", space="acme/mira", time_ms=1, data=erased)
        await memory.instance.log.append([record_of(event)])
        async with asyncio.timeout(30):
            assert [part async for part in parts] == []
        again = await Following.open(memory, "acme/mira", positions_of(FIRST))
        told = again.parts(fleet.service)
        assert [b"[erased]" in await anext(told) for _ in ids] == [True] * 3
        fleet.service.ending.set()


async def test_all_who_ask_at_once_are_answered_by_one_look() -> None:
    """Also where one of them gives up; what fails is told to all who wait, and looked up again."""
    looks = 0
    answered = asyncio.Event()

    async def look() -> int:
        nonlocal looks
        looks += 1
        await answered.wait()
        if looks > 1:
            raise RetryLater("away")
        return looks

    lately = Lately(look, 0.0)
    asking = [asyncio.create_task(lately.get()) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    answered.set()
    assert (await asyncio.gather(*asking[1:]), looks) == ([1] * 4, 1)
    with pytest.raises(RetryLater):
        await lately.get()
    assert looks == 2


def test_keys_that_cannot_be_written_are_recorded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mounted file says for ever that a change waits for the log; whoever has recorded it knows better."""
    Keys(tmp_path, "keys.json").add(
        tenant="acme", spaces=("*",), rights=("recall",), note="", per_s=None, clock=lambda: 5
    )
    keys = Keys(tmp_path, "keys.json")
    (waiting,) = keys.unrecorded()

    def read_only(*_: object, **__: object) -> int:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as mounted:
        mounted.setattr("os.open", read_only)
        keys.recorded([waiting])
    assert keys.unrecorded() == []
    assert Keys(tmp_path, "keys.json").unrecorded() == [waiting]
    with pytest.raises(ConfigurationError, match="HELAMEM_GATEWAY_KEYS"):
        Keys(None).limit("acme", per_s=1.0)
    assert not Keys(None).made()


async def test_the_gateways_of_a_fleet_append_what_the_store_lacks(fleet: Fleet) -> None:
    """A retry that comes before workers have seen the first is one more record and the same memory."""
    async with fleet.gateway() as gateway, fleet.behind.running():
        await until(fleet, ready=True)
        for _ in range(3):
            answer = await gateway.post(f"{SPACE}/messages?wait=searchable", said(), headers={"Idempotency-Key": "k"})
            assert answer.json()["searchable"]
        assert answer.json()["repeated"]
        assert (await gateway.get("/v1/spaces")).json()["spaces"] == [{"space": "acme/mira", "memories": 1}]
        log = fleet.workers.instance.log
        ends = await log.end_offsets(await log.partitions(CONVERSATIONS.name))
        assert sum(ends.values()) == CONVERSATIONS.partitions + 1
