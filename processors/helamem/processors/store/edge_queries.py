"""Filters, queries and operations in Edge's terms."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from qdrant_edge import (
    Direction,
    FieldCondition,
    Filter,
    HasIdCondition,
    IdfParams,
    MatchAny,
    MatchPrefix,
    MatchValue,
    OrderBy,
    Point,
    Query,
    QueryRequest,
    RangeFloat,
    ScrollRequest,
    SearchParams,
    SparseVector,
    UpdateMode,
    UpdateOperation,
)

from helamem.processors.store.edge_shards import DENSE, LEXICAL
from helamem.processors.store.payload import (
    GENERATION,
    OFFSET,
    PLACE,
    SPACE,
    TIME,
    TOPICS,
    TURN,
    TURN_FIELDS,
    amended_payload,
    conversation_prefix,
    moves,
    shelves,
)
from helamem.processors.store.port import FactRecord, Place, Said, Vector
from helamem.schemas.records import Position

if TYPE_CHECKING:
    from qdrant_edge import PointId  # the stub alone has the name


def visible(space: str, until_ms: int | None = None, since_ms: int | None = None) -> Filter:
    """Return the filter for what may be recalled in a space."""
    conditions = [FieldCondition(key=SPACE, match=MatchValue(value=space))]
    if until_ms is not None:
        conditions.append(FieldCondition(key=TIME, range=RangeFloat(lte=float(until_ms))))
    if since_ms is not None:
        conditions.append(FieldCondition(key=TIME, range=RangeFloat(gte=float(since_ms))))
    return Filter(must=[*conditions])


def within(space: str | None) -> Filter | None:
    """Return the filter for everything of a space, hidden or not; None for all spaces."""
    return None if space is None else Filter(must=[_on_any(shelves(space))])


def at(space: str, places: Collection[Place], memory_ids: Collection[str]) -> Filter:
    """Return the filter for what is visible at these places or has these ids."""
    either: list[FieldCondition | HasIdCondition] = []
    begins = {name: conversation_prefix(space, name) for name in {name for name, _ in places}}
    keys = [f"{begins[conversation]}{turn}" for conversation, turn in places]
    if keys:
        either.append(FieldCondition(key=PLACE, match=MatchAny(any=keys)))
    if memory_ids:
        either.append(HasIdCondition(id_set(memory_ids)))
    in_space = FieldCondition(key=SPACE, match=MatchValue(value=space))
    if len(either) == 1:
        return Filter(must=[in_space, *either])
    return Filter(must=[in_space], should=[*either])


def about(space: str, topics: Sequence[str]) -> Filter:
    """Return the filter for what is visible in a space and about any of some topics."""
    in_space = FieldCondition(key=SPACE, match=MatchValue(value=space))
    return Filter(must=[in_space, FieldCondition(key=TOPICS, match=MatchAny(any=[*topics]))])


def id_set(ids: Iterable[str]) -> set[PointId]:
    """Return ids as the engine compares them."""
    return {UUID(id_) for id_ in ids}


def nearest(space: str, dense: Vector, lexical: SparseVector, limit: int, where: Filter) -> list[QueryRequest]:
    """Return the query by vector and, where the text has words, the query by words."""
    requests = [
        QueryRequest(limit=limit, query=Query.Nearest(dense.tolist(), using=DENSE), filter=where, with_payload=False)
    ]
    if lexical.indices:
        requests.append(
            QueryRequest(
                limit=limit,
                query=Query.Nearest(lexical, using=LEXICAL),
                filter=where,
                with_payload=False,
                # What is rare is rare within the space; other tenants' words must not move a score.
                params=SearchParams(idf=IdfParams(corpus=visible(space))),
            )
        )
    return requests


def last_turns(space: str, conversation: str, limit: int) -> ScrollRequest:
    """Return the request for the last turns of a conversation, last first."""
    prefix = MatchPrefix(prefix=conversation_prefix(space, conversation))
    return ScrollRequest(
        # The prefix names the space; a condition on its field would triple the time.
        filter=Filter(must=[FieldCondition(key=PLACE, match=prefix)]),
        limit=limit,
        with_payload=TURN_FIELDS,
        with_vector=False,
        order_by=OrderBy(TURN, direction=Direction.Desc),
    )


def first_turns(space: str, after: Said | None, limit: int) -> ScrollRequest:
    """Return the request for the first visible turns of a space, from the time of one on."""
    return ScrollRequest(
        filter=visible(space, since_ms=None if after is None else after[0]),
        limit=limit,
        with_payload=TURN_FIELDS,
        with_vector=False,
        order_by=OrderBy(TIME, direction=Direction.Asc),
    )


def insertion(points: list[Point]) -> UpdateOperation:
    """Return the operation that inserts what is absent and leaves the rest alone."""
    return UpdateOperation.upsert_points(points, update_mode=UpdateMode.InsertOnly)


def replacement(points: list[Point]) -> UpdateOperation:
    """Return the operation that writes points whatever is stored."""
    return UpdateOperation.upsert_points(points)


def amendment(fact: FactRecord) -> UpdateOperation:
    """Return the operation that gives a fact its new payload where it is there and older."""
    this = Filter(must=[HasIdCondition(id_set([fact.id])), _on_any(shelves(fact.space)), _older(fact.position)])
    return UpdateOperation.set_payload_by_filter(this, amended_payload(fact))


def _older(position: Position) -> Filter:
    return Filter(
        should=[
            FieldCondition(key=GENERATION, range=RangeFloat(lt=position.generation)),
            Filter(
                must=[
                    FieldCondition(key=GENERATION, match=MatchValue(value=position.generation)),
                    FieldCondition(key=OFFSET, range=RangeFloat(lt=position.offset)),
                ]
            ),
        ]
    )


def move(space: str, targets: Sequence[str], *, hidden: bool) -> list[UpdateOperation]:
    """Return the operations that hide or show those targets that exist in this very space."""
    return [
        UpdateOperation.set_payload_by_filter(
            Filter(must=[HasIdCondition(id_set(targets)), _on_any(where)]), {SPACE: into}
        )
        for where, into in moves(space, hidden=hidden)
    ]


def _on_any(values: list[str]) -> FieldCondition:
    return FieldCondition(key=SPACE, match=MatchAny(any=values))
