"""Filters, queries and operations in the Qdrant client's terms."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from qdrant_client import models
from qdrant_edge import SparseVector

from helamem.processors.store.payload import (
    GENERATION,
    OFFSET,
    PLACE,
    SPACE,
    TIME,
    TOPICS,
    amended_payload,
    conversation_prefix,
    moves,
    place,
    shelves,
)
from helamem.processors.store.port import FactRecord, Place, Vector
from helamem.processors.store.qdrant_collections import DENSE, LEXICAL
from helamem.schemas.records import Position


def visible(space: str, until_ms: int | None = None, since_ms: int | None = None) -> models.Filter:
    """Return the filter for what may be recalled in a space."""
    conditions: list[models.Condition] = [_equals(SPACE, space)]
    if until_ms is not None:
        conditions.append(models.FieldCondition(key=TIME, range=models.Range(lte=until_ms)))
    if since_ms is not None:
        conditions.append(models.FieldCondition(key=TIME, range=models.Range(gte=since_ms)))
    return models.Filter(must=conditions)


def within(space: str | None) -> models.Filter | None:
    """Return the filter for everything of a space, hidden or not; None for all spaces."""
    return None if space is None else models.Filter(must=[_on_any(shelves(space))])


def at(space: str, places: Iterable[Place], memory_ids: Collection[str]) -> models.Filter:
    """Return the filter for what is visible at these places or has these ids."""
    either: list[models.Condition] = []
    keys = [place(space, conversation, turn) for conversation, turn in places]
    if keys:
        either.append(models.FieldCondition(key=PLACE, match=models.MatchAny(any=keys)))
    if memory_ids:
        either.append(models.HasIdCondition(has_id=list(memory_ids)))
    return models.Filter(must=[_equals(SPACE, space)], should=either)


def about(space: str, topics: Sequence[str]) -> models.Filter:
    """Return the filter for what is visible in a space and about any of some topics."""
    topical = models.FieldCondition(key=TOPICS, match=models.MatchAny(any=[*topics]))
    return models.Filter(must=[_equals(SPACE, space), topical])


def in_conversation(space: str, conversation: str) -> models.Filter:
    """Return the filter for the turns of a conversation, hidden or not."""
    prefix = models.MatchPrefix(prefix=conversation_prefix(space, conversation))
    return models.Filter(must=[models.FieldCondition(key=PLACE, match=prefix)])


def nearest(
    space: str,
    dense: Vector,
    lexical: SparseVector,
    limit: int,
    where: models.Filter,
    *,
    quantized: models.QuantizationSearchParams | None,
) -> list[models.QueryRequest]:
    """Return the query by vector and, where the text has words, the query by words."""
    by_vector = None if quantized is None else models.SearchParams(quantization=quantized)
    requests = [models.QueryRequest(query=dense.tolist(), using=DENSE, filter=where, limit=limit, params=by_vector)]
    if lexical.indices:
        requests.append(
            models.QueryRequest(
                query=models.SparseVector(indices=lexical.indices, values=lexical.values),
                using=LEXICAL,
                filter=where,
                limit=limit,
                # What is rare is rare within the space; other tenants' words must not move a score.
                params=models.SearchParams(idf=models.IdfCorpusParams(corpus=visible(space))),
            )
        )
    return requests


def older(position: Position) -> models.Filter:
    """Return the filter for what is older than a position."""
    return models.Filter(
        should=[
            models.FieldCondition(key=GENERATION, range=models.Range(lt=position.generation)),
            models.Filter(
                must=[
                    models.FieldCondition(key=GENERATION, match=models.MatchValue(value=position.generation)),
                    models.FieldCondition(key=OFFSET, range=models.Range(lt=position.offset)),
                ]
            ),
        ]
    )


def replacement(points: Sequence[models.PointStruct], position: Position) -> models.UpsertOperation:
    """Return the operation that writes points where they are absent or older than a position."""
    return models.UpsertOperation(upsert=models.PointsList(points=list(points), update_filter=older(position)))


def amendment(fact: FactRecord) -> models.SetPayloadOperation:
    """Return the operation that gives a fact its new payload where it is there and older."""
    this = models.Filter(
        must=[models.HasIdCondition(has_id=[fact.id]), _on_any(shelves(fact.space)), older(fact.position)]
    )
    return models.SetPayloadOperation(set_payload=models.SetPayload(payload=amended_payload(fact), filter=this))


def move(space: str, targets: Sequence[str], *, hidden: bool) -> list[models.UpdateOperation]:
    """Return the operations that hide or show those targets that exist in this very space."""
    return [
        models.SetPayloadOperation(
            set_payload=models.SetPayload(
                payload={SPACE: into},
                filter=models.Filter(must=[models.HasIdCondition(has_id=list(targets)), _on_any(where)]),
            )
        )
        for where, into in moves(space, hidden=hidden)
    ]


def _equals(key: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def _on_any(values: list[str]) -> models.FieldCondition:
    return models.FieldCondition(key=SPACE, match=models.MatchAny(any=values))
