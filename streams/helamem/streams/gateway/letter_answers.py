"""The bodies of answers about dead letters."""

from __future__ import annotations

import base64
from typing import Annotated, Self

from msgspec import UNSET
from pydantic import Field

from helamem.processors.encoding.unsealing import Erased
from helamem.schemas.errors import Poison
from helamem.schemas.events import ConversationMessage, KnowledgeDistilled, MemoryRecalled
from helamem.schemas.ids import memory_id
from helamem.schemas.times import format_ms
from helamem.schemas.topics import tenant_of_inlet
from helamem.schemas.wire import Event, decode
from helamem.streams.gateway.answers import Answer, Moment, Next, PositionOut
from helamem.streams.lineage.reader import ERASED
from helamem.streams.redrive import Letter, Outcome, Place, legible

Redriven = Annotated[
    PositionOut | None, Field(description="Where the record stands again, or null where it was not redriven.")
]


class DeadLetterOut(Answer):
    """A record that could not be processed."""

    id: str
    space: Annotated[str | None, Field(description="Whose record it is; null where its key does not say.")]
    group: Annotated[str, Field(description="The processor that could not take it.")]
    position: Annotated[PositionOut, Field(description="Where the record stands, and is passed over.")]
    field: Annotated[str | None, Field(description="The field at fault, or null where it is the record as a whole.")]
    reason: Annotated[str, Field(description="What is wrong with it, without its content.")]
    put_aside: Moment
    size_bytes: int
    redriven: Redriven

    @classmethod
    def of(cls, letter: Letter) -> Self:
        """Return what is said of a letter."""
        return cls(**_described(letter))


class DeadLetterWhole(DeadLetterOut):
    """A record that could not be processed, with its bytes: as text where they can be printed."""

    key: str | None
    key_base64: str | None
    value: Annotated[str | None, Field(description="`[erased]` where it holds words that were erased.")]
    value_base64: str | None

    @classmethod
    def whole(cls, letter: Letter, erased: Erased) -> Self:
        """Return a letter with its record, without its value where that holds erased words."""
        raw = {}
        for name, content in (("key", letter.key), ("value", letter.value)):
            raw[name] = legible(content)
            raw[f"{name}_base64"] = base64.b64encode(content).decode() if raw[name] is None else None
        if _is_erased(letter, erased):
            raw |= {"value": ERASED, "value_base64": None}
        return cls(**_described(letter), **raw)


class DeadLettersOut(Answer):
    """A page of dead letters, oldest first."""

    dead_letters: list[DeadLetterOut]
    next: Next = None


class OutcomeOut(Answer):
    """What a redrive did with one letter."""

    id: str
    redriven: Redriven
    appended: Annotated[bool, Field(description="False where it stood there before, or was refused.")]
    refusal: Annotated[str | None, Field(description="Why it was left alone, and what to do.")]

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """Return what is said of an outcome."""
        return cls(
            id=outcome.letter.id,
            redriven=_place(outcome.place),
            appended=outcome.appended,
            refusal=outcome.refusal or None,
        )


class RedriveOut(Answer):
    """What a redrive came to."""

    redriven: int
    already: int
    refused: int
    outcomes: list[OutcomeOut]
    next: Next = None

    @classmethod
    def of(cls, outcomes: list[Outcome], following: str | None = None) -> Self:
        """Return what outcomes come to.

        Args:
            outcomes: Of each letter.
            following: The cursor of those that were not tried yet.
        """
        return cls(
            redriven=sum(one.appended for one in outcomes),
            already=sum(one.place is not None and not one.appended for one in outcomes),
            refused=sum(bool(one.refusal) for one in outcomes),
            outcomes=[OutcomeOut.of(one) for one in outcomes],
            next=following,
        )


def _described(letter: Letter) -> dict[str, object]:
    return {
        "id": letter.id,
        "space": letter.space,
        "group": letter.data.group,
        "position": _place(letter.place),
        "field": letter.data.field,
        "reason": letter.data.reason,
        "put_aside": format_ms(letter.put_aside_ms),
        "size_bytes": len(letter.value),
        "redriven": _place(letter.redriven),
    }


def _is_erased(letter: Letter, erased: Erased) -> bool:
    """Return whether a record holds erased words or a question of before an erasure, as far as it can be read."""
    event = _event_of(letter)
    if tenant_of_inlet(letter.data.topic) is not None:  # it was never merged, so no erasure names it
        space = letter.space if event is None else event.space
        return space is not None and letter.put_aside_ms <= erased.seen(space)
    if event is None:
        return False
    match event.data:
        case ConversationMessage(message_id=message_id):
            return erased.has(event.space, memory_id(event.space, message_id))
        case KnowledgeDistilled(fact_id=fact_id):
            return erased.has(event.space, fact_id)
        case MemoryRecalled(sealed=sealed):  # what is sealed nobody reads here
            return sealed is UNSET and erased.asked_before(event.space, letter.put_aside_ms)
    return False


def _event_of(letter: Letter) -> Event | None:
    """Return the event of a letter's record, or None where it cannot be read."""
    try:
        return decode(letter.value)
    except Poison:
        return None


def _place(place: Place | None) -> PositionOut | None:
    return None if place is None else PositionOut.of(place.partition, place.offset)
