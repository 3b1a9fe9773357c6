"""QdrantStore under the contract: against the client's local mode, and against a server where there is one."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from qdrant_client import AsyncQdrantClient

from contracts.store_contract import DIMENSION, A, Reopen, StoreContract, checkpoint, fact, memory
from helamem.processors.store.port import FactRecord, Writes
from helamem.processors.store.qdrant import QdrantStore
from helamem.processors.store.qdrant_checkpoints import PIECE
from helamem.processors.store.tombstones import erased_fact
from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.schemas.records import Position

SERVER = os.environ.get("HELAMEM_TEST_QDRANT")

pytestmark = pytest.mark.filterwarnings(
    # Local mode scans everything; the indexes are for a server, and creating them is part of what is tested.
    "ignore:Payload indexes have no effect in the local Qdrant:UserWarning"
)


@pytest.fixture
async def stores() -> AsyncIterator[list[QdrantStore]]:
    """Every store that a test opens; they are closed in the end."""
    opened: list[QdrantStore] = []
    yield opened
    for store in opened:
        await store.close()


class TestQdrantStoreLocal(StoreContract):
    """In local mode, in a directory so that it can be opened again."""

    @pytest.fixture
    def big_batch(self) -> int:
        """A tenth of the embedded store's: local mode takes 1,000 points a second."""
        return 500

    @pytest.fixture
    async def store(self, tmp_path: Path, stores: list[QdrantStore]) -> QdrantStore:
        client = AsyncQdrantClient(path=str(tmp_path / "qdrant"))
        stores.append(await QdrantStore.open(client, dimension=DIMENSION))
        return stores[-1]

    @pytest.fixture
    def reopen(self, tmp_path: Path, stores: list[QdrantStore]) -> Reopen:
        async def again() -> QdrantStore:
            await stores[-1].close()
            client = AsyncQdrantClient(path=str(tmp_path / "qdrant"))
            stores.append(await QdrantStore.open(client, dimension=DIMENSION))
            return stores[-1]

        return again


class Amended(QdrantStore):
    """A store in which a worker amends facts right after somebody has read them."""

    amendments: tuple[FactRecord, ...] = ()

    async def facts(self, space: str, fact_ids: Sequence[str]) -> dict[str, FactRecord]:
        """Return them as they were before."""
        found = await super().facts(space, fact_ids)
        amendments, self.amendments = self.amendments, ()
        await self.write(Writes(amendments=amendments))
        return found


async def test_a_fact_that_is_told_once_more_while_it_is_erased_keeps_what_it_got() -> None:
    """Its tombstone has the later evidence and position, and no vector of its words."""
    store = await Amended.open(AsyncQdrantClient(":memory:"), dimension=DIMENSION)
    told, other = fact(1, "the gone bread"), fact(2, "the gone cake")
    await store.write(Writes(facts=(told, other)))
    evidence = (*told.record.evidence, memory(3).turn.id)
    more = replace(told.record, evidence=evidence, evidence_hashes=("0" * 64,) * 3, position=Position(1, 9))
    assert isinstance(store, Amended)
    store.amendments = (erased_fact(more),)
    await store.erase(A, [told.record.id, other.record.id])
    found = {one.id: one async for one in store.scan_facts(A)}
    assert found == {told.record.id: erased_fact(more), other.record.id: erased_fact(other.record)}
    assert not (await store.search_facts(A, told.dense, "bread", 5)).dense
    await store.close()


@pytest.mark.skipif(SERVER is None, reason="HELAMEM_TEST_QDRANT names no Qdrant server, such as http://localhost:6333")
class TestQdrantStoreServer(StoreContract):
    """Against the server that HELAMEM_TEST_QDRANT names, in collections of its own."""

    @pytest.fixture
    def big_batch(self) -> int:
        return 5000

    @pytest.fixture
    def prefix(self) -> str:
        return f"contract-{uuid.uuid4().hex[:8]}"

    @pytest.fixture
    async def store(self, prefix: str, stores: list[QdrantStore]) -> AsyncIterator[QdrantStore]:
        client = AsyncQdrantClient(url=SERVER, prefer_grpc=True)
        stores.append(await QdrantStore.open(client, dimension=DIMENSION, prefix=prefix))
        yield stores[-1]
        cleaner = AsyncQdrantClient(url=SERVER)
        for collection in (await cleaner.get_collections()).collections:
            if collection.name.startswith(prefix):
                await cleaner.delete_collection(collection.name)
        await cleaner.close()

    @pytest.fixture
    def reopen(self, prefix: str, stores: list[QdrantStore]) -> Reopen:
        async def again() -> QdrantStore:
            await stores[-1].close()
            client = AsyncQdrantClient(url=SERVER, prefer_grpc=True)
            stores.append(await QdrantStore.open(client, dimension=DIMENSION, prefix=prefix))
            return stores[-1]

        return again


