"""How records become payloads and back; both adapters store the same.

Converting payloads is what a write costs, about 2.5 µs a field, so only what the engine filters or sorts by is a
field of its own and the rest is one packed string.

A hidden memory or fact keeps everything and moves to a shelf that no space is named like: `-t/a` for `t/a`. So a
search needs one condition, on the tenant's field; a condition on a flag of its own was measured to cost 3 ms.
What is erased lies on shelves of its own, `!t/a` and `-!t/a`, so that it is not counted.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from helamem.processors.consolidation.claims.claim import Claim, slot_of
from helamem.processors.store.port import CollectionName, EdgeRow, FactRecord, Mark, Turn
from helamem.schemas.errors import ConfigurationError
from helamem.schemas.ids import derived_id, id_bytes, id_text
from helamem.schemas.records import Position

SPACE = "space"
PLACE = "place"
TURN = "turn"
TIME = "time_ms"
GENERATION = "generation"
OFFSET = "offset"
TOPICS = "topics"
PACKED = "packed"
Payload = dict[str, Any]

T = TypeVar("T")

_HIDDEN = "-"
_ERASED = "!"
_ID_BYTES = 16
_ROW_HEAD_BYTES = _ID_BYTES + 8


class _PackedTurn(Struct, array_like=True):
    message_id: str
    conversation: str
    turn: int
    previous: str | None
    speaker: str
    role: str
    text: str
    time_ms: int
    keywords: tuple[str, ...]
    content_hash: str
    vector_hash: str
    position: Position
    traceparent: str | None = None
    data_subjects: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()


class _PackedFact(Struct, array_like=True):
    kind: str
    text: str
    subject: str
    valid_from_ms: int
    evidence: tuple[str, ...]
    evidence_hashes: tuple[str, ...]
    hub: str
    distiller: str
    vector_hash: str
    position: Position
    traceparent: str | None = None
    data_subjects: tuple[str, ...] = ()
    key: str = ""
    value: str = ""
    valid_until_ms: int | None = None
    supersedes: tuple[str, ...] = ()
    sources: int = 0


class _PackedMark(Struct, array_like=True):
    collection: CollectionName
    target: str
    hidden: bool


_encode = msgspec.json.Encoder().encode
_decode_turn = msgspec.json.Decoder(_PackedTurn).decode
_decode_fact = msgspec.json.Decoder(_PackedFact).decode
_decode_mark = msgspec.json.Decoder(_PackedMark).decode


def shelf(space: str, *, hidden: bool, erased: bool) -> str:
    """Return the value of the space field of what is hidden or not, erased or not, in a space."""
    return f"{_HIDDEN if hidden else ''}{_ERASED if erased else ''}{space}"


def shelves(space: str) -> list[str]:
    """Return all values that the space field has in a space."""
    return [one for erased in (False, True) for one in _shelves(space, erased=erased)]


def _shelves(space: str, *, erased: bool) -> list[str]:
    return [shelf(space, hidden=hidden, erased=erased) for hidden in (False, True)]


def moves(space: str, *, hidden: bool) -> list[tuple[list[str], str]]:
    """Return from which shelves to which one things move that are hidden, or shown: what is erased stays apart."""
    return [(_shelves(space, erased=erased), shelf(space, hidden=hidden, erased=erased)) for erased in (False, True)]


def _first_shelf(record: Turn | FactRecord) -> str:
    return shelf(record.space, hidden=record.hidden, erased=record.erased)


def is_tombstone(payload: Mapping[str, Any]) -> bool:
    """Return whether a stored memory or fact lies where tombstones do."""
    return str(payload[SPACE]).removeprefix(_HIDDEN).startswith(_ERASED)


def space_of(shelf_value: str) -> str:
    """Return the space whose field has this value."""
    return shelf_value.removeprefix(_HIDDEN).removeprefix(_ERASED)


def remembered(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the number of memories of every space, without tombstones, by how many lie on each shelf."""
    spaces: dict[str, int] = {}
    for shelf_value, count in counts:
        space = space_of(shelf_value)
        erased = shelf_value in _shelves(space, erased=True)
        spaces[space] = spaces.get(space, 0) + (0 if erased else count)
    return dict(sorted(spaces.items()))


