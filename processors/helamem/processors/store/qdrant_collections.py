"""The collections on a Qdrant server, how they are made, and what the client's errors mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]  # ships no types; comes with qdrant-client
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from helamem.processors.store.payload import GENERATION, OFFSET, PLACE, SPACE, TIME, TOPICS, TURN
from helamem.processors.store.qdrant_builds import Collections
from helamem.processors.store.qdrant_options import check_kept, options_of
from helamem.processors.store.qdrant_settings import QdrantSettings
from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.schemas.ids import derived_id

SCHEMA = 3
"""Version of how records are stored; a store of another one is rebuilt from the log."""
OLDEST_SERVER = (1, 19)
"""The first that matches prefixes of keywords and counts rare words within a space; older ones take no notice."""
DENSE = "dense"
LEXICAL = "lexical"

_AGAIN = {408, 423, 429}
_REFUSED = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
_DESCRIPTION_ID = derived_id("store", "description")
_KEYWORD = models.KeywordIndexType.KEYWORD
_TENANT = models.KeywordIndexParams(type=_KEYWORD, is_tenant=True)
_PLAIN = models.KeywordIndexParams(type=_KEYWORD)
_PLACES = models.KeywordIndexParams(type=_KEYWORD, prefix=True, enable_hnsw=False)
_RANGE = models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=False, range=True, enable_hnsw=False)
_FENCE = models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=True, range=True, enable_hnsw=False)
_INDEXES: dict[str, dict[str, models.KeywordIndexParams | models.IntegerIndexParams]] = {
    "memories": {SPACE: _TENANT, PLACE: _PLACES, TURN: _RANGE, TIME: _RANGE},
    "facts": {SPACE: _TENANT, TIME: _RANGE, TOPICS: _PLAIN, GENERATION: _FENCE, OFFSET: _RANGE},
    "edges": {SPACE: _TENANT, GENERATION: _FENCE, OFFSET: _RANGE},
    "marks": {SPACE: _TENANT, GENERATION: _FENCE, OFFSET: _RANGE},
    "checkpoints": {"group": _PLAIN, "of": _PLAIN, GENERATION: _FENCE, OFFSET: _RANGE},
}
"""By collection and field. A server in strict mode refuses conditions on what has no index."""


async def open_collections(
    client: AsyncQdrantClient, names: Collections, dimension: int, language: str, settings: QdrantSettings
) -> None:
    """Make what is missing and refuse what was made for something else.

    Raises:
        ConfigurationError: The server is too old, or the collections were made for another dimension, language,
            version or with other settings.
    """
    with translated():
        _check_version((await client.info()).version)
        for kind, indexes in _INDEXES.items():
            name: str = getattr(names, kind)
            with_vectors = kind in {"memories", "facts"}
            options = options_of(settings, with_vectors=with_vectors)
            if await client.collection_exists(name):
                found_config = (await client.get_collection(name)).config
                check_kept(name, found_config, settings, with_vectors=with_vectors)
            else:
                await _make(client, name, dimension if with_vectors else None, options)
            # An index that is there already stays as it is, and one that a crash left out is made now.
            for field, schema in indexes.items():
                await client.create_payload_index(name, field, field_schema=schema)
        wanted = {"schema": SCHEMA, "dimension": dimension, "language": language}
        found = await client.retrieve(names.checkpoints, [_DESCRIPTION_ID])
        if not found:
            point = models.PointStruct(id=_DESCRIPTION_ID, vector={}, payload=wanted)
            await client.upsert(names.checkpoints, [point], update_mode=models.UpdateMode.INSERT_ONLY)
            found = await client.retrieve(names.checkpoints, [_DESCRIPTION_ID])
    made_for = found[0].payload or {}
    for what, value in wanted.items():
        if made_for.get(what) != value:
            raise ConfigurationError(
                f"the collection {names.memories} has the {what} {made_for.get(what)!r}, not {value!r}; "
                "use what it was made with, or name another prefix and replay the log into that"
            )


async def dimension_of(client: AsyncQdrantClient, names: Collections) -> int:
    """Return the length of the dense vectors of a store that is there."""
    vectors = (await client.get_collection(names.memories)).config.params.vectors
    assert isinstance(vectors, dict)  # it was made with names
    return vectors[DENSE].size


@contextmanager
def translated() -> Iterator[None]:
    """Turn the client's errors into ours."""
    try:
        yield
    except UnexpectedResponse as error:
        # Without the rest of the answer, and below without the details: they may quote what was asked or written.
        sentence = f"Qdrant answered {error.status_code} {error.reason_phrase}"
        status = error.status_code or 500
        if status >= 500 or status in _AGAIN:  # the server's own trouble
            raise RetryLater(sentence) from error
        raise ConfigurationError(f"{sentence}; check the address, the key and the collections") from error
    except grpc.RpcError as error:
        code = error.code() if isinstance(error, grpc.Call | grpc.aio.AioRpcError) else None
        if code in _REFUSED:
            raise ConfigurationError(
                f"Qdrant refused: {_outage(error, code)}; check the address, the key and the collections"
            ) from error
        raise RetryLater(f"Qdrant cannot be asked: {_outage(error, code)}") from error
    except (ResponseHandlingException, ApiException, OSError) as error:
        raise RetryLater(f"Qdrant cannot be reached: {error}") from error


def _outage(error: grpc.RpcError, code: grpc.StatusCode | None) -> str:
    """Return what keeps a call from an answer: of an outage, what the client itself says of the connection."""
    if code is grpc.StatusCode.UNAVAILABLE and isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return f"{code.name}: {error.details()}"
    return type(error).__name__ if code is None else str(code.name)


def applied(*results: models.UpdateResult) -> None:
    """See that the server has applied what it was asked to wait for.

    Raises:
        RetryLater: It took the write and did not finish it in time, so it is not yet to be seen.
    """
    if any(result.status is not models.UpdateStatus.COMPLETED for result in results):
        raise RetryLater("Qdrant took a write and did not apply it in time; it is written again")


def _check_version(version: str) -> None:
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST_SERVER:
        raise ConfigurationError(
            f"Qdrant is version {version} and helamem needs {OLDEST_SERVER[0]}.{OLDEST_SERVER[1]} or newer: "
            "an older one finds no conversation and counts the words of all spaces together; upgrade the server"
        )


async def _make(client: AsyncQdrantClient, name: str, dimension: int | None, options: dict[str, Any]) -> None:
    if dimension is None:
        await client.create_collection(name, vectors_config={}, **options)
        return
    await client.create_collection(
        name,
        vectors_config={DENSE: models.VectorParams(size=dimension, distance=models.Distance.COSINE)},
        sparse_vectors_config={LEXICAL: models.SparseVectorParams(modifier=models.Modifier.IDF)},
        # No graph over everything, one within each space: nobody may search across spaces.
        hnsw_config=models.HnswConfigDiff(m=0, payload_m=16),
        **options,
    )
