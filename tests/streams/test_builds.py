"""A build of the fleet's store beside the one in use: filled, compared, switched to and back, in local mode.

The log is the embedded one and the pumps are the fleet's; what a real server does with aliases was not tried here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models

from fakes.embedding_service import never_the_same, serving
from fakes.events import SPACE, forgotten, message, recalled, record, reinforced
from fakes.machine import SETTINGS, Machine
from fakes.qdrant_server import RecordingServer
from fakes.words import wordllama
from helamem.processors.digest import digest
from helamem.processors.embedder.openai import OpenAIEmbedder
from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.processors.encoding.processor import Encoding
from helamem.processors.store.port import Writes
from helamem.processors.store.qdrant import QdrantStore
from helamem.processors.store.qdrant_builds import KINDS, build_in_use, builds_there, put_in_use
from helamem.schemas.errors import BadInput, ConfigurationError, RetryLater
from helamem.schemas.topics import EFFECTS, FACTS, TOPICS
from helamem.streams.builds import Built, Server, build_beside, switch_back
from helamem.streams.effects.vectors import recording
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.sealing.keys import KeyFiles, make_keys
from helamem.streams.sealing.seal import Sealer
from helamem.streams.settings_log import apply_settings, settings_in_force
from streams.cli.shell import run

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning")

PREFIX = "fleet"
DIMENSION = wordllama().dimension


async def nobody() -> Mapping[str, int]:
    """No worker runs."""
    return {}


class World:
    """A log, a server and whoever works on them."""

    def __init__(self, log: SqliteLog, client: AsyncQdrantClient, work: Path) -> None:
        self.log = log
        self.server = Server(client=client, prefix=PREFIX)
        self.work = work
        self.said = 0

    async def store(self, **options: Any) -> QdrantStore:
        """Open the store as a worker does."""
        options = {"dimension": DIMENSION, "pinned": True, **options}
        return await QdrantStore.open(self.server.client, prefix=PREFIX, **options)

    async def worker(self) -> Machine:
        """Return a worker that has just started."""
        return Machine(self.log, await self.store(), SETTINGS, wordllama())

    async def live(self, one: Machine) -> None:
        """Say things, recall, forget, and process all of it."""
        ids = [f"m{self.said + n}" for n in range(5)]
        await one.append(*[message(id_, f"{id_}: the blue tent and the lake near Bergen") for id_ in ids])
        await one.append(recalled(f"r{self.said}", ids), reinforced(f"u{self.said}", ids))
        await one.settle()
        await one.append(forgotten(f"f{self.said}", ids[0]))
        await one.settle()
        self.said += 5

    async def build(self, **options: Any) -> Built:
        """Build beside, with the default embedder, which is loaded already."""
        options = {"at_work": nobody, "embedder": wordllama(), **options}
        return await build_beside(self.log, self.server, self.work, **options)

    async def records(self, topic: str) -> int:
        """Return how many records a topic has."""
        return sum((await self.log.end_offsets(await self.log.partitions(topic))).values())


@asynccontextmanager
async def world(place: Path) -> AsyncIterator[World]:
    """Open a log with settings and an empty server."""
    clock = iter(range(1_750_000_000_000, 1_760_000_000_000))
    client = AsyncQdrantClient(":memory:")
    async with await SqliteLog.open(place / "log.sqlite", TOPICS, lambda: next(clock)) as log:
        await apply_settings(log, SETTINGS, lambda: 0)
        yield World(log, client, place)
    await client.close()


async def test_built_compared_switched_and_back(tmp_path: Path) -> None:
    """Nothing is lost, nothing is told twice, and a worker of the other build refuses at its next checkpoint."""
    async with world(tmp_path) as one:
        worker = await one.worker()
        await one.live(worker)
        first = await one.build()
        assert (first.build, first.in_use, first.compared) == (2, 1, "equal")
        assert first.replayed.reproduced
        assert first.replayed.hubs.recorded > 0
        await one.live(worker)  # the fleet goes on meanwhile
        reader = await one.store(pinned=False)
        facts = await one.records(FACTS.name)
        switched = await one.build(switch=True)
        assert (switched.build, switched.in_use, switched.compared) == (2, 2, "equal")
        assert await build_in_use(one.server.client, PREFIX) == 2
        wanted = await worker.digest()
        assert switched.replayed.digest.digest == wanted == (await digest(reader)).digest
        await worker.append(message("late", "late"))
        with pytest.raises(ConfigurationError, match="build 2 of the store fleet is in use and no longer build 1"):
            await worker.settle()
        assert (await digest(reader)).digest == wanted
        fresh = await one.worker()
        await fresh.settle()
        assert await one.records(FACTS.name) == facts, "what consolidation told goes along"
        await one.live(fresh)
        there = (await digest(reader)).digest
        assert there == await fresh.digest() != wanted
        assert await switch_back(one.server, at_work=nobody) == (2, 1)
        back = await one.worker()
        facts = await one.records(FACTS.name)
        await back.settle()
        assert await one.records(FACTS.name) == facts
        assert (await digest(reader)).digest == there, "the earlier build has folded what happened since"
        again = await one.build(switch=True)
        assert (again.build, again.in_use, again.compared) == (2, 2, "equal")
        assert await switch_back(one.server, at_work=nobody) == (2, 1)
        with pytest.raises(BadInput, match="no build before build 1"):
            await switch_back(one.server, at_work=nobody)


async def test_it_is_not_switched_while_anything_is_under_way(tmp_path: Path) -> None:
    """Workers that run, records that wait: both are named; without a switch it is only not compared."""

    async def somebody() -> Mapping[str, int]:
        return {"encoding": 2}

    async with world(tmp_path) as one:
        with pytest.raises(BadInput, match="has no store fleet yet; start a worker"):
            await one.build()
        worker = await one.worker()
        await one.live(worker)
        with pytest.raises(RetryLater, match=r"workers are at work: encoding \(2\); stop them"):
            await one.build(switch=True, at_work=somebody)
        await worker.append(message("late", "late"))
        with pytest.raises(RetryLater, match="the build in use has yet to process 1 records"):
            await one.build(switch=True)
        assert (await one.build()).compared == "not compared"
        await worker.settle()
        assert (await one.build(switch=True)).in_use == 2
        with pytest.raises(RetryLater, match="workers were started meanwhile: encoding; stop them"):
            await switch_back(one.server, at_work=somebody)
        assert await build_in_use(one.server.client, PREFIX) == 2


async def test_a_build_that_differs_is_not_switched_to(tmp_path: Path) -> None:
    """Both digests are named, and the aliases stay."""
    async with world(tmp_path) as one:
        worker = await one.worker()
        await one.live(worker)
        await one.build()
        beside = await one.store(build=2, pinned=False)
        (turn, *_) = [turn async for turn in beside.scan_turns(SPACE)]
        await one.server.client.delete(f"{PREFIX}-memories.b2", [turn.id])
        assert (await digest(beside)).digest != await worker.digest()
        with pytest.raises(ConfigurationError, match=r"has the digest sha256:\w+ and the one in use sha256:"):
            await one.build(switch=True)
        assert await build_in_use(one.server.client, PREFIX) == 1


async def test_a_build_by_another_embedder(tmp_path: Path) -> None:
    """Its answers are recorded, its links are the same, it says what embeds it, and another embedder is refused."""
    with serving() as service:
        never_the_same(service)
        remote = OpenAIEmbedder(base_url=service.url, model="m", dimension=3)
        with closing(remote._client):
            async with world(tmp_path) as one:
                worker = await one.worker()
                await one.live(worker)
                options = {"re_embed": "openai:m", "embedder": remote}
                await one.build(**options)
                calls = len(service.calls)
                built = await one.build(switch=True, **options)
                assert (built.compared, built.settings.encoding.embedder) == ("embedded anew", "openai:m")
                assert len(service.calls) == calls
                assert await one.records(EFFECTS.name) == len(service.texts)
                store = await one.store(dimension=3)
                in_force = await settings_in_force(one.log, await store.load_checkpoints(ENCODING))
                assert in_force is not None
                assert in_force.encoding.embedder == "openai:m"
                await worker.append(message("late", "late"))
                other = Machine(one.log, store, SETTINGS, wordllama())
                with pytest.raises(ConfigurationError, match="is embedded by openai:m, not by wordllama"):
                    await other.settle()
                # The next build is embedded by the same, without being told.
                with recording(remote, one.log, lambda: 0, cache=None, index=tmp_path / "worker.sqlite") as vectors:
                    await other.pump(Encoding(store, vectors, in_force)).run(until=await other.ends())
                assert (await one.build(embedder=remote)).settings.encoding.embedder == "openai:m"


async def test_what_is_away_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build waits for the store, and whoever asked for it hears of that."""
    async with world(tmp_path) as one:
        await one.live(await one.worker())
        real, left = QdrantStore.write, ["the Qdrant server is away"]

        async def away_once(self: QdrantStore, writes: Writes) -> None:
            if left:
                raise RetryLater(left.pop())
            await real(self, writes)

        monkeypatch.setattr(QdrantStore, "write", away_once)
        waited: list[str] = []
        built = await one.build(on_retry=lambda error: waited.append(str(error)))
        assert (waited, built.compared) == (["the Qdrant server is away"], "equal")