def conversation_prefix(space: str, conversation: str) -> str:
    """Return what the places of a conversation begin with, and those of no other one.

    The length stands in front because a conversation's name may hold any character; a space's name may not.
    """
    return f"{space} {len(conversation)}:{conversation}:"


def place(space: str, conversation: str, turn: int) -> str:
    """Return the value of the place field of a turn."""
    return f"{space} {len(conversation)}:{conversation}:{turn}"


def turn_payload(turn: Turn) -> Payload:
    """Return the payload of a memory; what is fresh is visible, whatever marks there are."""
    return {
        SPACE: _first_shelf(turn),
        PLACE: place(turn.space, turn.conversation, turn.turn),
        TURN: turn.turn,
        TIME: turn.time_ms,
        PACKED: _encode(
            (
                turn.message_id,
                turn.conversation,
                turn.turn,
                turn.previous,
                turn.speaker,
                turn.role,
                turn.text,
                turn.time_ms,
                turn.keywords,
                turn.content_hash,
                turn.vector_hash,
                turn.position,
                *_where_there_is_any(turn.traceparent, turn.data_subjects, turn.claims),
            )
        ).decode(),
    }


TURN_FIELDS = [SPACE, PACKED]
"""What `turn_of` and `fact_of` need."""


def turn_of(id_: str, payload: Mapping[str, Any]) -> Turn:
    """Return the turn of a stored memory."""
    packed = _unpacked(_decode_turn, payload)
    return Turn(
        id=id_,
        space=space_of(payload[SPACE]),
        message_id=packed.message_id,
        conversation=packed.conversation,
        turn=packed.turn,
        previous=packed.previous,
        speaker=packed.speaker,
        role=packed.role,
        text=packed.text,
        time_ms=packed.time_ms,
        keywords=packed.keywords,
        content_hash=packed.content_hash,
        vector_hash=packed.vector_hash,
        position=packed.position,
        hidden=payload[SPACE].startswith(_HIDDEN),
        traceparent=packed.traceparent,
        data_subjects=packed.data_subjects,
        claims=packed.claims,
    )


def fact_payload(fact: FactRecord) -> Payload:
    """Return the payload of a fact."""
    return {SPACE: _first_shelf(fact), **amended_payload(fact)}


def topics(fact: FactRecord) -> list[str]:
    """Return the ids by which a fact is looked up: of the facts that it supersedes, and of its slot.

    One without a key is looked up by its evidence: another one may tell more of the same.
    """
    about = [slot_id(fact.space, fact.subject, fact.key)] if fact.key else [*fact.evidence]
    return [*about, *fact.supersedes]


def slot_id(space: str, subject: str, key: str) -> str:
    """Return the id of a slot."""
    return derived_id("slot", space, *reversed(slot_of(subject, key)))


def amended_payload(fact: FactRecord) -> Payload:
    """Return what changes in the payload of a fact when it gets more evidence: all but its visibility."""
    return {
        TIME: fact.valid_from_ms,
        GENERATION: fact.position.generation,
        OFFSET: fact.position.offset,
        TOPICS: topics(fact),
        PACKED: _encode(
            (
                fact.kind,
                fact.text,
                fact.subject,
                fact.valid_from_ms,
                fact.evidence,
                fact.evidence_hashes,
                fact.hub,
                fact.distiller,
                fact.vector_hash,
                fact.position,
                *_claimed(fact),
            )
        ).decode(),
    }


