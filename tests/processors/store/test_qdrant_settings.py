"""What a Qdrant server is asked for, as it is sent to one that keeps account of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from qdrant_client import AsyncQdrantClient, models
from qdrant_client import grpc as q
from qdrant_edge import SparseVector

from contracts.store_contract import DIMENSION, A, checkpoint, memory, row
from fakes.qdrant_server import RecordingServer
from helamem.processors.store.port import Writes
from helamem.processors.store.qdrant import QdrantStore
from helamem.processors.store.qdrant_options import search_of
from helamem.processors.store.qdrant_queries import nearest, visible
from helamem.processors.store.qdrant_settings import QdrantSettings
from helamem.schemas.errors import ConfigurationError, RetryLater

TIMEOUT_S = 7
CLUSTER = QdrantSettings(replication=3, payload_on_disk=False, quantization="scalar")


@pytest.fixture
async def server() -> AsyncIterator[RecordingServer]:
    server = RecordingServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(server: RecordingServer) -> AsyncIterator[AsyncQdrantClient]:
    client = AsyncQdrantClient(
        url="http://127.0.0.1", grpc_port=server.port, prefer_grpc=True, timeout=TIMEOUT_S, check_compatibility=False
    )
    yield client
    await client.close()


async def test_collections_are_made_as_configured(server: RecordingServer, client: AsyncQdrantClient) -> None:
    """Replicas, confirmations and payloads of all; quantisation and graphs within spaces of those with vectors."""
    await QdrantStore.open(client, dimension=DIMENSION, settings=CLUSTER)
    made = server.collections
    assert set(made) == {f"helamem-{kind}.b1" for kind in ("memories", "facts", "edges", "marks", "checkpoints")}
    assert server.aliases == {name.removesuffix(".b1"): name for name in made}
    assert {(one.replication_factor, one.write_consistency_factor) for one in made.values()} == {(3, 2)}
    assert {one.payload.memory for one in made.values()} == {q.Memory.Cached}
    for name, one in made.items():
        with_vectors = name in {"helamem-memories.b1", "helamem-facts.b1"}
        assert one.HasField("quantization_config") == with_vectors
        if with_vectors:
            assert one.quantization_config.scalar.type == q.QuantizationType.Int8
            assert (one.hnsw_config.m, one.hnsw_config.payload_m) == (0, 16)
            assert one.vectors_config.params_map.map["dense"].size == DIMENSION


async def test_the_space_is_the_tenant(server: RecordingServer, client: AsyncQdrantClient) -> None:
    """Wherever records have a space, the server keeps those of one space together."""
    await QdrantStore.open(client, dimension=DIMENSION)
    tenants = {
        request.collection_name
        for request in server.of("CreateFieldIndex")
        if request.field_index_params.keyword_index_params.is_tenant
    }
    assert tenants == {f"helamem-{kind}.b1" for kind in ("memories", "facts", "edges", "marks")}


async def test_every_write_waits_and_every_call_has_a_deadline(
    server: RecordingServer, client: AsyncQdrantClient
) -> None:
    """Nothing is asked for without the time-out, and no write without waiting until it is applied."""
    store = await QdrantStore.open(client, dimension=DIMENSION)
    await store.write(Writes(memories=(memory(1),), edges=(row(memory(1), 1),)))
    writes = [*server.of("CreateFieldIndex"), *server.of("Upsert"), *server.of("UpdateBatch")]
    assert len(writes) > 2
    assert all(request.wait for request in writes)
    # gRPC rounds up what is left of a deadline
    assert all(left is not None and left < TIMEOUT_S + 1 for left in server.deadlines_s)


async def test_a_write_that_is_taken_and_not_applied_is_worth_another_try(
    server: RecordingServer, client: AsyncQdrantClient
) -> None:
    """The server says so with a status and not with an error; nothing may be committed on such an answer."""
    store = await QdrantStore.open(client, dimension=DIMENSION)
    server.status = q.UpdateStatus.WaitTimeout
    for writes in (Writes(memories=(memory(1),)), Writes(edges=(row(memory(1), 1),))):
        with pytest.raises(RetryLater, match="did not apply it in time; it is written again"):
            await store.write(writes)
    with pytest.raises(RetryLater, match="did not apply it in time"):
        await store.save_checkpoint(checkpoint(b"state"))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (QdrantSettings(replication=2), "has replication 1, and 2 is configured"),
        (QdrantSettings(payload_on_disk=False), "has payload_on_disk True, and False is configured"),
        (QdrantSettings(quantization="binary"), "has quantization none, and binary is configured"),
    ],
)
async def test_collections_that_are_kept_otherwise_are_refused(
    client: AsyncQdrantClient, settings: QdrantSettings, complaint: str
) -> None:
    """With the setting, what the collection has, and what to do; with the same settings they are opened again."""
    await QdrantStore.open(client, dimension=DIMENSION)
    await QdrantStore.open(client, dimension=DIMENSION)
    with pytest.raises(ConfigurationError, match=rf"{complaint}.*\(HELAMEM_QDRANT_\w+\), or name another prefix"):
        await QdrantStore.open(client, dimension=DIMENSION, settings=settings)


@pytest.mark.parametrize("quantization", ["none", "scalar", "binary"])
async def test_what_is_made_with_settings_is_opened_with_them(client: AsyncQdrantClient, quantization: str) -> None:
    """Whatever they are."""
    settings = QdrantSettings(replication=2, write_consistency=1, quantization=quantization)  # type: ignore[arg-type] # of the list
    await QdrantStore.open(client, dimension=DIMENSION, settings=settings)
    await QdrantStore.open(client, dimension=DIMENSION, settings=settings)


@pytest.mark.parametrize("version", ["1.18.3", "0.9.0", "unknown"])
async def test_an_old_server_is_refused(server: RecordingServer, client: AsyncQdrantClient, version: str) -> None:
    """Before anything is made: it would take no notice of what it does not know."""
    server.version = version
    with pytest.raises(ConfigurationError, match=rf"Qdrant is version {version} and helamem needs 1\.19 or newer"):
        await QdrantStore.open(client, dimension=DIMENSION)
    assert not server.collections


def test_half_of_the_replicas_and_one_confirm() -> None:
    """Unless another number is set, which cannot be more than there are."""
    assert [QdrantSettings(replication=n).confirmations for n in (1, 2, 3, 5)] == [1, 2, 2, 3]
    assert QdrantSettings(replication=3, write_consistency=3).confirmations == 3
    with pytest.raises(ConfigurationError, match="2 replicas are to confirm a write and there are 1"):
        QdrantSettings(write_consistency=2)


def test_quantised_vectors_find_and_the_vectors_themselves_score() -> None:
    """So quantisation can lose a result and never moves a score."""
    words = SparseVector(indices=[1], values=[1.0])
    vector = memory(1).dense
    for settings in (QdrantSettings(), CLUSTER):
        dense, lexical = nearest(A, vector, words, 5, visible(A), quantized=search_of(settings))
        assert lexical.params is not None
        assert lexical.params.quantization is None
        asked = dense.params.quantization if dense.params else None
        wanted = models.QuantizationSearchParams(rescore=True, oversampling=2.0) if settings is CLUSTER else None
        assert asked == wanted