async def test_collections_made_for_something_else_are_refused() -> None:
    """Another dimension or language under the same prefix; another prefix is another store."""
    client = AsyncQdrantClient(":memory:")
    await QdrantStore.open(client, dimension=DIMENSION)
    with pytest.raises(ConfigurationError, match="has the dimension 32, not 64; use what it was made with"):
        await QdrantStore.open(client, dimension=64)
    with pytest.raises(ConfigurationError, match="has the language 'english', not 'german'"):
        await QdrantStore.open(client, dimension=DIMENSION, language="german")
    await QdrantStore.open(client, dimension=64, prefix="other")
    await client.close()


async def test_a_large_checkpoint_leaves_no_old_pieces(stores: list[QdrantStore]) -> None:
    """It is cut into pieces, and those of the checkpoint before it are removed once it is in force."""
    client = AsyncQdrantClient(":memory:")
    stores.append(await QdrantStore.open(client, dimension=DIMENSION))
    for offset, state in enumerate((os.urandom(3 * PIECE), os.urandom(2 * PIECE), b"small", os.urandom(PIECE))):
        await stores[0].save_checkpoint(checkpoint(state, 9 if offset == 2 else offset))  # the last one comes too late
    # The description, the checkpoint, and its one piece.
    assert (await client.count("helamem-checkpoints")).count == 3


@pytest.mark.parametrize(("late", "stays"), [(1, b"new"), (3, b"late")])
async def test_two_who_save_a_checkpoint_at_once(
    stores: list[QdrantStore], monkeypatch: pytest.MonkeyPatch, late: int, stays: bytes
) -> None:
    """One stops between its pieces and their point while the other saves: the newer stays, whole, and no piece more."""
    client = AsyncQdrantClient(":memory:")
    stores.append(await QdrantStore.open(client, dimension=DIMENSION))
    await stores[0].save_checkpoint(checkpoint(b"old", 0))
    update, stopped, go_on = client.batch_update_points, asyncio.Event(), asyncio.Event()

    async def stop_once(*arguments: Any, **options: Any) -> Any:
        if not stopped.is_set():
            stopped.set()
            await go_on.wait()
        return await update(*arguments, **options)

    monkeypatch.setattr(client, "batch_update_points", stop_once)
    saving = asyncio.create_task(stores[0].save_checkpoint(checkpoint(b"late", late)))
    await stopped.wait()
    await stores[0].save_checkpoint(checkpoint(b"new", 2))
    go_on.set()
    await saving
    (stored,) = (await stores[0].load_checkpoints("coactivation")).values()
    assert stored.state == stays
    assert (await client.count("helamem-checkpoints")).count == 3


async def test_a_server_that_is_away_is_worth_another_try() -> None:
    """Whoever opens or writes is told what could not be reached."""
    client = AsyncQdrantClient(url="http://127.0.0.1:9", check_compatibility=False, timeout=1)
    with pytest.raises(RetryLater, match="Qdrant cannot be reached"):
        await QdrantStore.open(client, dimension=DIMENSION)
    await client.close()


async def test_vectors_of_another_length_are_refused_before_anything_is_written(stores: list[QdrantStore]) -> None:
    """In our words, not in the engine's."""
    client = AsyncQdrantClient(":memory:")
    stores.append(await QdrantStore.open(client, dimension=DIMENSION * 2))
    with pytest.raises(ConfigurationError, match=r"holds vectors of 64 numbers"):
        await stores[0].write(Writes(memories=(memory(1),)))
    assert await stores[0].turns(A, [memory(1).turn.id]) == {}