def fact_of(id_: str, payload: Mapping[str, Any]) -> FactRecord:
    """Return a stored fact."""
    packed = _unpacked(_decode_fact, payload)
    return FactRecord(
        id=id_,
        space=space_of(payload[SPACE]),
        kind=packed.kind,
        text=packed.text,
        subject=packed.subject,
        valid_from_ms=packed.valid_from_ms,
        evidence=packed.evidence,
        evidence_hashes=packed.evidence_hashes,
        hub=packed.hub,
        distiller=packed.distiller,
        vector_hash=packed.vector_hash,
        position=packed.position,
        hidden=payload[SPACE].startswith(_HIDDEN),
        traceparent=packed.traceparent,
        data_subjects=packed.data_subjects,
        key=packed.key,
        value=packed.value,
        valid_until_ms=packed.valid_until_ms,
        supersedes=packed.supersedes,
        sources=packed.sources,
    )


def row_payload(row: EdgeRow) -> Payload:
    """Return the payload of an edge row: fence, space, and everything else in base64."""
    head = id_bytes(row.memory_id) + row.hub_formed_ms.to_bytes(8, "little", signed=True)
    return {
        SPACE: row.space,
        GENERATION: row.position.generation,
        OFFSET: row.position.offset,
        PACKED: b2a_base64(head + row.neighbours, newline=False).decode("ascii"),
    }


def row_of(payload: Mapping[str, Any]) -> EdgeRow:
    """Return a stored edge row."""
    raw = _unpacked(a2b_base64, payload)
    return EdgeRow(
        space=payload[SPACE],
        memory_id=id_text(raw[:_ID_BYTES]),
        position=Position(payload[GENERATION], payload[OFFSET]),
        neighbours=raw[_ROW_HEAD_BYTES:],
        hub_formed_ms=int.from_bytes(raw[_ID_BYTES:_ROW_HEAD_BYTES], "little", signed=True),
    )


def mark_payload(mark: Mark) -> Payload:
    """Return the payload of a mark."""
    return {
        SPACE: mark.space,
        GENERATION: mark.position.generation,
        OFFSET: mark.position.offset,
        PACKED: _encode((mark.collection, mark.target, mark.hidden)).decode(),
    }


def mark_of(payload: Mapping[str, Any]) -> Mark:
    """Return a stored mark."""
    packed = _unpacked(_decode_mark, payload)
    return Mark(
        collection=packed.collection,
        space=payload[SPACE],
        target=packed.target,
        hidden=packed.hidden,
        position=Position(payload[GENERATION], payload[OFFSET]),
    )


def by_shelf(marks: Sequence[Mark]) -> dict[tuple[CollectionName, str, bool], list[str]]:
    """Return the targets of marks by what one operation can carry over: collection, space and visibility."""
    groups: dict[tuple[CollectionName, str, bool], list[str]] = {}
    for mark in marks:
        groups.setdefault((mark.collection, mark.space, mark.hidden), []).append(mark.target)
    return groups


def _unpacked(decode: Callable[[str], T], payload: Mapping[str, Any]) -> T:
    """Return what is packed in a payload.

    Raises:
        ConfigurationError: Another version packed it otherwise. The record at hand is not at fault for that.
    """
    try:
        return decode(payload[PACKED])
    except (KeyError, ValueError) as error:  # of binascii and msgspec too
        raise ConfigurationError(
            f"the store holds what this version does not read ({error}); rebuild it from the log"
        ) from error


def _claimed(fact: FactRecord) -> tuple[object, ...]:
    """Return what is stored of what a fact claims, behind its trace context and data subjects."""
    claimed = (fact.key, fact.value, fact.valid_until_ms, fact.supersedes, fact.sources)
    if any(claimed):
        return fact.traceparent, fact.data_subjects, *claimed
    return _where_there_is_any(fact.traceparent, fact.data_subjects)


def _where_there_is_any(
    traceparent: str | None, data_subjects: tuple[str, ...], claims: tuple[Claim, ...] = ()
) -> tuple[object, ...]:
    """Return what is stored of a trace context, whose words they are and what they claim: mostly nothing."""
    if claims:
        return traceparent, data_subjects, claims
    if data_subjects:
        return traceparent, data_subjects
    return () if traceparent is None else (traceparent,)