async def test_a_sealed_record_stops_no_build(tmp_path: Path) -> None:
    """It is passed over, as workers put it aside: neither has keys."""
    async with world(tmp_path) as one:
        await one.live(await one.worker())
        make_keys(tmp_path / "keys")
        await one.log.append([record(Sealer(KeyFiles(tmp_path / "keys"), ["acme"]).seal(message("shut", "…")))])
        built = await one.build()
        assert (built.replayed.dead_letters, built.compared) == (1, "not compared")
        assert built.replayed.digest.spaces[SPACE].counts["memories"] == one.said


async def test_aliases_that_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    """Somebody changed one of them by hand."""
    async with world(tmp_path) as one:
        await one.live(await one.worker())
        await one.build()
        assert await builds_there(one.server.client, PREFIX) == [1, 2]
        move = models.CreateAlias(collection_name=f"{PREFIX}-edges.b2", alias_name=f"{PREFIX}-edges")
        await one.server.client.update_collection_aliases([models.CreateAliasOperation(create_alias=move)])
        with pytest.raises(ConfigurationError, match=r"lead to .*not to one build; set all five"):
            await one.worker()


async def test_all_aliases_change_in_one_request() -> None:
    """A server applies one request as a whole."""
    server = RecordingServer()
    await server.start()
    client = AsyncQdrantClient(
        url="http://127.0.0.1", grpc_port=server.port, prefer_grpc=True, timeout=7, check_compatibility=False
    )
    try:
        store = await QdrantStore.open(client, dimension=3, prefix=PREFIX, pinned=True)
        await store.write(Writes())
        await QdrantStore.open(client, dimension=3, prefix=PREFIX, build=2)
        assert set(server.aliases.values()) == {f"{PREFIX}-{kind}.b1" for kind in KINDS}
        await put_in_use(client, PREFIX, 2)
        (_, switched) = server.of("UpdateAliases")
        assert len(switched.actions) == 2 * len(KINDS)
        assert server.aliases == {f"{PREFIX}-{kind}": f"{PREFIX}-{kind}.b2" for kind in KINDS}
    finally:
        await client.close()
        await server.stop()


def test_the_command_needs_a_qdrant_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The store process has one store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HELAMEM_STORE", "process")
    ran = run("rebuild")
    assert (ran.code, list(tmp_path.iterdir())) == (2, [])
    assert "helamem rebuild is for a Qdrant server; set HELAMEM_STORE=qdrant, or use: helamem replay" in ran.err
    both = run("rebuild", "--switch", "--switch-back")
    assert both.code == 2
